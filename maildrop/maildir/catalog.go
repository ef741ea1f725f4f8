package maildir

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// catalog is the messages of a Maildir, in order, packed: some 60 octets each,
// the unique-id included. It does not change once it is made, so sessions and
// the cache share it.
type catalog struct {
	count  int
	octets int64         // the sum of the sizes
	lines  string        // of each message "NUMBER UID\r\n", which is what UIDL sends
	sizes  []uint32      // in the form of the wire
	big    map[int]int64 // those that have no room there, whose place holds huge
	packed string        // what else a record holds: see packer
	groups []group       // where each group of messages begins
	tails  []tail        // what names end in; few differ
}

// huge stands for a size of 4 GiB and more.
const huge = math.MaxUint32

// groupSize is how many records are unpacked, at most, to get at one.
const groupSize = 32

// group says where the first message of a group is in lines and packed.
type group struct{ lines, packed int }

// tail is where a file is, and the end of its name, from the ":" on.
type tail struct {
	place place
	flags string
}

// size gives the size of message i.
func (c *catalog) size(i int) int64 {
	if n := c.sizes[i]; n != huge {
		return int64(n)
	}
	return c.big[i]
}

// memory gives about how many octets a catalog takes.
func (c *catalog) memory() int {
	n := 256 + len(c.lines) + len(c.packed) + 4*cap(c.sizes) + 16*cap(c.groups) + 32*len(c.big)
	for _, t := range c.tails {
		n += 24 + len(t.flags)
	}
	return n
}

// item is an unpacked record: its name is base and the flags of its tail.
type item struct {
	base, uid    string
	tail         int
	ino          uint64
	octets, size int64
	mtime, ctime int64
}

// cursor walks through a catalog. It believes what is packed only as far as it
// must: a false one makes bad true and never a panic.
type cursor struct {
	*catalog
	at    int
	pos   group
	prior item // of the same group, for differences
	bad   bool
}

// cursor gives a cursor that stands before message i.
func (c *catalog) cursor(i int) cursor {
	k := cursor{catalog: c, at: i - i%groupSize}
	if k.at < c.count {
		k.pos = c.groups[k.at/groupSize]
	}
	for it := (item{}); k.at < i; {
		if !k.next(&it) {
			break
		}
	}
	return k
}

// next unpacks the next message.
func (k *cursor) next(it *item) bool {
	if k.at >= k.count || k.bad {
		return false
	}
	if k.at%groupSize == 0 {
		k.prior = item{}
	}
	end := strings.IndexByte(k.lines[k.pos.lines:], '\r')
	blank := strings.IndexByte(k.lines[k.pos.lines:], ' ')
	if blank < 0 || end < blank {
		k.bad = true
		return false
	}
	it.uid = k.lines[k.pos.lines+blank+1 : k.pos.lines+end]
	k.pos.lines = min(k.pos.lines+end+2, len(k.lines))
	kind := k.uint()
	it.base, it.tail = it.uid, int(kind>>1)
	if kind&1 == 1 {
		it.base = k.string()
	}
	it.ino = k.prior.ino + uint64(k.int())
	it.size = k.size(k.at)
	it.octets = it.size - k.int()
	it.mtime = k.prior.mtime + k.int()
	it.ctime = it.mtime + k.prior.ctime - k.prior.mtime + k.int()
	k.prior.ino, k.prior.mtime, k.prior.ctime = it.ino, it.mtime, it.ctime
	if kind>>1 >= uint64(len(k.tails)) {
		k.bad = true
	}
	k.at++
	return !k.bad
}

func (k *cursor) uint() uint64 {
	var v uint64
	for shift, i := uint(0), k.pos.packed; i < len(k.packed) && shift < 64; shift, i = shift+7, i+1 {
		b := k.packed[i]
		v |= uint64(b&0x7F) << shift
		if b < 0x80 {
			k.pos.packed = i + 1
			return v
		}
	}
	k.bad = true
	return 0
}

func (k *cursor) int() int64 {
	v := k.uint()
	return int64(v>>1) ^ -int64(v&1)
}

func (k *cursor) string() string {
	n := k.uint()
	if n > uint64(len(k.packed)-k.pos.packed) {
		k.bad = true
		return ""
	}
	s := k.packed[k.pos.packed : k.pos.packed+int(n)]
	k.pos.packed += int(n)
	return s
}

// record makes the record of an item, without its date.
func (c *catalog) record(it *item) record {
	t := &c.tails[it.tail]
	return record{entry: entry{t.place, it.base + t.flags}, ino: it.ino, octets: it.octets, mtime: it.mtime, ctime: it.ctime, size: it.size, uid: it.uid}
}

// at gives the record of message i.
func (c *catalog) at(i int) record {
	k := c.cursor(i)
	var it item
	k.next(&it)
	r := c.record(&it)
	r.date()
	return r
}

