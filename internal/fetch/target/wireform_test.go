package target

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestWireForm(t *testing.T) {
	for text, want := range map[string]string{
		"":                "",
		"a\nb\n":          "a\r\nb\r\n",
		"a\r\nb":          "a\r\nb",
		"a\r\r\r\nb\n":    "a\r\nb\r\n",
		"a\rb\n":          "a\r\nb\r\n",
		"a\r\rb\r":        "a\r\n\r\nb\r\n",
		"\r.\r\n.\n":      "\r\n.\r\n.\r\n",
		"\n\n\x00\xff\n":  "\r\n\r\n\x80\xff\r\n",
		"end\r\n\r\n\n\r": "end\r\n\r\n\r\n\r\n",
	} {
		want = "X-Poplin-Id: id\r\n" + want
		got, err := io.ReadAll(wireForm("id", strings.NewReader(text), true))
		if err != nil || string(got) != want {
			t.Errorf("%q becomes %q, error %v, want %q", text, got, err, want)
		}
	}
	if got, _ := io.ReadAll(wireForm("id", strings.NewReader("\x00"), false)); string(got) != "X-Poplin-Id: id\r\n\x00" {
		t.Errorf("a NUL becomes %q", got)
	}
	broken := iotest.ErrReader(iotest.ErrTimeout)
	if got, err := io.ReadAll(wireForm("id", io.MultiReader(strings.NewReader("a\r"), broken), false)); err != iotest.ErrTimeout {
		t.Errorf("a reader that breaks gives %q, error %v", got, err)
	}
}

// TestWireFormCRs: a message of CRs alone is not held in memory.
func TestWireFormCRs(t *testing.T) {
	for text, want := range map[string]int{"b": 2*many + 1, "\n": 2, "": 2 * many} {
		c := wireForm("id", strings.NewReader(strings.Repeat("\r", many)+text), false).(*crlfReader)
		got, err := io.ReadAll(c)
		if err != nil || len(got) != want+len("X-Poplin-Id: id\r\n") || strings.HasSuffix(string(got), "\nb") != (text == "b") {
			t.Errorf("CRs and %q give %d octets, error %v, want %d", text, len(got), err, want)
		}
		if cap(c.buf) > 256<<10 {
			t.Errorf("CRs and %q: %d octets are held", text, cap(c.buf))
		}
	}
}

// many is more than is converted at once.
const many = 1 << 20

// FuzzWireForm: nothing on the wire can be taken for a line end but CRLF, and
// the pieces in which a message comes do not matter.
func FuzzWireForm(f *testing.F) {
	for _, text := range letters() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		whole, err := io.ReadAll(wireForm("id", strings.NewReader(text), false))
		if err != nil {
			t.Fatal(err)
		}
		pieces, err := io.ReadAll(wireForm("id", iotest.OneByteReader(strings.NewReader(text)), false))
		if err != nil || string(whole) != string(pieces) {
			t.Errorf("%q at once, %q octet by octet, error %v", whole, pieces, err)
		}
		lines := strings.ReplaceAll(string(whole), "\r\n", "")
		if strings.ContainsAny(lines, "\r\n") {
			t.Errorf("%q holds line ends that are none", whole)
		}
		if want := strings.NewReplacer("\r", "", "\n", "").Replace("X-Poplin-Id: id\n" + text); lines != want {
			t.Errorf("the text is %q, want %q", lines, want)
		}
	})
}
