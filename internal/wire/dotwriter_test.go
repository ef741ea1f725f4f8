package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"
)

// writeMessage sends a reply line and the message in pieces.
func writeMessage(w *Writer, want int64, pieces ...[]byte) error {
	w.Line("+OK")
	d := w.Dot()
	for _, piece := range pieces {
		if n, err := d.Write(piece); err == nil && n != len(piece) {
			return fmt.Errorf("took %d of %d octets without an error", n, len(piece))
		}
	}
	return d.Finish(want)
}

// RFC 1939 section 3: dots are stuffed at octet 0 too, behind any line end
// and at every chunk border; bare LF becomes CRLF; a last line gets its end.
func TestDotWriterForms(t *testing.T) {
	for _, tt := range []struct{ name, stored, wire string }{
		{"empty", "", ".\r\n"},
		{"LF", "a\nb\n", "a\r\nb\r\n.\r\n"},
		{"CRLF", "a\r\nb\r\n", "a\r\nb\r\n.\r\n"},
		{"mixed", "a\nb\r\nc\n", "a\r\nb\r\nc\r\n.\r\n"},
		{"no last line end", "a", "a\r\n.\r\n"},
		{"CR at the end", "a\r", "a\r\r\n.\r\n"},
		{"lone CR", "a\rb\n", "a\rb\r\n.\r\n"},
		{"CR CR LF", "a\r\r\n", "a\r\r\n.\r\n"},
		{"dot at octet 0", ".a\n", "..a\r\n.\r\n"},
		{"a dot alone", ".", "..\r\n.\r\n"},
		{"dot line with LF", "a\n.\nb\n", "a\r\n..\r\nb\r\n.\r\n"},
		{"dot line with CRLF", "a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n"},
		{"two dots", "..\n", "...\r\n.\r\n"},
		{"dot behind a lone CR", "a\r.b\n", "a\r.b\r\n.\r\n"},
		{"dots inside", "a.b..\n", "a.b..\r\n.\r\n"},
		{"blank lines", "\n\n\r\n\n", "\r\n\r\n\r\n\r\n.\r\n"},
		{"NUL and 8-bit", "\x00\xff\n", "\x00\xff\r\n.\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			splits([]byte(tt.stored), func(pieces ...[]byte) {
				var out bytes.Buffer
				w := NewWriter(&out, 64)
				d := w.Dot()
				for _, piece := range pieces {
					d.Write(piece)
				}
				if err := d.Finish(-1); err != nil {
					t.Fatal(err)
				}
				if err := w.Flush(); err != nil {
					t.Fatal(err)
				}
				sameOctets(t, fmt.Sprintf("in %d pieces", len(pieces)), out.Bytes(), []byte(tt.wire))
			})
		})
	}
}

func TestDotWriterOracle(t *testing.T) {
	everyText(5, func(text []byte) {
		content := oracleWire(text)
		want := append([]byte("+OK\r\n"), oracleStuff(content)...)
		splits(text, func(pieces ...[]byte) {
			var rec recorder
			w := NewWriter(&rec, 16)
			if err := writeMessage(w, int64(len(content)), pieces...); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			w.Flush()
			sameOctets(t, fmt.Sprintf("%q in %d pieces", text, len(pieces)), rec.all(), want)
		})
	})
	rng := newRand()
	for range 3000 {
		text := randomText(rng, 300)
		var rec recorder
		w := NewWriter(&rec, 16+rng.IntN(40))
		w.Line("+OK")
		d := w.Dot()
		for rest := text; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			d.Write(rest[:n])
			rest = rest[n:]
		}
		content := oracleWire(text)
		if err := d.Finish(int64(len(content))); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if d.Octets() != int64(len(content)) {
			t.Fatalf("%q: Octets %d, want %d", text, d.Octets(), len(content))
		}
		w.Flush()
		sameOctets(t, "sent", rec.all(), append([]byte("+OK\r\n"), oracleStuff(content)...))
	}
}

// The terminator leaves in one write with what precedes it, wherever the
// border of the buffer falls: clients exist that hang where it is split off.
func TestTerminatorNeverAlone(t *testing.T) {
	const size = 32
	for length := range 4 * size {
		for _, end := range []string{"", "\n", "\r\n"} {
			text := append(bytes.Repeat([]byte("x"), length), end...)
			for ahead := range 3 {
				var rec recorder
				w := NewWriter(&rec, size)
				var ends []int // where each reply ends, in octets of the whole
				total := 0
				for range ahead + 1 {
					writeMessage(w, -1, text)
					total += len("+OK\r\n") + len(oracleStuff(oracleWire(text)))
					ends = append(ends, total)
				}
				w.Line("+OK list")
				w.EndList()
				total += len("+OK list\r\n.\r\n")
				ends = append(ends, total)
				w.Flush()
				checkEnds(t, rec.writes, ends)
			}
		}
	}
}

