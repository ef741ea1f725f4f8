package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// lfCases are texts with what becomes of them.
var lfCases = map[string]string{
	"": "", "\r": "\r", "\n": "\n", "\r\n": "\n", "\r\r\n": "\r\r\n", "\r\r\r\n\r\n": "\r\r\r\n\n", "\n\r": "\n\r", "a\r\nb\rc\nd\r": "a\nb\rc\nd\r", "\r\r": "\r\r",
	"\r\n\r\n.\r\n": "\n\n.\n", strings.Repeat("x", 32<<10-1) + "\r\ny": strings.Repeat("x", 32<<10-1) + "\ny",
	strings.Repeat("x", 32<<10-1) + "\ry": strings.Repeat("x", 32<<10-1) + "\ry", strings.Repeat("\r\n", 40_000): strings.Repeat("\n", 40_000),
}

func TestLFReader(t *testing.T) {
	for text, want := range lfCases {
		for name, split := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "octets": iotest.OneByteReader, "halves": iotest.HalfReader, "error with data": iotest.DataErrReader,
		} {
			got, err := io.ReadAll(NewLFReader(split(strings.NewReader(text))))
			if err != nil || string(got) != want {
				t.Errorf("%.20q read by %s is %.20q (%d octets), error %v, want %.20q (%d)", text, name, got, len(got), err, want, len(want))
			}
			if err := iotest.TestReader(NewLFReader(split(strings.NewReader(text))), []byte(want)); err != nil {
				t.Errorf("%.20q by %s: %v", text, name, err)
			}
		}
	}
	broken := errors.New("broken")
	if got, err := io.ReadAll(NewLFReader(io.MultiReader(strings.NewReader("a\r"), iotest.ErrReader(broken)))); err != broken {
		t.Errorf("a reader that breaks gives %q, error %v", got, err)
	}
}

func FuzzLFReader(f *testing.F) {
	for text := range lfCases {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := io.ReadAll(NewLFReader(iotest.HalfReader(strings.NewReader(text))))
		if want := oracleLF(text); err != nil || string(got) != want {
			t.Errorf("%q becomes %q, error %v, want %q", text, got, err, want)
		}
		if !bytes.Equal(oracleWire(got), oracleWire([]byte(text))) {
			t.Errorf("%q becomes %q, which is not sent as it came", text, got)
		}
	})
}

// oracleLF leaves out each CR before an LF, but for one behind another CR.
func oracleLF(text string) string {
	var b []byte
	for i := range len(text) {
		if text[i] != '\r' || !strings.HasPrefix(text[i:], "\r\n") || i > 0 && text[i-1] == '\r' {
			b = append(b, text[i])
		}
	}
	return string(b)
}
