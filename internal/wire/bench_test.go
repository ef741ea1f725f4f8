package wire

import (
	"bytes"
	"io"
	"testing"
)

// message makes a message of about n octets with lines of 76 octets and a
// line that begins with a dot now and then.
func message(n int, eol string) []byte {
	var b bytes.Buffer
	b.WriteString("From: a@example.org" + eol + "Subject: figures" + eol + eol)
	for i := 0; b.Len() < n; i++ {
		line := bytes.Repeat([]byte{byte('a' + i%26)}, 76)
		if i%50 == 0 {
			line[0] = '.'
		}
		b.Write(line)
		b.WriteString(eol)
	}
	return b.Bytes()
}

func BenchmarkDotWriter(b *testing.B) {
	for _, form := range []struct{ name, eol string }{{"LF", "\n"}, {"CRLF", "\r\n"}} {
		b.Run(form.name, func(b *testing.B) {
			stored := message(12_000, form.eol)
			w := NewWriter(io.Discard, 16*1024)
			b.SetBytes(int64(len(stored)))
			for b.Loop() {
				d := w.Dot()
				d.Write(stored)
				if d.Finish(-1) != nil {
					b.Fatal("Finish failed")
				}
			}
		})
	}
}

func BenchmarkDotReader(b *testing.B) {
	stream := oracleStuff(message(12_000, "\r\n"))
	b.Run("WriteTo", func(b *testing.B) {
		r := NewReader(&loop{data: stream}, 16*1024)
		b.SetBytes(int64(len(stream)))
		for b.Loop() {
			if _, err := r.Dot().WriteTo(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Read", func(b *testing.B) {
		r := NewReader(&loop{data: stream}, 16*1024)
		p := make([]byte, 8*1024)
		b.SetBytes(int64(len(stream)))
		for b.Loop() {
			for d := r.Dot(); ; {
				if _, err := d.Read(p); err == io.EOF {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func BenchmarkSizeCounter(b *testing.B) {
	for _, form := range []struct{ name, eol string }{{"LF", "\n"}, {"CRLF", "\r\n"}} {
		b.Run(form.name, func(b *testing.B) {
			stored := message(12_000, form.eol)
			b.SetBytes(int64(len(stored)))
			for b.Loop() {
				var c SizeCounter
				c.Write(stored)
			}
		})
	}
}

func BenchmarkTop(b *testing.B) {
	stored := message(12_000, "\n")
	src := bytes.NewReader(stored)
	p := make([]byte, 16*1024)
	b.SetBytes(int64(len(stored)))
	for b.Loop() {
		src.Reset(stored)
		for top := Top(src, 1000); ; {
			if _, err := top.Read(p); err == io.EOF {
				break
			}
		}
	}
}

func BenchmarkReadLine(b *testing.B) {
	command := []byte("RETR 12345\r\n")
	r := NewReader(&loop{data: bytes.Repeat(command, 340)}, 4096)
	b.SetBytes(int64(len(command)))
	for b.Loop() {
		if _, err := r.ReadLine(255); err != nil {
			b.Fatal(err)
		}
	}
}
