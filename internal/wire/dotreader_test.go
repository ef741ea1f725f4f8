package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
)

// readBy reads all of d with reads of n octets, or through WriteTo for n 0.
func readBy(d *DotReader, n int) ([]byte, error) {
	var out bytes.Buffer
	if n == 0 {
		written, err := d.WriteTo(&out)
		if written != int64(out.Len()) {
			return nil, fmt.Errorf("WriteTo says %d octets and wrote %d", written, out.Len())
		}
		if err == nil {
			err = io.EOF
		}
		return out.Bytes(), err
	}
	p := make([]byte, n)
	for {
		n, err := d.Read(p)
		out.Write(p[:n])
		if err != nil {
			return out.Bytes(), err
		}
		if d.Octets() != int64(out.Len()) {
			return nil, fmt.Errorf("Octets %d behind %d", d.Octets(), out.Len())
		}
	}
}

// Only a line of one dot between two CRLF ends a message. What else looks
// like it is content: RFC 1939 section 3.
func TestDotReaderForms(t *testing.T) {
	for _, tt := range []struct{ name, stream, content string }{
		{"empty", ".\r\n", ""},
		{"plain", "a\r\nb\r\n.\r\n", "a\r\nb\r\n"},
		{"stuffed at octet 0", "..a\r\n.\r\n", ".a\r\n"},
		{"stuffed line", "a\r\n..\r\n.\r\n", "a\r\n.\r\n"},
		{"not stuffed by the server", "a\r\n.b\r\n.\r\n", "a\r\nb\r\n"},
		{"bare LF before the dot", "a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n"},
		{"bare LF behind the dot", "a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n"},
		{"bare LF both sides", "a\n.\nb\r\n.\r\n", "a\n.\nb\r\n"},
		{"bare CR before the dot", "a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n"},
		{"bare CR behind the dot", "a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n"},
		{"CR CR LF", "a\r\r\n.\r\n", "a\r\r\n"},
		{"NUL and 8-bit", "\x00\xff\r\n.\r\n", "\x00\xff\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for step := range len(tt.stream) + 1 {
				r := NewReader(&splitReader{data: []byte(tt.stream + "+OK next\r\n"), step: step}, 16)
				got, err := readBy(r.Dot(), 3)
				if err != io.EOF {
					t.Fatalf("reads of %d: %v", step, err)
				}
				sameOctets(t, fmt.Sprintf("reads of %d", step), got, []byte(tt.content))
				if line, err := r.ReadLine(100); string(line) != "+OK next" || err != nil {
					t.Fatalf("behind the message: %q, %v", line, err)
				}
			}
		})
	}
}

func checkDotReader(t *testing.T, stream []byte, src io.Reader, buffer, by int) {
	t.Helper()
	content, rest, ended := oracleUnstuff(stream)
	r := NewReader(src, buffer)
	d := r.Dot()
	got, err := readBy(d, by)
	want := io.ErrUnexpectedEOF
	if ended {
		want = io.EOF
	}
	if err != want {
		t.Fatalf("%q, reads of %d: %v, want %v", stream, by, err, want)
	}
	sameOctets(t, fmt.Sprintf("%q, reads of %d", stream, by), got, content)
	if d.Octets() != int64(len(content)) {
		t.Fatalf("%q: Octets %d, want %d", stream, d.Octets(), len(content))
	}
	if n, err := d.Read(make([]byte, 9)); n != 0 || err != want {
		t.Fatalf("%q, a read behind the end: %d, %v", stream, n, err)
	}
	if !ended {
		return
	}
	var left []byte
	for {
		line, err := r.ReadLine(1 << 20)
		if err != nil {
			break
		}
		left = append(append(left, line...), '\n')
	}
	// ReadLine drops line ends: compare what is left line by line.
	lines := bytes.SplitAfter(rest, []byte("\n"))
	for i := range lines {
		lines[i] = bytes.Replace(lines[i], []byte("\r\n"), []byte("\n"), 1)
	}
	if whole := bytes.Join(lines[:len(lines)-1], nil); !bytes.Equal(left, whole) {
		t.Fatalf("%q: left behind the end %q, want %q", stream, left, whole)
	}
}

