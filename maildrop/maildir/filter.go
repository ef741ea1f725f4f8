package maildir

import (
	"hash/maphash"
	"slices"
)

// filter tells of a name that no message of an index has it, without a look at
// each. It holds a hash of what each name begins with, and of each UID that is
// another, in order; some of messages that are gone do no harm.
type filter []uint32

var filterSeed = maphash.MakeSeed()

func hashOf(name string) uint32 { return uint32(maphash.String(filterSeed, name)) }

// newFilter makes the filter of a catalog.
func newFilter(c *catalog) filter {
	f := make(filter, 0, c.count)
	k := c.cursor(0)
	for it := (item{}); k.next(&it); {
		f = append(f, hashOf(it.base))
		if it.uid != it.base {
			f = append(f, hashOf(it.uid))
		}
	}
	slices.Sort(f)
	return f
}

// with gives the filter that knows these messages too.
func (f filter) with(added []record) filter {
	if len(added) == 0 {
		return f
	}
	now := append(make(filter, 0, len(f)+2*len(added)), f...)
	for i := range added {
		for _, name := range []string{added[i].base(), added[i].uid} {
			hash := hashOf(name)
			if at, found := slices.BinarySearch(now, hash); !found {
				now = slices.Insert(now, at, hash)
			}
		}
	}
	return now
}

// has is false only where no message has the name.
func (f filter) has(name string) bool {
	_, found := slices.BinarySearch(f, hashOf(name))
	return found
}
