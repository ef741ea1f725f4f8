package journal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
)

// A frame is a line "@NUMBER LENGTH CHECKSUM", and as many octets as it says:
// whole lines, a record each. Numbers count from 0 without a gap. The checksum
// is over number and payload.
const frameLine = "@%d %d %08x\n"

type frame struct {
	number  uint64
	payload []byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(number uint64, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(fmt.Appendf(nil, "%d ", number), castagnoli), castagnoli, payload)
}

func appendFrame(to []byte, number uint64, payload []byte) []byte {
	to = fmt.Appendf(to, frameLine, number, len(payload), checksum(number, payload))
	return append(to, payload...)
}

var errFrame = errors.New("a record is cut off or changed")

// longestLine bounds the first line of a frame.
const longestLine = 60

// cutFrame gives the frame at the beginning of data, and what follows it.
func cutFrame(data []byte) (f frame, rest []byte, err error) {
	line, _, found := bytes.Cut(data[:min(len(data), longestLine)], []byte("\n"))
	var length int
	var sum uint32
	if !found {
		return f, nil, errFrame
	}
	if n, _ := fmt.Sscanf(string(line), "@%d %d %x", &f.number, &length, &sum); n != 3 {
		return f, nil, errFrame
	}
	rest = data[len(line)+1:]
	if length < 0 || length > len(rest) {
		return f, nil, errFrame
	}
	f.payload, rest = rest[:length], rest[length:]
	if checksum(f.number, f.payload) != sum || string(line)+"\n" != fmt.Sprintf(frameLine, f.number, length, sum) {
		return f, nil, errFrame
	}
	return f, rest, nil
}

// laterFrame tells whether a good frame stands anywhere behind the beginning of
// data whose number is next or higher: what is damaged before it was good once.
func laterFrame(data []byte, next uint64) bool {
	for i := 1; i < len(data); i++ {
		at := bytes.IndexByte(data[i:], '@')
		if at < 0 {
			return false
		}
		i += at
		if f, _, err := cutFrame(data[i:]); err == nil && f.number >= next {
			return true
		}
	}
	return false
}
