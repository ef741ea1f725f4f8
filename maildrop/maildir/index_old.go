package maildir

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// oldMagic begins an index as it was written up to 0.1: it is read, for the
// UIDs and the order in it, and replaced by the next one that is written.
const oldMagic = "poplin index 2\n"

// leastRecord is the least number of octets of a record.
const leastRecord = 9

// decodeOldIndex parses an old index: a CRC-32C of what follows it; 1 if
// settled, else 0; ino, mtime and ctime of new/, cur/ and poplin.uidl; the
// number of records; and the records, as in a journal.
func decodeOldIndex(data []byte) (*index, bool) {
	rest := data[len(oldMagic):]
	if len(rest) < 4 || binary.BigEndian.Uint32(rest) != crc32.Checksum(rest[4:], castagnoli) {
		return nil, false
	}
	d := &decoder{text: string(rest[4:])}
	x := &index{}
	if d.uint() == 1 {
		x.settled = [2]bool{true, true}
	}
	for _, s := range [...]*stamp{&x.stamps[inNew], &x.stamps[inCur], &x.mark} {
		*s = stamp{ino: d.uint(), mtime: d.int(), ctime: d.int()}
	}
	records, ok := d.records()
	if !ok || d.text != "" {
		return nil, false
	}
	x.catalog = newCatalog(records)
	return x, x.catalog.sound()
}

// appendRecord appends a record. An empty UID stands for the one that is the
// name.
func appendRecord(b []byte, r *record) []byte {
	b = binary.AppendUvarint(b, uint64(r.place))
	b = appendString(b, r.name)
	b = binary.AppendUvarint(b, r.ino)
	b = binary.AppendUvarint(b, uint64(r.octets))
	b = binary.AppendVarint(b, r.mtime)
	b = binary.AppendVarint(b, r.ctime-r.mtime)
	b = binary.AppendUvarint(b, uint64(r.size))
	if r.uid == r.base() {
		return appendString(b, "")
	}
	return appendString(b, r.uid)
}

// record is the reverse of appendRecord. It tells whether the record is sound.
func (d *decoder) record() (record, bool) {
	r := record{entry: entry{place: place(min(d.uint(), 2)), name: d.string()}, ino: d.uint()}
	r.octets, r.mtime = int64(d.uint()), d.int()
	r.ctime = r.mtime + d.int()
	r.size = int64(d.uint())
	if r.uid = d.string(); r.uid == "" {
		r.uid = r.base()
	}
	r.date()
	sound := r.place <= inCur && r.name != "" && r.name[0] != '.' && !strings.ContainsAny(r.name, "/\x00") &&
		r.octets >= 0 && r.size >= 0 && validUID(r.uid)
	return r, sound && !d.bad
}

// records reads a number of records, and then these.
func (d *decoder) records() ([]record, bool) {
	count := d.uint()
	if count > uint64(len(d.text))/leastRecord {
		return nil, false
	}
	// The count may be a lie, which the first records show; so no more room is
	// made for it than they earn.
	records := make([]record, 0, min(count, 4096))
	for range count {
		r, ok := d.record()
		if !ok {
			return nil, false
		}
		records = append(records, r)
	}
	return records, true
}
