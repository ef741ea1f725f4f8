package delivery

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// BenchmarkData takes messages of a megabyte by DATA.
func BenchmarkData(b *testing.B) {
	taken := make(sink, 1)
	p := newPost(b, users, Options{Agent: &Agent{Store: taken}})
	c := p.dial()
	c.send("LHLO x\r\n")
	c.expect("250")
	line := strings.Repeat("x", 74) + "\r\n"
	data := bytes.Repeat([]byte(line), 1<<20/len(line))
	data = append(data, ".\r\n"...)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		io.WriteString(c, "MAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n")
		c.expect("250", "250", "354")
		c.Write(data)
		c.expect("250")
		if got := <-taken; len(got) < len(data)/2 {
			b.Fatalf("%d octets came", len(got))
		}
	}
}