// checkEnds wants each reply's "CRLF . CRLF" whole in one write.
func checkEnds(t *testing.T, writes [][]byte, ends []int) {
	t.Helper()
	from := 0
	for i, write := range writes {
		to := from + len(write)
		for len(ends) > 0 && ends[0] <= to {
			if from > ends[0]-len("\r\n.\r\n") {
				t.Fatalf("write %d is %q: the terminator is split off", i, write)
			}
			ends = ends[1:]
		}
		from = to
	}
	if len(ends) != 0 {
		t.Fatalf("%d replies have no end in %q", len(ends), writes)
	}
}

// A message of another size than announced is not finished.
func TestFinishRefusesOtherSize(t *testing.T) {
	for _, off := range []int64{-5, -2, -1, 1, 2, 1 << 40} {
		for _, text := range []string{"", "a", "a\n", "a\r\n", ".\n"} {
			var out bytes.Buffer
			w := NewWriter(&out, 64)
			want := int64(len(oracleWire([]byte(text)))) + off
			if want < 0 {
				continue
			}
			d := w.Dot()
			io.WriteString(&d, text)
			if err := d.Finish(want); !errors.Is(err, ErrSize) {
				t.Errorf("%q announced with %+d octets: %v, want ErrSize", text, off, err)
			}
			w.Flush()
			if bytes.HasSuffix(out.Bytes(), []byte(".\r\n")) && text != ".\n" || bytes.Contains(out.Bytes(), []byte("\r\n.\r\n")) {
				t.Errorf("%q: a terminator left: %q", text, out.Bytes())
			}
		}
	}
}

// Wherever the destination fails, the error comes out and nothing more is sent.
func TestDotWriterDestinationFails(t *testing.T) {
	text := []byte("Subject: x\n\n.dot\nline\r\n\n.\nend of it")
	whole := append([]byte("+OK\r\n"), oracleStuff(oracleWire(text))...)
	for after := 1; after < len(whole); after++ {
		rec := recorder{after: after}
		w := NewWriter(&rec, 16)
		err := writeMessage(w, -1, text)
		if err == nil {
			err = w.Flush()
		}
		if err != errTest || w.Err() != errTest {
			t.Fatalf("fails after %d octets: %v, Err %v", after, err, w.Err())
		}
		sent := rec.all()
		sameOctets(t, fmt.Sprintf("sent before the fault at %d", after), sent, whole[:after])
		if w.Sent() != int64(after) {
			t.Fatalf("fault at %d: Sent %d", after, w.Sent())
		}
		d := w.Dot()
		if n, err := d.Write([]byte("more")); n != 0 || err != errTest {
			t.Fatalf("DotWriter behind the fault: %d, %v", n, err)
		}
		if n, err := w.WriteString("more"); n != 0 || err != errTest {
			t.Fatalf("WriteString behind the fault: %d, %v", n, err)
		}
		if err := w.EndList(); err != errTest {
			t.Fatalf("EndList behind the fault: %v", err)
		}
		sameOctets(t, "sent behind the fault", rec.all(), sent)
	}
}

func TestSizeCounterOracle(t *testing.T) {
	everyText(6, func(text []byte) {
		want := int64(len(oracleWire(text)))
		splits(text, func(pieces ...[]byte) {
			var c SizeCounter
			for _, piece := range pieces {
				if n, err := c.Write(piece); n != len(piece) || err != nil {
					t.Fatalf("Write: %d, %v", n, err)
				}
				c.Write(nil)
			}
			if c.Octets() != want {
				t.Fatalf("%q in %d pieces: %d octets, want %d", text, len(pieces), c.Octets(), want)
			}
		})
	})
	rng := newRand()
	for range 3000 {
		text := randomText(rng, 400)
		got, err := Size(&splitReader{data: text, step: 1 + rng.IntN(200)})
		if want := int64(len(oracleWire(text))); got != want || err != nil {
			t.Fatalf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
}

// Totals are 64-bit: peers wrap at 4 GiB.
func TestSizeCounterPast4GiB(t *testing.T) {
	c := SizeCounter{octets: math.MaxUint32}
	c.Write([]byte("a\n"))
	if want := int64(math.MaxUint32) + 3; c.Octets() != want {
		t.Errorf("%d, want %d", c.Octets(), want)
	}
}

// A size is never told from a part of the message without its error.
func TestSizeSourceFails(t *testing.T) {
	text := []byte("one\ntwo\n")
	for cut := range text {
		for _, with := range []bool{false, true} {
			if _, err := Size(&splitReader{data: text[:cut], err: errTest, with: with}); err != errTest {
				t.Errorf("fault at %d: %v", cut, err)
			}
		}
	}
}
