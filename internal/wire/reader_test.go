package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

func TestReadLineForms(t *testing.T) {
	for _, tt := range []struct {
		name, stream string
		lines        []string
		err          error
	}{
		{"CRLF", "QUIT\r\n", []string{"QUIT"}, io.EOF},
		{"bare LF", "QUIT\n", []string{"QUIT"}, io.EOF},
		{"two", "A\r\nB\r\n", []string{"A", "B"}, io.EOF},
		{"empty lines", "\r\n\n", []string{"", ""}, io.EOF},
		{"CR inside", "A\rB\r\n", []string{"A\rB"}, io.EOF},
		{"one CR goes", "A\r\r\n", []string{"A\r"}, io.EOF},
		{"blanks stay", " A \t\r\n", []string{" A \t"}, io.EOF},
		{"NUL and 8-bit", "\x00\xff\r\n", []string{"\x00\xff"}, io.EOF},
		{"nothing", "", nil, io.EOF},
		{"no line end", "QUIT", nil, io.ErrUnexpectedEOF},
		{"CR and no LF", "A\r\nQUIT\r", []string{"A"}, io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for step := range len(tt.stream) + 1 {
				r := NewReader(&splitReader{data: []byte(tt.stream), step: step}, 0)
				for _, want := range tt.lines {
					if got, err := r.ReadLine(100); string(got) != want || err != nil {
						t.Fatalf("reads of %d: %q, %v, want %q", step, got, err, want)
					}
				}
				if got, err := r.ReadLine(100); err != tt.err || got != nil {
					t.Fatalf("reads of %d, at the end: %q, %v, want %v", step, got, err, tt.err)
				}
				if r.Received() != int64(len(tt.stream)) {
					t.Fatalf("Received %d, want %d", r.Received(), len(tt.stream))
				}
			}
		})
	}
}

// A line of limit octets, line end included, is taken; one octet more is not,
// whatever the buffer's size, the split, and what stands before the line.
func TestReadLineLimit(t *testing.T) {
	for _, limit := range []int{2, 15, 16, 17, 31, 64, 255, 16384} {
		for _, buffer := range []int{16, 64, 512} {
			for _, ahead := range []string{"", "+OK\r\n"} {
				for _, step := range []int{0, 1, 7, limit} {
					for over := range 3 {
						line := strings.Repeat("x", limit-2+over)
						src := &splitReader{data: []byte(ahead + line + "\r\n" + "rest"), step: step}
						r := NewReader(src, buffer)
						if ahead != "" {
							if _, err := r.ReadLine(64); err != nil {
								t.Fatal(err)
							}
						}
						got, err := r.ReadLine(limit)
						what := fmt.Sprintf("limit %d, buffer %d, reads of %d, %d over", limit, buffer, step, over)
						switch {
						case over == 0 && (err != nil || string(got) != line):
							t.Fatalf("%s: %d octets, %v", what, len(got), err)
						case over > 0 && (err != ErrLineTooLong || got != nil):
							t.Fatalf("%s: %d octets, %v", what, len(got), err)
						}
						if len(r.buf) > max(limit, buffer) {
							t.Fatalf("%s: the buffer grew to %d octets", what, len(r.buf))
						}
					}
				}
			}
		}
	}
}

// An endless line costs no more than its limit, and the error is there as
// soon as the limit is reached, not when the sender ends the line.
func TestReadLineEndless(t *testing.T) {
	src := &splitReader{data: bytes.Repeat([]byte("x"), 1<<20), step: 5}
	r := NewReader(src, 256)
	if _, err := r.ReadLine(255); err != ErrLineTooLong {
		t.Fatalf("%v, want ErrLineTooLong", err)
	}
	if src.at > 255 {
		t.Errorf("%d octets were read for a limit of 255", src.at)
	}
}

// Every text over the alphabet, split into lines octet by octet.
func TestReadLineOracle(t *testing.T) {
	everyText(6, func(text []byte) {
		for _, step := range []int{0, 1, 2} {
			r := NewReader(&splitReader{data: text, step: step, with: step == 2}, 16)
			rest := text
			for {
				i := bytes.IndexByte(rest, '\n')
				got, err := r.ReadLine(64)
				if i < 0 {
					want := io.EOF
					if len(rest) > 0 {
						want = io.ErrUnexpectedEOF
					}
					if err != want {
						t.Fatalf("%q: %v, want %v", text, err, want)
					}
					break
				}
				want := rest[:i]
				if bytes.HasSuffix(want, []byte("\r")) {
					want = want[:i-1]
				}
				if err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				sameOctets(t, fmt.Sprintf("line of %q", text), got, want)
				rest = rest[i+1:]
			}
		}
	})
}

