package view

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"slices"
)

// sum stands for a UID: it is shorter, of one length, and nobody finds two
// UIDs with one sum.
type sum [16]byte

func sumOf(uid string) sum {
	full := sha256.Sum256([]byte(uid))
	return sum(full[:len(sum{})])
}

func compare(a, b sum) int { return bytes.Compare(a[:], b[:]) }

// hidden is what is hidden from a device, ascending.
type hidden []sum

func (h hidden) has(s sum) bool {
	_, found := slices.BinarySearchFunc(h, s, compare)
	return found
}

// magic begins a note: what it is, and the version of its format. The sums
// follow, ascending, and the CRC-32C, big-endian, of all before it.
const magic = "poplin view 1\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (h hidden) encode() []byte {
	note := make([]byte, 0, len(magic)+len(h)*len(sum{})+crc32.Size)
	note = append(note, magic...)
	for i := range h {
		note = append(note, h[i][:]...)
	}
	return checksummed(note)
}

func checksummed(note []byte) []byte {
	return binary.BigEndian.AppendUint32(note, crc32.Checksum(note, castagnoli))
}

// decode parses a note; nil is one that was never written. A damaged one must
// not pass for an empty one: its device would see everything again.
func decode(note []byte) (hidden, error) {
	if note == nil {
		return nil, nil
	}
	end := len(note) - crc32.Size
	if end < 0 || binary.BigEndian.Uint32(note[end:]) != crc32.Checksum(note[:end], castagnoli) {
		return nil, errors.New("it is damaged")
	}
	body, found := bytes.CutPrefix(note[:end], []byte(magic))
	if !found || len(body)%len(sum{}) != 0 {
		return nil, errors.New("it is of an unknown version")
	}
	h := make(hidden, 0, len(body)/len(sum{}))
	for s := range slices.Chunk(body, len(sum{})) {
		h = append(h, sum(s))
	}
	if !slices.IsSortedFunc(h, compare) {
		return nil, errors.New("it is out of order")
	}
	return h, nil
}

// Union gives the note of a device that hides what one of two hides, for a
// maildrop that was in two places. An error says that one of them is damaged, or
// no note of a view.
func Union(a, b []byte) ([]byte, error) {
	x, err := decode(a)
	if err != nil {
		return nil, err
	}
	y, err := decode(b)
	if err != nil {
		return nil, err
	}
	return x.with(y).encode(), nil
}

// with gives what is in h or in others.
func (h hidden) with(others []sum) hidden {
	all := slices.Concat(h, others)
	slices.SortFunc(all, compare)
	return slices.Compact(all)
}

// key is where the note of the device is. Devices have any names; keys do not.
func (d *drop) key() string {
	full := sha256.Sum256([]byte(d.view.Device))
	return "view-" + hex.EncodeToString(full[:16])
}

// hide notes that the messages with these sums are hidden from the device.
func (d *drop) hide(ctx context.Context, sums []sum) error {
	h := d.present(ctx).with(sums)
	if err := d.notes.SetNote(ctx, d.key(), h.encode()); err != nil {
		return err
	}
	d.hidden = h
	return nil
}

// present gives what is hidden without the messages that are gone for good, so
// that a note is no longer than the maildrop. What is kept aside may come
// back.
func (d *drop) present(ctx context.Context) hidden {
	there := make(map[sum]bool)
	for _, m := range d.Maildrop.Messages() {
		there[sumOf(m.UID)] = true
	}
	gone := func(s sum) bool { return !there[s] }
	if d.aside != nil && slices.ContainsFunc(d.hidden, gone) {
		kept, err := d.aside.Kept(ctx)
		if err != nil {
			return d.hidden // forgetting can wait
		}
		for _, uid := range kept {
			there[sumOf(uid)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(d.hidden), gone)
}
