package maildir

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"

	"golang.org/x/sys/unix"
)

// An index that is large is not written anew for each change. What changed is
// appended to it, as an entry of its journal: a CRC-32C (4 octets, big-endian)
// of what stands before the journal, of the entries before this one, and of
// what follows; the length of the rest (4 octets); what is remembered of the
// directories; the number of messages that changed, and each with the distance
// of its index from that before it, and 0 if it is gone, else 1 and a record;
// the number of messages that came, and their records. Indices are those
// before the entry.
const (
	maxEntries = 64 // of a journal, until the index is written whole
	entryHead  = 4 + 4
)

// indexFile is what is known of the file that an index is kept in. Without a
// base it must be written whole.
type indexFile struct {
	stamp   stamp // zero where there is no file
	base    int64 // octets before the journal
	size    int64 // octets
	sum     uint32
	entries int
}

// delta is how one catalog comes from another.
type delta struct {
	changed []change // in order
	added   []record
	doubles bool // there are files with two names
}

// change is what became of the message with an index: nothing is left, or
// another record.
type change struct {
	at  int
	now *record
}

// sorted gives d with its changes in order.
func (d *delta) sorted() *delta {
	slices.SortFunc(d.changed, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	return d
}

// apply makes the catalog that c becomes.
func (c *catalog) apply(d *delta) *catalog {
	if len(d.changed)+len(d.added) == 0 {
		return c
	}
	var p *packer
	if len(d.changed) == 0 {
		p = newPacker(c, len(d.added))
	} else {
		p = newPacker(&catalog{}, c.count+len(d.added))
		changed := d.changed
		k := c.cursor(0)
		tails := make([]int, len(c.tails)) // their numbers in p, plus 1
		for it := (item{}); k.next(&it); {
			if len(changed) > 0 && changed[0].at == k.at-1 {
				if r := changed[0].now; r != nil {
					p.add(r)
				}
				changed = changed[1:]
				continue
			}
			if tails[it.tail] == 0 {
				tails[it.tail] = p.tailOf(c.tails[it.tail]) + 1
			}
			it.tail = tails[it.tail] - 1
			p.put(&it)
		}
	}
	for i := range d.added {
		p.add(&d.added[i])
	}
	return p.done()
}

// encodeEntry gives an entry for a journal with that sum.
func (x *index) encodeEntry(d *delta, sum uint32) []byte {
	b := x.appendHead(make([]byte, entryHead, 512))
	b = binary.AppendUvarint(b, uint64(len(d.changed)))
	last := 0
	for _, c := range d.changed {
		b = binary.AppendUvarint(b, uint64(c.at-last))
		last = c.at
		if c.now == nil {
			b = append(b, 0)
		} else {
			b = appendRecord(append(b, 1), c.now)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(d.added)))
	for i := range d.added {
		b = appendRecord(b, &d.added[i])
	}
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)-entryHead))
	binary.BigEndian.PutUint32(b, crc32.Update(sum, castagnoli, b[4:]))
	return b
}

// replay gives the index that x becomes by a journal.
func (x *index) replay(journal []byte) *index {
	if len(journal) == 0 {
		return x
	}
	now := *x
	var records []record
	changed := false
	for len(journal) >= entryHead {
		length := binary.BigEndian.Uint32(journal[4:])
		if uint64(length) > uint64(len(journal)-entryHead) {
			break
		}
		entry := journal[:entryHead+int(length)]
		sum := crc32.Update(now.file.sum, castagnoli, entry[4:])
		if binary.BigEndian.Uint32(entry) != sum {
			break
		}
		if records == nil {
			records = x.catalog.records()
		}
		d := &decoder{text: string(entry[entryHead:])}
		next := now
		next.decodeHead(d)
		after, differs, ok := d.replay(records)
		if !ok || d.text != "" {
			break
		}
		records, changed, now = after, changed || differs, next
		now.file.sum = sum
		now.file.size += int64(len(entry))
		now.file.entries++
		journal = journal[len(entry):]
	}
	if len(journal) > 0 {
		now.file.base = 0 // nothing can be appended behind what is not read
	}
	if !changed {
		return &now
	}
	if now.catalog = newCatalog(records); !now.catalog.sound() {
		return emptyIndex()
	}
	return &now
}

// replay reads what an entry says of records, and gives these as they are then.
func (d *decoder) replay(records []record) (after []record, differs, ok bool) {
	count := d.uint()
	last := uint64(0)
	gone := false
	for range count {
		at := last + d.uint()
		last = at
		if d.bad || at >= uint64(len(records)) {
			return nil, false, false
		}
		if d.uint() == 0 {
			records[at].name, gone = "", true
			continue
		}
		r, ok := d.record()
		if !ok {
			return nil, false, false
		}
		records[at] = r
	}
	if gone {
		records = slices.DeleteFunc(records, func(r record) bool { return r.name == "" })
	}
	added, ok := d.records()
	return append(records, added...), count > 0 || len(added) > 0, ok
}

// errOther says that a file is not the one that was known.
var errOther = errors.New("another program wrote to it")

// writeIndex writes x, which comes by d from what the file prior holds, or
// with d nil from nothing. It notes in x what file it is in.
func (f *folder) writeIndex(x *index, prior indexFile, d *delta) error {
	if d != nil && prior.base >= f.journalFrom && prior.base > 0 && prior.entries < maxEntries {
		var err error
		if x.file, err = f.appendEntry(x.encodeEntry(d, prior.sum), prior); err == nil {
			return nil
		} else if err != errOther && !missing(err) {
			return errors.Join(err, f.findIndex(x))
		}
	}
	data := x.encode()
	err := f.replaceFile(indexName, data, false)
	if findErr := f.findIndex(x); err == nil {
		err = findErr
	}
	if err == nil {
		x.file.base, x.file.sum = x.file.size, binary.BigEndian.Uint32(data[len(indexMagic):])
	}
	return err
}

// findIndex notes in x what file there is, whatever is in it.
func (f *folder) findIndex(x *index) (err error) {
	x.file, err = f.indexFile()
	return err
}

// indexFile tells what file there is.
func (f *folder) indexFile() (indexFile, error) {
	var st unix.Stat_t
	if err := f.sys.lstat(f.top, indexName, &st); missing(err) {
		return indexFile{}, nil
	} else if err != nil {
		return indexFile{}, err
	}
	return indexFile{stamp: stampOf(&st), size: st.Size}, nil
}

// appendEntry appends an entry to the journal of the file prior.
func (f *folder) appendEntry(entry []byte, prior indexFile) (indexFile, error) {
	fd, err := f.sys.open(f.top, indexName, unix.O_WRONLY|unix.O_APPEND)
	if err != nil {
		return indexFile{}, err
	}
	defer f.sys.close(fd)
	var st unix.Stat_t
	if err := f.sys.fstat(fd, &st); err != nil {
		return indexFile{}, err
	}
	if stampOf(&st) != prior.stamp || st.Size != prior.size {
		return indexFile{}, errOther
	}
	if err := writeAll(f.sys, fd, entry); err != nil {
		return indexFile{}, err
	}
	if err := f.sys.fstat(fd, &st); err != nil {
		return indexFile{}, err
	}
	return indexFile{stampOf(&st), prior.base, st.Size, binary.BigEndian.Uint32(entry), prior.entries + 1}, nil
}
