package maildir

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"reflect"
	"testing"

	"github.com/poplin-mail/poplin/maildrop"
)

// withSum puts a right checksum and length before the body of an index.
func withSum(magic string, body []byte) []byte {
	rest := body
	if magic == indexMagic {
		rest = append(binary.BigEndian.AppendUint64(nil, uint64(len(body))), body...)
	}
	return append(binary.BigEndian.AppendUint32([]byte(magic), crc32.Checksum(rest, castagnoli)), rest...)
}

// seeds are records for indices.
var seeds = []record{
	{entry: entry{inCur, "1700000000.M1P1.host:2,S"}, ino: 9, octets: 10, mtime: 11, ctime: 12, size: 12, uid: "1700000000.M1P1.host"},
	{entry: entry{inNew, "b"}, octets: 1 << 33, size: 1 << 33, uid: "c"},
	{entry: entry{inNew, ":2,S"}, ino: 1 << 63, mtime: -1, ctime: 1 << 62, uid: "d"},
}

// FuzzIndex: whatever the octets, decodeIndex gives an index that encodes to
// one with the same content, or refuses. The checksum is made right, so that
// what is behind it is reached.
func FuzzIndex(f *testing.F) {
	f.Add([]byte{})
	f.Add(emptyIndex().encode()[indexHead:])
	f.Add((&index{settled: [2]bool{true, false}, mark: stamp{1, 2, 3}, catalog: newCatalog(seeds)}).encode()[indexHead:])
	f.Fuzz(func(t *testing.T, body []byte) {
		first, ok := decodeIndex(withSum(indexMagic, body))
		if !ok {
			return
		}
		roundTrip(t, first)
	})
}

// FuzzOldIndex: the same for an index of the format before.
func FuzzOldIndex(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeOld(emptyIndex(), nil)[len(oldMagic)+4:])
	f.Add(encodeOld(&index{settled: [2]bool{true, true}}, seeds)[len(oldMagic)+4:])
	f.Fuzz(func(t *testing.T, body []byte) {
		if x, ok := decodeIndex(withSum(oldMagic, body)); ok {
			roundTrip(t, x)
		}
	})
}

// FuzzJournal: whatever follows an index, what is read of it is sound.
func FuzzJournal(f *testing.F) {
	x := &index{catalog: newCatalog(seeds)}
	f.Add(x.encodeEntry(&delta{added: []record{{entry: entry{inNew, "z"}, uid: "z"}}}, 0)[entryHead:])
	f.Add(x.encodeEntry(&delta{changed: []change{{at: 0}, {2, &seeds[0]}}}, 0)[entryHead:])
	f.Fuzz(func(t *testing.T, body []byte) {
		data := x.encode()
		entry := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(len(body)))
		entry = append(entry, body...)
		binary.BigEndian.PutUint32(entry, crc32.Update(binary.BigEndian.Uint32(data[len(indexMagic):]), castagnoli, entry[4:]))
		read, ok := decodeIndex(append(data, entry...))
		if !ok {
			t.Fatal("a journal makes the index before it useless")
		}
		roundTrip(t, read)
	})
}

// roundTrip checks that an index comes back as it was written, and that nothing
// in it breaks the protocol.
func roundTrip(t *testing.T, first *index) {
	t.Helper()
	second, ok := decodeIndex(first.encode())
	if !ok {
		t.Fatal("an index that was read cannot be written and read again")
	}
	first.file, second.file = indexFile{}, indexFile{}
	if !reflect.DeepEqual(first.records(), second.records()) || first.stamps != second.stamps || first.settled != second.settled ||
		first.mark != second.mark || first.octets != second.octets {
		t.Errorf("read is %+v, written and read again %+v", first, second)
	}
	for i, r := range first.records() {
		if !validUID(r.uid) {
			t.Errorf("UID %q is not valid", r.uid)
		}
		if one := first.at(i); one != r {
			t.Errorf("record %d is %+v among all, and %+v alone", i, r, one)
		}
	}
}

