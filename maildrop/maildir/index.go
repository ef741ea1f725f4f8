package maildir

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// indexName is the file that remembers sizes, UIDs and order.
const indexName = "poplin.index"

// maxState bounds the files of state that are read: the index of a million
// messages is smaller.
const maxState = 128 << 20

// leastRecord is the least number of octets of a record in an index.
const leastRecord = 9

// indexMagic begins an index: what it is, and the version of its format.
const indexMagic = "poplin index 2\n"

// The rest of an index: a CRC-32C of what follows it (4 octets, big-endian);
// 1 if settled, else 0; ino, mtime and ctime of new/, cur/ and poplin.uidl;
// the number of records; and the records. Numbers are varints, and a string
// has its length before it. An empty UID stands for the one that is the name.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// index is what is remembered of a Maildir between sessions. The zero value
// remembers nothing.
type index struct {
	stamps  stamps
	settled bool  // see listing
	mark    stamp // of poplin.uidl, as the UIDs were given; zero if there was none
	records []record
	encoded []byte // as it was read
}

// readIndex reads the index. One that is missing, damaged, or not to be read
// is one that remembers nothing.
func (f *folder) readIndex() *index {
	data, _, err := f.readFile(indexName, maxState)
	if err == nil {
		if x, ok := decodeIndex(data); ok {
			return x
		}
	}
	return &index{}
}

// encode gives the index as it is written.
func (x *index) encode() []byte {
	b := make([]byte, 0, 128+64*len(x.records))
	b = append(b, indexMagic...)
	b = append(b, 0, 0, 0, 0)
	settled := uint64(0)
	if x.settled {
		settled = 1
	}
	b = binary.AppendUvarint(b, settled)
	for _, s := range [...]stamp{x.stamps[inNew], x.stamps[inCur], x.mark} {
		b = binary.AppendUvarint(b, s.ino)
		b = binary.AppendVarint(b, s.mtime)
		b = binary.AppendVarint(b, s.ctime)
	}
	b = binary.AppendUvarint(b, uint64(len(x.records)))
	for i := range x.records {
		r := &x.records[i]
		b = binary.AppendUvarint(b, uint64(r.place))
		b = appendString(b, r.name)
		b = binary.AppendUvarint(b, r.ino)
		b = binary.AppendUvarint(b, uint64(r.octets))
		b = binary.AppendVarint(b, r.mtime)
		b = binary.AppendVarint(b, r.ctime-r.mtime)
		b = binary.AppendUvarint(b, uint64(r.size))
		if r.uid == r.base() {
			b = appendString(b, "")
		} else {
			b = appendString(b, r.uid)
		}
	}
	body := b[len(indexMagic)+4:]
	binary.BigEndian.PutUint32(b[len(indexMagic):], crc32.Checksum(body, castagnoli))
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decodeIndex parses an index. It believes no more of it than it must: the
// owner of a Maildir could write one himself.
func decodeIndex(data []byte) (*index, bool) {
	rest, found := bytes.CutPrefix(data, []byte(indexMagic))
	if !found || len(rest) < 4 || binary.BigEndian.Uint32(rest) != crc32.Checksum(rest[4:], castagnoli) {
		return nil, false
	}
	d := &decoder{data: rest[4:], text: string(rest[4:])}
	x := &index{encoded: data}
	x.settled = d.uint() == 1
	for _, s := range [...]*stamp{&x.stamps[inNew], &x.stamps[inCur], &x.mark} {
		*s = stamp{ino: d.uint(), mtime: d.int(), ctime: d.int()}
	}
	count := d.uint()
	if count > uint64(len(d.data))/leastRecord {
		return nil, false
	}
	// The count may be a lie, which the first records show; so no more room is
	// made for it than they earn.
	x.records = make([]record, 0, min(count, 4096))
	uids := make(map[string]bool, min(count, 4096))
	for range count {
		r := record{entry: entry{place: place(d.uint()), name: d.string()}, ino: d.uint()}
		r.octets, r.mtime = int64(d.uint()), d.int()
		r.ctime = r.mtime + d.int()
		r.size = int64(d.uint())
		if r.uid = d.string(); r.uid == "" {
			r.uid = r.base()
		}
		r.date()
		sound := r.place <= inCur && r.name != "" && r.name[0] != '.' && !strings.ContainsAny(r.name, "/\x00") &&
			r.octets >= 0 && r.size >= 0 && validUID(r.uid) && !uids[r.uid]
		if d.bad || !sound {
			return nil, false
		}
		uids[r.uid] = true
		x.records = append(x.records, r)
	}
	return x, !d.bad && len(d.data) == 0
}

// decoder takes an index apart. Once bad it gives zeros.
type decoder struct {
	data []byte
	text string // the same octets, which the strings share
	bad  bool
}

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.bad = true
		return
	}
	d.data, d.text = d.data[n:], d.text[n:]
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.data)
	d.skip(n)
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.data)
	d.skip(n)
	return v
}

func (d *decoder) string() string {
	n := d.uint()
	if d.bad || n > uint64(len(d.data)) {
		d.bad = true
		return ""
	}
	s := d.text[:n]
	d.data, d.text = d.data[n:], d.text[n:]
	return s
}
