package maildir

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// parseDirents calls each for the entries that a readDir gave, "." and ".."
// left out. Their names share one string.
func parseDirents(buf []byte, each func(d dirent)) {
	const head = 8 + 8 + 2 + 1 // inode, position, length, kind
	text := string(buf)
	for at := 0; at+head < len(buf); {
		length := int(binary.NativeEndian.Uint16(buf[at+16:]))
		if length <= head || at+length > len(buf) {
			return
		}
		end := bytes.IndexByte(buf[at+head:at+length], 0)
		if end < 0 {
			end = length - head
		}
		name, kind := text[at+head:at+head+end], buf[at+18]
		if name != "." && name != ".." {
			d := dirent{entry: entry{name: name}, ino: binary.NativeEndian.Uint64(buf[at:]), kind: kindOther}
			switch kind {
			case unix.DT_REG:
				d.kind = kindRegular
			case unix.DT_UNKNOWN:
				d.kind = kindUnknown
			}
			each(d)
		}
		at += length
	}
}
