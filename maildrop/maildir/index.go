package maildir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"hash/maphash"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// indexName is the file that remembers sizes, UIDs and order.
const indexName = "poplin.index"

// maxState bounds the files of state that are read: the index of a million
// messages is smaller.
const maxState = 128 << 20

// indexMagic begins an index: what it is, and the version of its format.
const indexMagic = "poplin index 3\n"

// The rest of an index is a CRC-32C (4 octets, big-endian) of what is behind
// it, up to the journal; the length of that (8 octets); and then: 1 if the
// listing of new/ is settled, plus 2 if that of cur/ is; ino, mtime and ctime
// of new/, cur/ and poplin.uidl; the numbers of messages, of tails, of octets
// in lines and packed, and of sizes that are huge; the tails, each a place and
// a string; the huge sizes, each an index and a size; the sizes, 4 octets
// each; lines and packed, as in a catalog. The other numbers are varints, and
// a string has its length before it. See journal.go for what follows.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const indexHead = len(indexMagic) + 4 + 8

// index is what is remembered of a Maildir between sessions. It does not
// change once it is made; &index{catalog: &catalog{}} remembers nothing.
type index struct {
	stamps  stamps
	settled [2]bool // by place: the stamp stands for the content, see listing
	mark    stamp   // of poplin.uidl, as the UIDs were given; zero if there was none
	*catalog
	file indexFile

	// In memory only:
	filter  filter    // nil until it is needed
	doubles bool      // there may be files with two names
	swept   time.Time // when what is old was removed last
}

// memory gives about how many octets an index takes.
func (x *index) memory() int { return x.catalog.memory() + 4*cap(x.filter) }

// emptyIndex remembers nothing.
func emptyIndex() *index { return &index{catalog: &catalog{}} }

// readIndex reads the index. One that is missing, damaged, or not to be read
// is one that remembers nothing; but not where only this process has no
// descriptor left to read it.
func (f *folder) readIndex() (*index, error) {
	data, mark, err := f.readFile(indexName, maxState)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return nil, err
	}
	if err == nil {
		if x, ok := decodeIndex(data); ok {
			x.file.stamp = mark
			return x, nil
		}
	}
	return emptyIndex(), nil
}

