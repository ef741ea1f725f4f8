package wire

import (
	"bytes"
	"io"
	"testing"
)

// seeds are texts in which line ends, dots and splits meet.
var seeds = []string{
	"", ".", "\r", "\n", "\r\n", ".\r\n", "..\r\n.\r\n", "a\r\n.\r\nb", "a\n.\nb\n", "a\r.\r\n",
	"\r\r\n.\r\n", "x\r\n.\rx\r\n.\r\n", "H: x\n\nbody\n.dot\n", "H: x\r\n\r\nbody\r\n..\r\n.\r\n+OK\r\n", "\x00\xff.\r\n",
}

func FuzzReadLine(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed), uint8(1), uint8(8))
	}
	f.Fuzz(func(t *testing.T, stream []byte, step, limit uint8) {
		r := NewReader(&splitReader{data: stream, step: int(step)}, 16)
		rest := stream
		for {
			line, err := r.ReadLine(int(limit))
			i := bytes.IndexByte(rest, '\n')
			switch {
			case i >= 0 && i < int(limit):
				if err != nil {
					t.Fatalf("a line of %d octets, limit %d: %v", i+1, limit, err)
				}
				sameOctets(t, "line", line, bytes.TrimSuffix(rest[:i], []byte("\r")))
				rest = rest[i+1:]
				continue
			case i >= 0 || len(rest) >= int(limit):
				if err != ErrLineTooLong {
					t.Fatalf("%d octets without line end, limit %d: %v", len(rest), limit, err)
				}
			case len(rest) > 0:
				if err != io.ErrUnexpectedEOF {
					t.Fatalf("a part of a line at the end: %v", err)
				}
			case err != io.EOF:
				t.Fatalf("the end: %v", err)
			}
			return
		}
	})
}

func FuzzDotReader(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed), uint8(1), uint8(0), uint8(0))
	}
	f.Fuzz(func(t *testing.T, stream []byte, step, buffer, by uint8) {
		checkDotReader(t, stream, &splitReader{data: stream, step: int(step)}, int(buffer), int(by))
	})
}

func FuzzDotRoundTrip(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed), uint8(1), uint8(16))
	}
	f.Fuzz(func(t *testing.T, stored []byte, cut, buffer uint8) {
		content := oracleWire(stored)
		at := min(int(cut), len(stored))
		var c SizeCounter
		c.Write(stored[:at])
		c.Write(stored[at:])
		if c.Octets() != int64(len(content)) {
			t.Fatalf("SizeCounter says %d, want %d", c.Octets(), len(content))
		}
		var rec recorder
		w := NewWriter(&rec, int(buffer))
		if err := writeMessage(w, c.Octets(), stored[:at], stored[at:]); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		stream := rec.all()
		sameOctets(t, "on the wire", stream, append([]byte("+OK\r\n"), oracleStuff(content)...))
		checkEnds(t, rec.writes, []int{len(stream)})
		r := NewReader(bytes.NewReader(stream), int(buffer))
		if _, err := r.ReadLine(64); err != nil {
			t.Fatal(err)
		}
		got, err := readBy(r.Dot(), int(cut))
		if err != io.EOF {
			t.Fatal(err)
		}
		sameOctets(t, "read back", got, content)
	})
}

func FuzzTop(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed), uint8(1), int16(1))
	}
	f.Fuzz(func(t *testing.T, stored []byte, step uint8, lines int16) {
		got, err := io.ReadAll(Top(&splitReader{data: stored, step: int(step)}, int(lines)))
		if err != nil {
			t.Fatal(err)
		}
		sameOctets(t, "TOP", got, oracleTop(stored, int(lines)))
	})
}
