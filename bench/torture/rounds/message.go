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

// sender of all messages. Its line comes first in what is retrieved.
const sender = "sender@example.org"

// letterLine is the first line of a message as it is sent. It holds the id,
// the number of octets behind the line, and the checksum of both the id and
// these octets, which follow to the end of the message.
const letterLine = "X-Torture: id=%d size=%d sum=%016x\r\n"

var checksums = crc64.MakeTable(crc64.ECMA)

// checksum is that of a letterLine.
func checksum(id uint64, body []byte) uint64 {
	return crc64.Update(crc64.Checksum(strconv.AppendUint(nil, id, 10), checksums), checksums, body)
}

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
// octets as between 10,000 and 100,000. Its lines all end in CRLF: others
// would come back as they were not sent.
func newLetter(id uint64, numbers *rand.Rand) []byte {
	size := int(smallest * math.Pow(largest/smallest, numbers.Float64()))
	from := numbers.IntN(len(text) - largest)
	body := make([]byte, 0, size+8)
	body = append(body, "\r\n"...)
	body = append(body, bytes.Trim(text[from:from+max(0, size-60)], "\r\n")...)
	body = append(body, "\r\n"...)
	return append(fmt.Appendf(nil, letterLine, id, len(body), checksum(id, body)), body...)
}

// stuffed gives the form that follows DATA. Done here and not by the code
// under test, so that they cannot be wrong in the same way.
func stuffed(letter []byte) []byte {
	return append(bytes.ReplaceAll(letter, []byte("\n."), []byte("\n..")), ".\r\n"...)
}

// readLetter finds the id of a message as retrieved, and tells whether it is
// whole. Ok is false where there is no id, or only a part of it.
func readLetter(message []byte) (id uint64, whole, ok bool) {
	begins := bytes.HasPrefix(message, []byte("Return-Path: <"+sender+">\r\n"))
	for line := range bytes.Lines(message) {
		message = message[len(line):]
		if len(bytes.TrimSpace(line)) == 0 {
			break // the header ends
		}
		var size int
		var sum uint64
		n, _ := fmt.Sscanf(string(line), letterLine, &id, &size, &sum)
		switch n {
		case 0:
		case 1:
			return 0, false, false
		case 2:
			return id, false, true
		default:
			begins = begins && string(line) == fmt.Sprintf(letterLine, id, size, sum)
			return id, begins && len(message) == size && checksum(id, message) == sum, true
		}
	}
	return 0, false, false
}

// letterName names a copy in faults.
func letterName(user int, id uint64) string {
	return "message " + strconv.FormatUint(id, 10) + " of " + userName(user)
}
