package trial

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
)

// Sizes of messages, in octets, without the lines that the server adds. What
// is above 1 MiB waits for its delivery in a file.
const (
	smallest = 200
	largest  = 100_000
	huge     = 1_500_000
	hugeEach = 200 // one of so many is huge
)

// sender of all messages. Its line comes first in what is retrieved.
const sender = "sender@example.org"

// letterLine is the first line of a message as it is sent. Two attempts to
// send the same message are two texts, so that what is found tells which
// attempt it is of.
const letterLine = "X-Attempt: message=%d attempt=%d\r\n"

// letterOf is an attempt to send a message.
type letterOf struct {
	id      uint64
	attempt int
}

func (l letterOf) String() string { return fmt.Sprintf("message %d, attempt %d", l.id, l.attempt) }

// text gives the message, which is the same each time, so that what is
// retrieved is compared octet by octet with what was sent. Lines end in CRLF,
// and some begin with a dot.
func (l letterOf) text(seed uint64) []byte {
	numbers := rand.New(rand.NewPCG(seed, l.id<<8|uint64(l.attempt)))
	size := int(smallest * math.Pow(largest/smallest, numbers.Float64()))
	if l.id%hugeEach == hugeEach-1 {
		size = huge
	}
	b := bytes.NewBuffer(make([]byte, 0, size+200))
	fmt.Fprintf(b, letterLine, l.id, l.attempt)
	b.WriteString("\r\n")
	for b.Len() < size {
		if numbers.IntN(8) == 0 {
			b.WriteByte('.')
		}
		for range numbers.IntN(9) {
			b.WriteString(strconv.FormatUint(numbers.Uint64(), 36))
		}
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// stuffed gives the form that follows DATA. Done here and not by the code
// under test, so that they cannot be wrong in the same way.
func stuffed(letter []byte) []byte {
	return append(bytes.ReplaceAll(letter, []byte("\n."), []byte("\n..")), ".\r\n"...)
}

// readLetter finds out which attempt a message is of, as retrieved, and
// whether each octet is as it was sent. Ok is false where nothing tells what
// it is.
func readLetter(seed uint64, message []byte) (l letterOf, whole, ok bool) {
	begins := bytes.HasPrefix(message, []byte("Return-Path: <"+sender+">\r\n"))
	for rest := message; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		if len(bytes.TrimSpace(line)) == 0 {
			break // the header ends
		}
		if n, _ := fmt.Sscanf(string(line), "X-Attempt: message=%d attempt=%d", &l.id, &l.attempt); n == 2 {
			return l, begins && bytes.Equal(rest, l.text(seed)), true
		}
		rest = after
	}
	return letterOf{}, false, false
}
