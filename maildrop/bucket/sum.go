package bucket

import (
	"encoding/binary"
	"hash/crc32"
)

// sumSize is the size of the checksum behind a note.
const sumSize = 4

// withSum appends the checksum of a note.
func withSum(note []byte) []byte {
	return binary.BigEndian.AppendUint32(note, crc32.Checksum(note, castagnoli))
}

// unsum takes the checksum off, and tells whether it is right. A note without
// octets is not nil: nil says that there is none.
func unsum(b []byte) ([]byte, bool) {
	n := len(b) - sumSize
	if n < 0 {
		return nil, false
	}
	return b[:n:n], binary.BigEndian.Uint32(b[n:]) == crc32.Checksum(b[:n], castagnoli)
}