// records gives all of them.
func (c *catalog) records() []record {
	all := make([]record, 0, c.count)
	k := c.cursor(0)
	for it := (item{}); k.next(&it); {
		r := c.record(&it)
		r.date()
		all = append(all, r)
	}
	return all
}

// messages gives the listing in the form of package maildrop.
func (c *catalog) messages() []maildrop.Message {
	list := make([]maildrop.Message, 0, c.count)
	k := c.cursor(0)
	for it := (item{}); k.next(&it); {
		r := record{entry: entry{name: it.base}, mtime: it.mtime}
		r.date()
		list = append(list, maildrop.Message{UID: it.uid, Size: it.size, Received: time.Unix(0, r.when)})
	}
	return list
}

// packer makes a catalog.
type packer struct {
	catalog
	lines  strings.Builder
	packed strings.Builder
	one    []byte // what put packs
	tailAt map[tail]int
	last   tail // of what was added last, and its number
	lastAt int
	prior  item
}

// newPacker makes a packer that begins with the messages of c and has room for
// more of them.
func newPacker(c *catalog, more int) *packer {
	p := &packer{tailAt: make(map[tail]int), lastAt: -1}
	p.lines.Grow(len(c.lines) + 48*more + 80)
	p.lines.WriteString(c.lines)
	p.packed.Grow(len(c.packed) + 20*more + 40)
	p.packed.WriteString(c.packed)
	p.sizes = append(make([]uint32, 0, c.count+more), c.sizes...)
	p.groups = append(make([]group, 0, (c.count+more+groupSize-1)/groupSize), c.groups...)
	p.tails = append(p.tails, c.tails...)
	p.count, p.octets = c.count, c.octets
	for i, t := range p.tails {
		p.tailAt[t] = i
	}
	for i, n := range c.big {
		p.setBig(i, n)
	}
	if c.count%groupSize != 0 {
		k := c.cursor(c.count - 1)
		k.next(&item{})
		p.prior = k.prior
	}
	return p
}

func (p *packer) setBig(i int, n int64) {
	if p.big == nil {
		p.big = make(map[int]int64)
	}
	p.big[i] = n
}

// tailOf gives the number of a tail.
func (p *packer) tailOf(t tail) int {
	if p.lastAt >= 0 && t == p.last {
		return p.lastAt
	}
	at, found := p.tailAt[t]
	if !found {
		t.flags = strings.Clone(t.flags)
		at = len(p.tails)
		p.tails = append(p.tails, t)
		p.tailAt[t] = at
	}
	p.last, p.lastAt = t, at
	return at
}

// add adds the record of a message.
func (p *packer) add(r *record) {
	base := r.base()
	p.put(&item{base: base, uid: r.uid, tail: p.tailOf(tail{r.place, r.name[len(base):]}),
		ino: r.ino, octets: r.octets, size: r.size, mtime: r.mtime, ctime: r.ctime})
}

// put adds an item. Its tail is a number in this packer.
func (p *packer) put(it *item) {
	if p.count%groupSize == 0 {
		p.groups = append(p.groups, group{p.lines.Len(), p.packed.Len()})
		p.prior = item{}
	}
	p.count++
	b := strconv.AppendInt(p.one[:0], int64(p.count), 10)
	b = append(b, ' ')
	b = append(b, it.uid...)
	b = append(b, '\r', '\n')
	p.lines.Write(b)
	if b = b[:0]; it.uid == it.base {
		b = binary.AppendUvarint(b, uint64(it.tail)<<1)
	} else {
		b = binary.AppendUvarint(b, uint64(it.tail)<<1|1)
		b = appendString(b, it.base)
	}
	b = binary.AppendVarint(b, int64(it.ino-p.prior.ino))
	b = binary.AppendVarint(b, it.size-it.octets)
	b = binary.AppendVarint(b, it.mtime-p.prior.mtime)
	b = binary.AppendVarint(b, it.ctime-it.mtime-(p.prior.ctime-p.prior.mtime))
	p.packed.Write(b)
	p.one = b
	p.prior.ino, p.prior.mtime, p.prior.ctime = it.ino, it.mtime, it.ctime
	if it.size < huge {
		p.sizes = append(p.sizes, uint32(it.size))
	} else {
		p.sizes = append(p.sizes, huge)
		p.setBig(p.count-1, it.size)
	}
	p.octets += it.size
}

// done gives the catalog. The packer must not be used any more.
func (p *packer) done() *catalog {
	c := p.catalog
	c.lines, c.packed = p.lines.String(), p.packed.String()
	return &c
}

// newCatalog makes one of records.
func newCatalog(records []record) *catalog {
	p := newPacker(&catalog{}, len(records))
	for i := range records {
		p.add(&records[i])
	}
	return p.done()
}
