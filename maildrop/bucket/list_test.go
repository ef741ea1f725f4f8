package bucket

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// objects are those of a maildrop, and the ids that have a marker.
type objects struct {
	messages []message
	marked   []string
}

// chance makes some objects of few ids and unique-ids, so that they are in each
// other's way.
func chance(rng *rand.Rand) *objects {
	ids := []string{"01HQTB5N000000000000000001", "01HQTB5N000000000000000002", "01HQTB5N000000000000000003"}
	o := &objects{}
	for range 1 + rng.IntN(4) {
		m := message{id: ids[rng.IntN(3)], octets: int64(5 + rng.IntN(2)), sum: uint32(rng.IntN(2)), packed: rng.IntN(4) == 0}
		m.came = timeOf(m.id) + int64(rng.IntN(2))
		m.uid = []string{m.id, "X", "X", ids[rng.IntN(3)]}[rng.IntN(4)]
		if !slices.ContainsFunc(o.messages, func(n message) bool { return n.key() == m.key() }) {
			o.messages = append(o.messages, m)
		}
	}
	for _, id := range ids {
		if rng.IntN(4) == 0 {
			o.marked = append(o.marked, id)
		}
	}
	return o
}

func (o *objects) String() string {
	var b strings.Builder
	for i := range o.messages {
		fmt.Fprintln(&b, " ", o.messages[i].key())
	}
	for _, id := range o.marked {
		fmt.Fprintln(&b, " ", marker{id, 1, 100}.key())
	}
	return b.String()
}

// list gives the listing of the objects.
func (o *objects) list() (*listing, error) {
	l := &listing{}
	aside := make(map[string]marker)
	for i := range o.messages {
		l.add(o.messages[i].key(), &Entry{Size: 3}, time.Time{}, aside)
	}
	for _, id := range o.marked {
		l.add(marker{id, 1, 100}.key(), &Entry{}, time.Time{}, aside)
	}
	return l, l.arrange(place{}, aside)
}

// family gives a message and those that are the same.
func family(m *message) (all []message) {
	for ; m != nil; m = m.twin {
		all = append(all, *m)
	}
	return all
}

// TestListing: whatever lies in a maildrop, where it can be listed each object
// is of one message, here or aside; those here have each a unique-id and an id
// of their own; aside is what has a marker; and two objects that differ in what
// their keys say of a message are two. Where it cannot, two differ that have one
// unique-id, or one id, and are named.
func TestListing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	listed, refused, hidden, twice := 0, 0, 0, 0
	for range 50_000 {
		o := chance(rng)
		l, err := o.list()
		if err != nil {
			if refused++; !o.names(err) {
				t.Fatalf("%vis refused: %v", o, err)
			}
			continue
		}
		listed++
		seen := 0
		uids, ids := make(map[string]bool), make(map[string]bool)
		for i := range l.all {
			of := family(&l.all[i])
			if seen += len(of); len(of) > 1 {
				twice++
			}
			o.alike(t, of)
			if m := of[0]; uids[m.uid] || ids[m.id] {
				t.Fatalf("%v%s is listed, and another of its unique-id or id", o, m.key())
			}
			uids[of[0].uid], ids[of[0].id] = true, true
			if slices.ContainsFunc(of, o.hasMarker) {
				t.Fatalf("%v%s is listed, and aside", o, of[0].key())
			}
		}
		for i := range l.aside {
			of := family(&l.aside[i].message)
			seen += len(of)
			hidden++
			o.alike(t, of)
			if !slices.ContainsFunc(of, o.hasMarker) {
				t.Fatalf("%v%s is hidden without a marker", o, of[0].key())
			}
		}
		if seen != len(o.messages) {
			t.Fatalf("%v%d objects are listed or aside", o, seen)
		}
		o.apart(t, l)
	}
	if min(listed, refused, hidden, twice) < 1000 {
		t.Errorf("%d were listed, %d refused, %d messages hidden, %d there twice", listed, refused, hidden, twice)
	}
}

func (o *objects) hasMarker(m message) bool { return slices.Contains(o.marked, m.id) }

// alike checks that objects can be one message.
func (o *objects) alike(t *testing.T, of []message) {
	t.Helper()
	for i, a := range of {
		for _, b := range of[:i] {
			if differ(a, b) {
				t.Fatalf("%v%s and %s are one message", o, a.key(), b.key())
			}
		}
	}
}

// differ tells whether keys say that two objects are two messages.
func differ(a, b message) bool {
	if a.packed || b.packed { // checksums of other octets
		return a.uid != b.uid || a.octets != b.octets || a.came != b.came
	}
	return a.uid != b.uid || a.octets != b.octets || a.sum != b.sum
}

// apart checks that what is listed holds no two that differ and have one id:
// nobody could set one of them aside.
func (o *objects) apart(t *testing.T, l *listing) {
	t.Helper()
	for i, a := range o.messages {
		for _, b := range o.messages[:i] {
			if a.id == b.id && differ(a, b) {
				t.Fatalf("%v%s and %s have one id, and nobody says so: %d are listed", o, a.key(), b.key(), len(l.all))
			}
		}
	}
}

// names tells whether an error names two objects that have one id, or one
// unique-id, of which there are two that differ.
func (o *objects) names(err error) bool {
	text, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "bucket: keys "), ": ")
	one, other, _ := strings.Cut(text, " and ")
	for _, a := range o.messages {
		for _, b := range o.messages {
			if a.key() == one && b.key() == other {
				return a.id == b.id && o.differing(func(m message) bool { return m.id == a.id || m.uid == a.uid }) ||
					a.uid == b.uid && o.differing(func(m message) bool { return m.uid == a.uid })
			}
		}
	}
	return false
}

// differing tells whether two of such objects differ.
func (o *objects) differing(such func(m message) bool) bool {
	for i, a := range o.messages {
		for _, b := range o.messages[:i] {
			if such(a) && such(b) && differ(a, b) {
				return true
			}
		}
	}
	return false
}