// encodeOld writes an index in the format before.
func encodeOld(x *index, records []record) []byte {
	b := binary.AppendUvarint(nil, map[bool]uint64{true: 1}[x.settled == [2]bool{true, true}])
	for _, s := range [...]stamp{x.stamps[inNew], x.stamps[inCur], x.mark} {
		b = binary.AppendUvarint(b, s.ino)
		b = binary.AppendVarint(b, s.mtime)
		b = binary.AppendVarint(b, s.ctime)
	}
	b = binary.AppendUvarint(b, uint64(len(records)))
	for _, r := range records {
		b = appendRecord(b, &r)
	}
	return withSum(oldMagic, b)
}

// taken checks what every list that is taken over must keep, and that it
// comes back from poplin.uidl.
func taken(t *testing.T, pairs []pair) {
	u := newUIDL(pairs)
	if len(u.byBase) != len(u.reserved) {
		t.Errorf("%d names have %d UIDs", len(u.byBase), len(u.reserved))
	}
	for base, uid := range u.byBase {
		if !validUID(uid) || !validBase(base, "") {
			t.Errorf("name %q has UID %q", base, uid)
		}
	}
	var valid []pair
	for _, p := range pairs {
		if validUID(p.uid) {
			valid = append(valid, p)
		}
	}
	again, err := decodeUIDL(encodeUIDL(valid))
	if err != nil || !reflect.DeepEqual(newUIDL(again), newUIDL(valid)) {
		t.Errorf("%q comes back as %q, error %v", valid, again, err)
	}
}

func FuzzDovecot(f *testing.F) {
	f.Add([]byte(dovecotList), "%08Xu%08Xv")
	f.Add([]byte("1 77 3\n1 a:2,S\n2 b\n"), "%f")
	f.Add([]byte("3 V1 N1\n1 P W1 : a b\n"), "x%u%%")
	f.Fuzz(func(t *testing.T, data []byte, format string) {
		words, err := parseUIDLFormat(format)
		if err != nil {
			return
		}
		if pairs, err := parseDovecot(data, words); err == nil {
			taken(t, pairs)
		}
	})
}

func FuzzCourier(f *testing.F) {
	f.Add([]byte("/2 4 77\na:2,S 3 1:77\nb c 4 0:0\n"))
	f.Add([]byte("/3 4 77\na 3 1:77:0\n"))
	f.Add([]byte("/1 4\na 3 1\n"))
	f.Add([]byte("a+\xff 3\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if pairs, err := parseCourier(data); err == nil {
			taken(t, pairs)
		}
	})
}

func FuzzUIDL(f *testing.F) {
	f.Add([]byte("a \"b\"\n"))
	f.Add([]byte("a \"\\x00\"\nend 0\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		data := append([]byte(uidlMagic), body...)
		data = fmt.Appendf(data, "end %08x\n", crc32.Checksum(data, castagnoli))
		pairs, err := decodeUIDL(data)
		if err != nil {
			return
		}
		if again, err := decodeUIDL(encodeUIDL(pairs)); err != nil || !reflect.DeepEqual(pairs, again) {
			t.Errorf("%q comes back as %q, error %v", pairs, again, err)
		}
	})
}

// FuzzSizes: no maildirsize makes a count that cannot be added to.
func FuzzSizes(f *testing.F) {
	for _, seed := range []string{"", "\n", "S\n", ",\n", "100S,5C\n10 1\n-5 -1\n", "-1S\n", "1S\n9223372036854775807 1\n", "1S\n-9223372036854775808 1\n", "\xffC\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseSizes(data)
		if err != nil {
			return
		}
		room := int64(1 << 61)
		if len(data) <= 4*maxSizes && (c.usage.Octets < 0 || c.usage.Octets+room < room || c.usage.Messages < 0 || c.quota.Octets < 0 || c.quota.Messages < 0) {
			t.Errorf("%q is %+v", data, c)
		}
		if q := (maildrop.Quota{Octets: 1 << 40}); c.usage.Octets > q.Octets && q.Admits(c.usage, room) {
			t.Errorf("%q is full, and admits a message", data)
		}
	})
}
