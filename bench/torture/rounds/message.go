package rounds

import (
	"bytes"
	"fmt"
	"hash/crc64"
	"math"
	"math/rand/v2"
	"strconv"
)

// Sizes of messages, in octets, without the lines that the server adds.
const (
	smallest = 100
	largest  = 200_000
)

// letter is a message as it is sent.
//
// Its first line holds the id, the number of octets behind the line, and their
// checksum; these follow to the end of the message.
const letterLine = "X-Torture: id=%d size=%d sum=%016x\r\n"

var checksums = crc64.MakeTable(crc64.ECMA)

// text is what bodies are cut from: lines of many lengths, some with a dot in
// front, that are nowhere the same.
var text = func() []byte {
	numbers := rand.New(rand.NewPCG(1939, 2033))
	var b bytes.Buffer
	for b.Len() < 2*largest {
		if numbers.IntN(8) == 0 {
			b.WriteByte('.')
		}
		for range numbers.IntN(100) {
			b.WriteByte(byte(' ' + numbers.IntN('~'-' ')))
		}
		b.WriteString("\r\n")
	}
	return b.Bytes()
}()

// newLetter makes a message of a random size: as often between 100 and 1,000
// octets as between 10,000 and 100,000.
func newLetter(id uint64, numbers *rand.Rand) []byte {
	size := int(smallest * math.Pow(largest/smallest, numbers.Float64()))
	from := numbers.IntN(len(text) - largest - 200)
	from += bytes.IndexByte(text[from:], '\n') + 1 // a bare LF would come back as CRLF
	body := make([]byte, 0, size+8)
	body = append(body, "\r\n"...)
	body = append(body, text[from:from+max(0, size-60)]...)
	body = bytes.TrimRight(body, "\r")
	body = append(body, "\r\n"...)
	line := fmt.Sprintf(letterLine, id, len(body), crc64.Checksum(body, checksums))
	return append([]byte(line), body...)
}

// stuffed gives the form that follows DATA. Done here and not by the code
// under test, so that they cannot be wrong in the same way.
func stuffed(letter []byte) []byte {
	return append(bytes.ReplaceAll(letter, []byte("\n."), []byte("\n..")), ".\r\n"...)
}

// readLetter finds the id of a message as retrieved, and tells whether it is
// whole. Ok is false where there is no id.
func readLetter(message []byte) (id uint64, whole, ok bool) {
	for line := range bytes.Lines(message) {
		message = message[len(line):]
		if len(bytes.TrimSpace(line)) == 0 {
			break // the header ends
		}
		var size int
		var sum uint64
		if n, _ := fmt.Sscanf(string(line), "X-Torture: id=%d size=%d sum=%x", &id, &size, &sum); n == 0 {
			continue
		} else if n < 3 {
			return id, false, true
		}
		return id, len(message) == size && crc64.Checksum(message, checksums) == sum, true
	}
	return 0, false, false
}

// letterName names a copy in faults.
func letterName(user int, id uint64) string {
	return "message " + strconv.FormatUint(id, 10) + " of " + userName(user)
}
