package wire

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// Replies are gathered and leave in one write (RFC 2449 section 6.6 is of
// little use otherwise); nothing leaves before Flush while there is room.
func TestWriterGathers(t *testing.T) {
	var rec recorder
	w := NewWriter(&rec, 64)
	w.Line("+OK ", "2", " 320")
	w.Line("-ERR")
	if len(rec.writes) != 0 || w.Buffered() != 17 || w.Sent() != 0 {
		t.Fatalf("before Flush: %q, %d gathered, %d sent", rec.writes, w.Buffered(), w.Sent())
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if len(rec.writes) != 1 || string(rec.writes[0]) != "+OK 2 320\r\n-ERR\r\n" || w.Sent() != 17 || w.Buffered() != 0 {
		t.Errorf("%q, %d gathered, %d sent", rec.writes, w.Buffered(), w.Sent())
	}
}

// What passes through is the same octets in the same order, whatever the
// sizes of buffer and writes, and no write is larger than the buffer.
func TestWriterPasses(t *testing.T) {
	rng := newRand()
	for range 500 {
		var rec recorder
		size := 16 + rng.IntN(50)
		w := NewWriter(&rec, size)
		var want []byte
		for range rng.IntN(40) {
			text := randomText(rng, 60)
			var n int
			var err error
			switch rng.IntN(4) {
			case 0:
				n, err = w.Write(text)
			case 1:
				n, err = w.WriteString(string(text))
			case 2:
				text = text[:min(len(text), size-held)]
				room := w.Available(size - held)
				n, err = w.Write(append(room, text...))
			case 3:
				text = []byte(".\r\n")
				n, err = len(text), w.EndList()
			}
			want = append(want, text...)
			if n != len(text) || err != nil {
				t.Fatalf("%d of %d octets, %v", n, len(text), err)
			}
		}
		w.Flush()
		sameOctets(t, "sent", rec.all(), want)
		if w.Sent() != int64(len(want)) {
			t.Fatalf("Sent %d, want %d", w.Sent(), len(want))
		}
		for _, write := range rec.writes {
			if len(write) > size+slack {
				t.Fatalf("a write of %d octets from a buffer of %d", len(write), size)
			}
		}
	}
}

// The terminator of a list stays with the line end before it, wherever the
// border of the buffer falls, and is itself never split by what follows.
func TestEndListNeverAlone(t *testing.T) {
	const size = 32
	for length := range 3 * size {
		for behind := range 2 * size {
			var rec recorder
			w := NewWriter(&rec, size)
			w.Line("+OK")
			w.Line(strings.Repeat("x", length))
			w.EndList()
			end := len("+OK\r\n") + length + len("\r\n.\r\n")
			w.Write(bytes.Repeat([]byte("y"), behind))
			w.Flush()
			checkEnds(t, rec.writes, []int{end})
		}
	}
}

// A destination that takes less than it was given, without an error, is an
// error: the connection is of no use then.
func TestWriterShort(t *testing.T) {
	w := NewWriter(shortWriter{}, 64)
	w.Line("+OK")
	if err := w.Flush(); err != io.ErrShortWrite || w.Sent() != 1 {
		t.Errorf("%v, %d sent", err, w.Sent())
	}
	if err := w.Flush(); err != io.ErrShortWrite {
		t.Errorf("the second Flush: %v", err)
	}
}

// Wherever the destination fails, Write and WriteString say how much of p was
// taken at most, and the error stays.
func TestWriterDestinationFails(t *testing.T) {
	text := strings.Repeat("0123456789", 10)
	for after := 1; after < 60; after++ {
		for _, write := range []func(*Writer) (int, error){
			func(w *Writer) (int, error) { return w.Write([]byte(text)) },
			func(w *Writer) (int, error) { return w.WriteString(text) },
		} {
			rec := recorder{after: after}
			w := NewWriter(&rec, 16)
			n, err := write(w)
			if err != errTest || n >= len(text) {
				t.Fatalf("fault at %d: %d, %v", after, n, err)
			}
			w.Write(append(w.Available(14), "more"...))
			if err := w.EndList(); err != errTest {
				t.Fatalf("EndList behind the fault: %v", err)
			}
			sameOctets(t, "sent", rec.all(), []byte(text[:after]))
		}
	}
}

// EndList fails with the error of the write that makes room for it.
func TestEndListDestinationFails(t *testing.T) {
	w := NewWriter(&recorder{after: 1}, 16)
	w.WriteString(strings.Repeat("x", 16))
	for range 3 {
		w.EndList()
	}
	if err := w.Flush(); err != errTest || w.Buffered() > w.size+slack {
		t.Errorf("%v, %d gathered", err, w.Buffered())
	}
}
