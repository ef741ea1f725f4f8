package trial

import (
	"bytes"
	"fmt"
	"hash/crc64"
	"math"
	"math/rand/v2"
)

// Sizes of messages, in octets, without the lines that the server adds.
const (
	smallest = 100
	largest  = 50_000
)

// letterLine is the first line of a message as it is sent: its id, the number
// of octets behind the line, and their checksum. These follow to the end of
// the message. Octets are counted with LF for line ends, as a Maildir has them.
const letterLine = "X-Powerloss: id=%d size=%d sum=%016x\n"

var checksums = crc64.MakeTable(crc64.ECMA)

// newLetter makes a message of a random size: as often between 100 and 1,000
// octets as between 1,000 and 10,000. The text is nowhere the same, so that no
// block of another message can stand in for one of it.
func newLetter(id uint64, numbers *rand.Rand) []byte {
	size := int(smallest * math.Pow(largest/smallest, numbers.Float64()))
	body := make([]byte, 1, size+80)
	body[0] = '\n'
	for len(body) < size {
		for range 1 + numbers.IntN(75) {
			body = append(body, byte('A'+numbers.IntN('Z'-'A'+1)))
		}
		body = append(body, '\n')
	}
	return append(fmt.Appendf(nil, letterLine, id, len(body), crc64.Checksum(body, checksums)), body...)
}

// sent gives the form that follows DATA. No line begins with a dot.
func sent(letter []byte) []byte {
	return append(bytes.ReplaceAll(letter, []byte("\n"), []byte("\r\n")), ".\r\n"...)
}

// readLetter finds the id of a message, as a file or as retrieved, and tells
// whether it is whole. Ok is false where there is no id.
func readLetter(message []byte) (id uint64, whole, ok bool) {
	message = bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n"))
	for line := range bytes.Lines(message) {
		message = message[len(line):]
		if len(line) == 1 {
			break // the header ends
		}
		var size int
		var sum uint64
		if n, _ := fmt.Sscanf(string(line), letterLine, &id, &size, &sum); n == 0 {
			continue
		} else if n < 3 {
			return id, false, true
		}
		return id, len(message) == size && crc64.Checksum(message, checksums) == sum, true
	}
	return 0, false, false
}
