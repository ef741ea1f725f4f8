package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// The oracles below say the same as the code under test, octet by octet and
// with no regard to speed. Tests compare the two on every text over a small
// alphabet, and on random longer ones.

const alphabet = "\r\n.x\x00"

// oracleWire gives a stored message in the form of the wire, dots not stuffed.
func oracleWire(stored []byte) []byte {
	var out []byte
	var prev byte
	for _, c := range stored {
		if c == '\n' && prev != '\r' {
			out = append(out, '\r')
		}
		out = append(out, c)
		prev = c
	}
	if len(stored) > 0 && prev != '\n' {
		out = append(out, '\r', '\n')
	}
	return out
}

// oracleStuff doubles the dots at line starts and adds the terminator. Lines
// of the content end in CRLF.
func oracleStuff(content []byte) []byte {
	var out []byte
	bol := true
	for i, c := range content {
		if bol && c == '.' {
			out = append(out, '.')
		}
		out = append(out, c)
		bol = c == '\n' && i > 0 && content[i-1] == '\r'
	}
	return append(out, ".\r\n"...)
}

// oracleUnstuff reads one message from a stream: its content, what is left
// behind the terminator, and whether there was one.
func oracleUnstuff(stream []byte) (content, rest []byte, ended bool) {
	for i := 0; i < len(stream); i++ {
		bol := i == 0 || i >= 2 && stream[i-2] == '\r' && stream[i-1] == '\n'
		if bol && stream[i] == '.' {
			if bytes.HasPrefix(stream[i:], []byte(".\r\n")) {
				return content, stream[i+3:], true
			}
			continue
		}
		content = append(content, stream[i])
	}
	// A reader can tell nothing of a dot, or a dot and CR, at the very end: it
	// may be the start of the terminator.
	for _, open := range []string{".\r", "."} {
		bol := len(stream) == len(open) || bytes.HasSuffix(stream, []byte("\r\n"+open))
		if bol && bytes.HasSuffix(stream, []byte(open)) {
			content = content[:len(content)-len(open)+1]
			break
		}
	}
	return content, nil, false
}

// oracleTop gives the header, the blank line and k lines.
func oracleTop(stored []byte, k int) []byte {
	body := false
	rest := stored
	for len(rest) > 0 {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			return stored
		}
		line := rest[:end]
		rest = rest[end:]
		switch {
		case body:
			k--
		case string(line) == "\n" || string(line) == "\r\n":
			body = true
		}
		if body && k <= 0 {
			return stored[:len(stored)-len(rest)]
		}
	}
	return stored
}

// everyText calls f with every text over the alphabet of up to n octets.
func everyText(n int, f func([]byte)) {
	var extend func(text []byte)
	extend = func(text []byte) {
		f(bytes.Clone(text))
		if len(text) == n {
			return
		}
		for i := range len(alphabet) {
			extend(append(text, alphabet[i]))
		}
	}
	extend(nil)
}

// randomText gives a text over the alphabet in which line ends and dots meet
// often.
func randomText(rng *rand.Rand, n int) []byte {
	text := make([]byte, rng.IntN(n+1))
	for i := range text {
		text[i] = alphabet[rng.IntN(len(alphabet))]
	}
	return text
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1939, 2449)) }

// splitReader gives data in pieces: at most step octets at a time, or cut at
// the places listed.
type splitReader struct {
	data []byte
	cuts []int // where a read ends, ascending, from the start of data
	step int
	err  error // at the end, io.EOF where nil
	with bool  // the error comes along with the last octets
	at   int
}

func (s *splitReader) Read(p []byte) (int, error) {
	n := min(len(p), len(s.data)-s.at)
	if s.step > 0 {
		n = min(n, s.step)
	}
	for _, cut := range s.cuts {
		if cut > s.at {
			n = min(n, cut-s.at)
			break
		}
	}
	copy(p, s.data[s.at:s.at+n])
	s.at += n
	if s.at == len(s.data) && (n == 0 || s.with) {
		if s.err != nil {
			return n, s.err
		}
		return n, io.EOF
	}
	return n, nil
}

// recorder keeps every write by itself.
type recorder struct {
	writes [][]byte
	after  int // fail once this many octets were taken; 0: never
	taken  int
}

var errTest = errors.New("injected")

func (r *recorder) Write(p []byte) (int, error) {
	if r.after > 0 && r.taken+len(p) > r.after {
		n := r.after - r.taken
		r.taken = r.after
		r.writes = append(r.writes, bytes.Clone(p[:n]))
		return n, errTest
	}
	r.taken += len(p)
	r.writes = append(r.writes, bytes.Clone(p))
	return len(p), nil
}

func (r *recorder) all() []byte { return bytes.Join(r.writes, nil) }

// splits calls f with text in every split in two, as a whole, and octet by
// octet.
func splits(text []byte, f func(pieces ...[]byte)) {
	f(text)
	for i := 1; i < len(text); i++ {
		f(text[:i], text[i:])
	}
	if len(text) > 2 {
		var single [][]byte
		for i := range text {
			single = append(single, text[i:i+1])
		}
		f(single...)
	}
}

func sameOctets(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: got %q, want %q", what, got, want)
	}
}
