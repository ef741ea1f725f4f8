package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// crlfCases are texts with what becomes of them.
var crlfCases = map[string]string{
	"": "", "a": "a\r\n", "a\n": "a\r\n", "a\r\n": "a\r\n", "\n": "\r\n", "\r": "\r\r\n", "\r\r\n": "\r\r\n", "\n\r": "\r\n\r\r\n", "a\nb\r\nc": "a\r\nb\r\nc\r\n",
	".\n..\n": ".\r\n..\r\n", "a\rb\n\n": "a\rb\r\n\r\n", "\x00\xff": "\x00\xff\r\n",
}

// TestCRLFWriter: at every split into three writes.
func TestCRLFWriter(t *testing.T) {
	for text, want := range crlfCases {
		for i := range len(text) + 1 {
			for j := i; j <= len(text); j++ {
				var b bytes.Buffer
				w := NewCRLFWriter(&b)
				for _, part := range []string{text[:i], text[i:j], text[j:]} {
					if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
						t.Errorf("Write of %q gives %d, %v", part, n, err)
					}
				}
				if err := w.Finish(); err != nil || b.String() != want || w.Octets() != int64(len(want)) {
					t.Errorf("%q split at %d and %d is %q, %d octets, error %v; want %q", text, i, j, b.String(), w.Octets(), err, want)
				}
			}
		}
	}
}

// failingWriter fails at its n-th write.
type failingWriter struct{ n int }

var errFull = errors.New("full")

func (f *failingWriter) Write(p []byte) (int, error) {
	if f.n--; f.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestCRLFWriterFails(t *testing.T) {
	for n := range 4 {
		w := NewCRLFWriter(&failingWriter{n})
		_, err := w.Write([]byte("a\nb"))
		if err == nil {
			err = w.Finish()
		}
		if !errors.Is(err, errFull) {
			t.Errorf("error %v where write %d fails", err, n)
		}
	}
}

func FuzzCRLFWriter(f *testing.F) {
	for text := range crlfCases {
		f.Add(text, uint16(1))
	}
	f.Fuzz(func(t *testing.T, text string, at uint16) {
		split := int(at) % (len(text) + 1)
		var b bytes.Buffer
		w := NewCRLFWriter(&b)
		w.Write([]byte(text[:split]))
		w.Write([]byte(text[split:]))
		w.Finish()
		want, err := Size(strings.NewReader(text))
		if got := b.String(); err != nil || int64(len(got)) != want || w.Octets() != want {
			t.Errorf("%q is %q, %d octets, want %d", text, got, w.Octets(), want)
		}
		if bare := strings.Count(b.String(), "\n") - strings.Count(b.String(), "\r\n"); bare != 0 {
			t.Errorf("%q has %d bare LF", b.String(), bare)
		}
	})
}