func TestReadListLine(t *testing.T) {
	const stream = "1 120\r\n..\r\n.x\r\n\r\n.\r\n+OK\r\n"
	r := NewReader(strings.NewReader(stream), 64)
	for _, want := range []string{"1 120", ".", "x", ""} {
		if line, done, err := r.ReadListLine(64); string(line) != want || done || err != nil {
			t.Fatalf("%q, %v, %v, want %q", line, done, err, want)
		}
	}
	if line, done, err := r.ReadListLine(64); line != nil || !done || err != nil {
		t.Fatalf("the end: %q, %v, %v", line, done, err)
	}
	if line, err := r.ReadLine(64); string(line) != "+OK" || err != nil {
		t.Fatalf("behind it: %q, %v", line, err)
	}
}

// A list without an end is an error wherever the connection ends.
func TestReadListLineCut(t *testing.T) {
	const stream = "1 a\r\n2 b\r\n.\r\n"
	for cut := range len(stream) - 1 { // with the last octet alone missing, no line end
		r := NewReader(strings.NewReader(stream[:cut]), 64)
		for {
			_, done, err := r.ReadListLine(64)
			if done {
				t.Fatalf("cut at %d: a list with an end", cut)
			}
			if err != nil {
				if err != io.ErrUnexpectedEOF {
					t.Fatalf("cut at %d: %v", cut, err)
				}
				break
			}
		}
	}
	r := NewReader(strings.NewReader(strings.Repeat("x", 65)), 64)
	if _, _, err := r.ReadListLine(64); err != ErrLineTooLong {
		t.Errorf("a long line: %v", err)
	}
}

// scripted answers each Read with the next step.
type scripted []struct {
	data string
	err  error
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(*s) == 0 {
		return 0, io.EOF
	}
	step := (*s)[0]
	*s = (*s)[1:]
	return copy(p, step.data), step.err
}

// A deadline that passed does not last: the connection can be read on, and
// nothing that came before it is lost. A fault does last.
func TestReaderErrors(t *testing.T) {
	wrapped := fmt.Errorf("tls: %w", os.ErrDeadlineExceeded)
	for _, timeout := range []error{os.ErrDeadlineExceeded, wrapped} {
		src := &scripted{{"QU", nil}, {"", timeout}, {"I", timeout}, {"T\r\n", nil}}
		r := NewReader(src, 64)
		if _, err := r.ReadLine(64); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%v, want a deadline", err)
		}
		if line, err := r.ReadLine(64); string(line) != "QUIT" || err != nil {
			t.Fatalf("behind the deadline: %q, %v", line, err)
		}
	}
	src := &scripted{{"A\r\nB", errTest}, {"C\r\n", nil}}
	r := NewReader(src, 64)
	if line, err := r.ReadLine(64); string(line) != "A" || err != nil {
		t.Fatalf("before the fault: %q, %v", line, err)
	}
	for range 2 {
		if _, err := r.ReadLine(64); err != errTest {
			t.Fatalf("the fault: %v", err)
		}
	}
}

// A source that gives neither octets nor an error ends in an error too.
func TestReaderNoProgress(t *testing.T) {
	r := NewReader(idle{}, 64)
	if _, err := r.ReadLine(64); err != io.ErrNoProgress {
		t.Errorf("%v, want io.ErrNoProgress", err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// Buffered, HasLine and Peek tell of octets that were received and not taken:
// STLS is refused by them when more came behind it (RFC 2595 section 4).
func TestReaderBuffered(t *testing.T) {
	r := NewReader(strings.NewReader("STLS\r\nUSER x\r\nPA"), 64)
	if r.Buffered() != 0 || r.HasLine() || len(r.Peek(5)) != 0 {
		t.Fatal("something is buffered before the first read")
	}
	for _, want := range []struct {
		line, peek string
		buffered   int
		has        bool
	}{
		{"STLS", "USER x", 10, true},
		{"USER x", "PA", 2, false},
	} {
		if line, err := r.ReadLine(64); string(line) != want.line || err != nil {
			t.Fatalf("%q, %v", line, err)
		}
		if r.Buffered() != want.buffered || r.HasLine() != want.has || string(r.Peek(6)) != want.peek {
			t.Errorf("behind %s: %d buffered, HasLine %v, Peek %q", want.line, r.Buffered(), r.HasLine(), r.Peek(6))
		}
	}
	r.Reset(strings.NewReader("NOOP\r\n"))
	if r.Buffered() != 0 {
		t.Error("Reset kept what was buffered")
	}
	if line, err := r.ReadLine(64); string(line) != "NOOP" || err != nil {
		t.Errorf("behind Reset: %q, %v", line, err)
	}
}

func TestResetForgetsErrors(t *testing.T) {
	r := NewReader(&scripted{{"", errTest}}, 64)
	if _, err := r.ReadLine(64); err != errTest {
		t.Fatal(err)
	}
	r.Reset(strings.NewReader("A\r\n"))
	if line, err := r.ReadLine(64); string(line) != "A" || err != nil {
		t.Errorf("behind Reset: %q, %v", line, err)
	}
	w := NewWriter(&recorder{after: 1}, 16)
	w.Line("+OK")
	if err := w.Flush(); err != errTest {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w.Reset(&out)
	w.Line("+OK")
	if err := w.Flush(); err != nil || out.String() != "+OK\r\n" {
		t.Errorf("behind Reset: %q, %v", out.String(), err)
	}
}