// encode gives the index as it is written, without a journal.
func (x *index) encode() []byte {
	c := x.catalog
	b := make([]byte, 0, 256+len(c.lines)+len(c.packed)+4*c.count)
	b = append(b, indexMagic...)
	b = append(b, make([]byte, 4+8)...)
	b = x.appendHead(b)
	for _, n := range []int{c.count, len(c.tails), len(c.lines), len(c.packed), len(c.big)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	for _, t := range c.tails {
		b = binary.AppendUvarint(b, uint64(t.place))
		b = appendString(b, t.flags)
	}
	for i, n := range c.big {
		b = binary.AppendUvarint(b, uint64(i))
		b = binary.AppendUvarint(b, uint64(n))
	}
	for _, n := range c.sizes {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b = append(b, c.lines...)
	b = append(b, c.packed...)
	binary.BigEndian.PutUint64(b[len(indexMagic)+4:], uint64(len(b)-indexHead))
	binary.BigEndian.PutUint32(b[len(indexMagic):], crc32.Checksum(b[len(indexMagic)+4:], castagnoli))
	return b
}

// appendHead appends what is remembered of the directories.
func (x *index) appendHead(b []byte) []byte {
	var settled byte
	for p, is := range x.settled {
		if is {
			settled |= 1 << p
		}
	}
	b = append(b, settled)
	for _, s := range [...]stamp{x.stamps[inNew], x.stamps[inCur], x.mark} {
		b = binary.AppendUvarint(b, s.ino)
		b = binary.AppendVarint(b, s.mtime)
		b = binary.AppendVarint(b, s.ctime)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decodeIndex parses an index. It believes no more of it than it must: the
// owner of a Maildir could write one himself. A journal that is cut or damaged
// ends with the last of its entries that is whole.
func decodeIndex(data []byte) (*index, bool) {
	if bytes.HasPrefix(data, []byte(oldMagic)) {
		return decodeOldIndex(data)
	}
	if len(data) < indexHead || string(data[:len(indexMagic)]) != indexMagic {
		return nil, false
	}
	sum, length := binary.BigEndian.Uint32(data[len(indexMagic):]), binary.BigEndian.Uint64(data[len(indexMagic)+4:])
	if length > uint64(len(data)-indexHead) {
		return nil, false
	}
	end := indexHead + int(length)
	if sum != crc32.Checksum(data[len(indexMagic)+4:end], castagnoli) {
		return nil, false
	}
	x := &index{catalog: &catalog{}, file: indexFile{base: int64(end), size: int64(end), sum: sum}}
	d := &decoder{text: string(data[indexHead:end])}
	x.decodeHead(d)
	if !x.catalog.decode(d) {
		return nil, false
	}
	return x.replay(data[end:]), true
}

// decodeHead is the reverse of appendHead.
func (x *index) decodeHead(d *decoder) {
	settled := d.uint()
	x.settled = [2]bool{settled&1 != 0, settled&2 != 0}
	for _, s := range [...]*stamp{&x.stamps[inNew], &x.stamps[inCur], &x.mark} {
		*s = stamp{ino: d.uint(), mtime: d.int(), ctime: d.int()}
	}
}

// decode fills a catalog, and tells whether it is sound.
func (c *catalog) decode(d *decoder) bool {
	var n [5]uint64
	for i := range n {
		if n[i] = d.uint(); n[i] > uint64(len(d.text)) {
			return false
		}
	}
	count, tails, lines, packed, big := int(n[0]), int(n[1]), int(n[2]), int(n[3]), int(n[4])
	for range tails {
		t := tail{place: place(min(d.uint(), math.MaxUint8)), flags: d.string()}
		if t.place > inCur || t.flags != "" && t.flags[0] != ':' || strings.ContainsAny(t.flags, "/\x00") || d.bad {
			return false
		}
		c.tails = append(c.tails, t)
	}
	for range big {
		i, size := d.uint(), d.uint()
		if i >= uint64(count) || size < huge || size > math.MaxInt64 || d.bad {
			return false
		}
		if c.big == nil {
			c.big = make(map[int]int64)
		}
		c.big[int(i)] = int64(size)
	}
	sizes := d.take(4 * count)
	c.lines, c.packed = d.take(lines), d.take(packed)
	if d.bad || d.text != "" {
		return false
	}
	c.count, c.sizes = count, make([]uint32, count)
	for i := range c.sizes {
		c.sizes[i] = uint32(sizes[4*i]) | uint32(sizes[4*i+1])<<8 | uint32(sizes[4*i+2])<<16 | uint32(sizes[4*i+3])<<24
		if _, known := c.big[i]; known != (c.sizes[i] == huge) {
			return false
		}
		c.octets += c.size(i)
	}
	return c.sound()
}

// sound notes where groups begin, and tells whether every record is one that
// could have been made.
func (c *catalog) sound() bool {
	c.groups = make([]group, 0, (c.count+groupSize-1)/groupSize)
	seen := newSeen(c.count)
	k := cursor{catalog: c}
	var number [20]byte
	for it := (item{}); k.at < c.count; {
		begin := k.pos
		if k.at%groupSize == 0 {
			c.groups = append(c.groups, begin)
		}
		if !k.next(&it) {
			return false
		}
		n := len(strconv.AppendInt(number[:0], int64(k.at), 10))
		line := c.lines[begin.lines:k.pos.lines]
		if len(line) != n+1+len(it.uid)+2 || line[:n] != string(number[:n]) || line[len(line)-1] != '\n' ||
			!validUID(it.uid) || it.octets < 0 || it.size < 0 || !validBase(it.base, c.tails[it.tail].flags) || seen.twice(it.uid) {
			return false
		}
	}
	return !k.bad && k.pos == group{len(c.lines), len(c.packed)}
}

// validBase tells whether a base, with the flags behind it, can be a file's name.
func validBase(base, flags string) bool {
	if base == "" {
		return flags != "" // a name that begins with its flags
	}
	return base[0] != '.' && strings.IndexByte(base, '/') < 0 && strings.IndexByte(base, ':') < 0 && strings.IndexByte(base, 0) < 0
}

// seen finds UIDs that are there twice, by their hashes. Two that have one
// hash by chance cost a reading of the messages.
type seen struct {
	seed  maphash.Seed
	table []uint64
}

func newSeen(count int) *seen {
	n := 16
	for n < 2*count {
		n *= 2
	}
	return &seen{maphash.MakeSeed(), make([]uint64, n)}
}

func (s *seen) twice(uid string) bool {
	h := maphash.String(s.seed, uid) | 1
	for at := h >> 8; ; at++ {
		switch slot := &s.table[at&uint64(len(s.table)-1)]; *slot {
		case 0:
			*slot = h
			return false
		case h:
			return true
		}
	}
}

// decoder takes an index apart. Once bad it gives zeros.
type decoder struct {
	text string // what is left, which the strings share
	bad  bool
}

func (d *decoder) take(n int) string {
	if n < 0 || n > len(d.text) {
		d.text, d.bad = "", true
		return ""
	}
	s := d.text[:n]
	d.text = d.text[n:]
	return s
}

func (d *decoder) uint() uint64 {
	var v uint64
	for i := 0; i < len(d.text) && i < binary.MaxVarintLen64; i++ {
		b := d.text[i]
		v |= uint64(b&0x7F) << (7 * i)
		if b < 0x80 {
			d.text = d.text[i+1:]
			return v
		}
	}
	d.text, d.bad = "", true
	return 0
}

func (d *decoder) int() int64 {
	v := d.uint()
	return int64(v>>1) ^ -int64(v&1)
}

func (d *decoder) string() string {
	n := d.uint()
	if d.bad || n > uint64(len(d.text)) {
		d.text, d.bad = "", true
		return ""
	}
	return d.take(int(n))
}