func TestDotReaderOracle(t *testing.T) {
	everyText(6, func(text []byte) {
		// The second form begins behind a CRLF and always has an end.
		closed := append([]byte("y\r\n"), text...)
		closed = append(closed, "\r\n.\r\nz\r\n"...)
		checkDotReader(t, text, &splitReader{data: text}, 16, 0)
		checkDotReader(t, text, &splitReader{data: text, step: 1, with: true}, 16, 1)
		checkDotReader(t, closed, &splitReader{data: closed}, 16, 2)
		if len(text) > 4 {
			return
		}
		for cut := 1; cut < len(closed); cut++ {
			checkDotReader(t, closed, &splitReader{data: closed, cuts: []int{cut}}, 16, cut%3)
		}
	})
	rng := newRand()
	for range 5000 {
		stream := append(randomText(rng, 200), "\r\n.\r\n+OK\r\n"...)
		src := &splitReader{data: stream, step: 1 + rng.IntN(40)}
		checkDotReader(t, stream, src, 16+rng.IntN(40), rng.IntN(20))
	}
}

// What a DotWriter writes a DotReader reads back, in the form of the wire.
func TestDotRoundTrip(t *testing.T) {
	rng := newRand()
	for range 3000 {
		text := randomText(rng, 300)
		var out bytes.Buffer
		w := NewWriter(&out, 16+rng.IntN(100))
		d := w.Dot()
		d.Write(text)
		if err := d.Finish(-1); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		got, err := io.ReadAll(NewReader(&out, 16+rng.IntN(100)).Dot())
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		sameOctets(t, "round trip", got, oracleWire(text))
	}
}

// RETR ended by a close at any octet is io.ErrUnexpectedEOF, and by a fault
// that fault: never a clean end.
func TestDotReaderSourceFails(t *testing.T) {
	stream := []byte("Subject: x\r\n\r\n..dot\r\nline\n.\r\n...\r\nend\r\n.\r\n")
	for cut := range stream {
		for _, with := range []bool{false, true} {
			for by := range 3 {
				r := NewReader(&splitReader{data: stream[:cut], with: with}, 16)
				if _, err := readBy(r.Dot(), by); err != io.ErrUnexpectedEOF {
					t.Fatalf("closed at %d: %v", cut, err)
				}
				r.Reset(&splitReader{data: stream[:cut], err: errTest, with: with})
				content, _, _ := oracleUnstuff(stream[:cut])
				got, err := readBy(r.Dot(), by)
				if err != errTest {
					t.Fatalf("fault at %d: %v", cut, err)
				}
				sameOctets(t, fmt.Sprintf("before the fault at %d", cut), got, content)
			}
		}
	}
}

// A destination's error comes out of WriteTo, and so does a destination that
// takes less than it was given.
func TestDotReaderWriteToFails(t *testing.T) {
	stream := []byte("abcdefgh\r\n.\r\n")
	for after := 1; after < 10; after++ {
		rec := recorder{after: after}
		n, err := NewReader(bytes.NewReader(stream), 64).Dot().WriteTo(&rec)
		if n != int64(after) || err != errTest {
			t.Errorf("fault at %d: %d, %v", after, n, err)
		}
	}
	n, err := NewReader(bytes.NewReader(stream), 64).Dot().WriteTo(shortWriter{})
	if n != 1 || err != io.ErrShortWrite {
		t.Errorf("short writer: %d, %v", n, err)
	}
}

type shortWriter struct{}

func (shortWriter) Write([]byte) (int, error) { return 1, nil }

func TestDotReaderEmptyRead(t *testing.T) {
	d := NewReader(bytes.NewReader([]byte("a\r\n.\r\n")), 16).Dot()
	if n, err := d.Read(nil); n != 0 || err != nil {
		t.Errorf("a read of no octets: %d, %v", n, err)
	}
}

// A line without end passes through a small buffer: no line limit on mail.
func TestDotReaderLongLine(t *testing.T) {
	line := bytes.Repeat([]byte("x"), 1<<20)
	stream := append(bytes.Clone(line), "\r\n.\r\n"...)
	r := NewReader(bytes.NewReader(stream), 64)
	n, err := r.Dot().WriteTo(io.Discard)
	if n != int64(len(line)+2) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if cap(r.buf) != 64 {
		t.Errorf("the buffer grew to %d octets", cap(r.buf))
	}
	if _, err := r.ReadLine(64); !errors.Is(err, io.EOF) {
		t.Errorf("behind it: %v", err)
	}
}
