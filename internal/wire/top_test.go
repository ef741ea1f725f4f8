package wire

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// RFC 1939 section 7, TOP: header, blank line, k lines of the body.
func TestTopForms(t *testing.T) {
	for _, tt := range []struct {
		name, stored string
		lines        int
		want         string
	}{
		{"no lines", "H: x\n\na\nb\n", 0, "H: x\n\n"},
		{"one line", "H: x\n\na\nb\n", 1, "H: x\n\na\n"},
		{"all lines", "H: x\n\na\nb\n", 2, "H: x\n\na\nb\n"},
		{"past the end", "H: x\n\na\nb\n", 3, "H: x\n\na\nb\n"},
		{"below zero", "H: x\n\na\n", -1, "H: x\n\n"},
		{"CRLF", "H: x\r\n\r\na\r\nb\r\n", 1, "H: x\r\n\r\na\r\n"},
		{"blank lines of the body count", "H: x\n\n\n\na\n", 2, "H: x\n\n\n\n"},
		{"no header", "\na\nb\n", 1, "\na\n"},
		{"no header, CRLF", "\r\na\r\nb\r\n", 1, "\r\na\r\n"},
		{"no blank line", "H: x\nI: y\n", 0, "H: x\nI: y\n"},
		{"a blank is not blank", "H: x\n \n\na\n", 0, "H: x\n \n\n"},
		{"CR CR LF is not blank", "H: x\r\n\r\r\n\r\na\r\n", 0, "H: x\r\n\r\r\n\r\n"},
		{"last line without end", "H: x\n\na", 1, "H: x\n\na"},
		{"header alone without end", "H: x", 0, "H: x"},
		{"empty", "", 5, ""},
		{"dots are content", "H: x\n\n.\n..\n", 1, "H: x\n\n.\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for step := range len(tt.stored) + 1 {
				got, err := io.ReadAll(Top(&splitReader{data: []byte(tt.stored), step: step}, tt.lines))
				if err != nil {
					t.Fatal(err)
				}
				sameOctets(t, fmt.Sprintf("reads of %d", step), got, []byte(tt.want))
			}
		})
	}
}

func TestTopOracle(t *testing.T) {
	check := func(text []byte, k int, src io.Reader) {
		got, err := io.ReadAll(Top(src, k))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		sameOctets(t, fmt.Sprintf("TOP %d of %q", k, text), got, oracleTop(text, k))
	}
	everyText(6, func(text []byte) {
		for k := range 3 {
			check(text, k, &splitReader{data: text, with: true})
			check(text, k, &splitReader{data: text, step: 1})
			if len(text) > 5 {
				continue
			}
			for cut := 1; cut < len(text); cut++ {
				check(text, k, &splitReader{data: text, cuts: []int{cut}})
			}
		}
	})
	rng := newRand()
	for range 3000 {
		text := randomText(rng, 100)
		check(text, rng.IntN(20), &splitReader{data: text, step: 1 + rng.IntN(30)})
	}
}

// A fault before the wanted lines were there comes out; one behind them does
// not matter, and no more is read than they need.
func TestTopSourceFails(t *testing.T) {
	stored := []byte("H: x\nI: y\n\na\nb\nc\n")
	wanted := len(oracleTop(stored, 1))
	for cut := range len(stored) + 1 {
		for _, with := range []bool{false, true} {
			got, err := io.ReadAll(Top(&splitReader{data: stored[:cut], step: 1, err: errTest, with: with}, 1))
			if want := cut < wanted; (err == errTest) != want || (err == nil) == want {
				t.Errorf("fault at %d: %v", cut, err)
			}
			sameOctets(t, fmt.Sprintf("fault at %d", cut), got, stored[:min(cut, wanted)])
		}
	}
	src := &splitReader{data: stored, step: 1}
	if _, err := io.ReadAll(Top(src, 0)); err != nil || src.at != len(oracleTop(stored, 0)) {
		t.Errorf("TOP 0 read %d octets, %v", src.at, err)
	}
}

// An endless header line needs no more memory than the reads.
func TestTopLongLine(t *testing.T) {
	text := append(bytes.Repeat([]byte("x"), 1<<20), "\n\nbody\n"...)
	n, err := io.Copy(io.Discard, Top(bytes.NewReader(text), 0))
	if n != 1<<20+2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
