package wire

import (
	"bytes"
	"io"
	"testing"
)

// loop gives the same octets for ever.
type loop struct {
	data []byte
	at   int
}

func (l *loop) Read(p []byte) (int, error) {
	n := copy(p, l.data[l.at:])
	l.at = (l.at + n) % len(l.data)
	return n, nil
}

// The hot paths allocate nothing a line and, for messages, nothing but the
// reader itself: memory does not grow with the length of a message.
func TestAllocations(t *testing.T) {
	stored := message(12_000, "\n")
	onWire := oracleStuff(oracleWire(stored))
	w := NewWriter(io.Discard, 16*1024)
	src := &loop{data: onWire}
	r := NewReader(src, 16*1024)
	commands := NewReader(&loop{data: []byte("RETR 12345\r\nDELE 12345\r\n")}, 512)
	buffers := NewBuffers(1024)
	borrowing := buffers.Writer(io.Discard)
	lent := buffers.Reader(&loop{data: bytes.Repeat([]byte("NOOP\r\n"), 100)})
	top := bytes.NewReader(stored)
	buf := make([]byte, 4096)
	for _, tt := range []struct {
		name string
		most float64
		f    func()
	}{
		{"DotWriter", 0, func() {
			d := w.Dot()
			d.Write(stored)
			if d.Finish(-1) != nil {
				t.Fatal("Finish failed")
			}
		}},
		{"DotReader by Read", 1, func() {
			for d := r.Dot(); ; {
				if _, err := d.Read(buf); err == io.EOF {
					return
				} else if err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"DotReader by WriteTo", 1, func() {
			if _, err := r.Dot().WriteTo(io.Discard); err != nil {
				t.Fatal(err)
			}
		}},
		{"ReadLine", 0, func() {
			if line, err := commands.ReadLine(255); len(line) != 10 || err != nil {
				t.Fatal(err)
			}
		}},
		// Without a pool 4; under the race detector a pool forgets at random.
		{"borrowing", 2, func() {
			for range 60 {
				lent.ReadLine(255)
			}
			lent.Release()
			borrowing.Line("+OK")
			borrowing.Flush()
			borrowing.Release()
		}},
		{"SizeCounter", 0, func() {
			var c SizeCounter
			c.Write(stored)
		}},
		{"a listing", 0, func() { w.Write(append(w.Available(32), "1 120\r\n"...)) }},
		{"a status line", 0, func() { w.Line("+OK ", "2", " 320") }},
		{"Top", 1, func() {
			top.Reset(stored)
			for src := Top(top, 10); ; {
				if _, err := src.Read(buf); err == io.EOF {
					return
				}
			}
		}},
	} {
		if got := testing.AllocsPerRun(100, tt.f); got > tt.most {
			t.Errorf("%s: %v allocations a run, want at most %v", tt.name, got, tt.most)
		}
	}
}
