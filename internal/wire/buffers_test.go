package wire

import (
	"bytes"
	"strings"
	"testing"
)

// A Reader that borrows its buffer reads what one with its own does, wherever
// the source splits the stream and whenever Release is called.
func TestBorrowingReader(t *testing.T) {
	var stream strings.Builder
	for i := range 60 {
		stream.WriteString(strings.Repeat(string(rune('a'+i%26)), i*7%300) + "\r\n")
	}
	lines := strings.Split(strings.TrimSuffix(stream.String(), "\r\n"), "\r\n")
	buffers := NewBuffers(700)
	for step := 1; step < 400; step++ {
		r := buffers.Reader(&splitReader{data: []byte(stream.String()), step: step})
		for i, want := range lines {
			line, err := r.ReadLine(1000)
			if err != nil || string(line) != want {
				t.Fatalf("step %d, line %d: %.20q, %v; want %.20q", step, i, line, err, want)
			}
			if i%3 == step%3 {
				before := r.Buffered()
				if r.Release(); r.Buffered() != before || before == 0 && r.lent != nil {
					t.Fatalf("Release: %d octets buffered of %d, lent %v", r.Buffered(), before, r.lent != nil)
				}
			}
		}
		if r.Received() != int64(stream.Len()) {
			t.Fatalf("step %d: %d octets received", step, r.Received())
		}
	}
}

// Single commands need no borrowed buffer, many at once do, and lines longer
// than a borrowed one still come.
func TestReaderBorrows(t *testing.T) {
	buffers := NewBuffers(1024)
	for _, tt := range []struct {
		name  string
		sends int // octets
		lent  bool
	}{{"a command", 12, false}, {"the longest command", smallBuffer - 1, false}, {"more", smallBuffer + 1, true}, {"an AUTH line", 3000, true}} {
		text := strings.Repeat("x", tt.sends-2) + "\r\n"
		r := buffers.Reader(&loop{data: []byte(text)})
		for range 5 {
			if line, err := r.ReadLine(4096); err != nil || len(line) != tt.sends-2 {
				t.Fatalf("%s: %d octets, %v", tt.name, len(line), err)
			}
		}
		if lent := r.lent != nil; lent != tt.lent {
			t.Errorf("%s: a buffer is lent: %v", tt.name, lent)
		}
	}
}

// What a Writer holds stays its own until it is sent, whoever borrows meanwhile.
func TestBorrowingWriter(t *testing.T) {
	buffers := NewBuffers(64)
	var first, second bytes.Buffer
	a, b := buffers.Writer(&first), buffers.Writer(&second)
	for range 3 {
		a.Line("+OK ", "one")
		a.Release() // holds something: it keeps the buffer
		b.Line("+OK ", "two")
		b.Flush()
		b.Release()
		b.Write(append(b.Available(8), "three\r\n"...))
		d := a.Dot()
		d.Write([]byte(".\nfour\n"))
		d.Finish(-1)
		b.EndList()
		a.Flush()
		b.Flush()
		a.Release()
		b.Release()
		if a.lent != nil || b.lent != nil || a.Buffered() != 0 {
			t.Fatal("a buffer was not given back")
		}
	}
	sameOctets(t, "first", first.Bytes(), []byte(strings.Repeat("+OK one\r\n..\r\nfour\r\n.\r\n", 3)))
	sameOctets(t, "second", second.Bytes(), []byte(strings.Repeat("+OK two\r\nthree\r\n.\r\n", 3)))
	if a.Flush(); a.lent != nil {
		t.Error("Flush borrows")
	}
}
