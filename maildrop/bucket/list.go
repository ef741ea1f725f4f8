package bucket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// listing is a maildrop, or a part of it, as LIST showed it.
type listing struct {
	all     []message // oldest first, but those that are aside
	aside   []asideMessage
	strays  []string // markers without a message
	locks   []lock
	notes   []string           // keys
	list    []maildrop.Message // of all
	etag    string             // of the generation
	invalid string             // a key below m/ that is none of a message

	unsettled []string // keys that say that an import has not ended
	expired   []string // those that say it no more
}

// lock is somebody's session lock. Its age is by the store's clock.
type lock struct {
	nonce string
	age   time.Duration
}

// usage adds up what a maildrop holds.
func (l *listing) usage() maildrop.Usage {
	u := maildrop.Usage{Messages: int64(len(l.all))}
	for i := range l.all {
		u.Octets += l.all[i].octets
	}
	return u
}

// look lists the objects of a maildrop whose keys begin with part. The error
// wraps maildrop.ErrPermanent where there is something that this program does
// not understand: clients would take a message that is not listed for gone.
func (s *Store) look(ctx context.Context, p place, part string) (*listing, error) {
	l := &listing{}
	aside := make(map[string]marker)
	for after := ""; ; {
		began := s.now()
		var page *Page
		err := s.try(ctx, "cannot list "+p.prefix+part, func(ctx context.Context) (err error) {
			page, err = s.engine.List(ctx, p.bucket, p.prefix+part, after, maxList)
			return err
		})
		if err != nil {
			return nil, err
		}
		// The listing may be as old as the request, and its date as new as
		// the reply.
		took := s.now().Sub(began)
		for i := range page.Entries {
			e := &page.Entries[i]
			key, ok := strings.CutPrefix(e.Key, p.prefix)
			if !ok || e.Key <= after {
				return nil, temporary("cannot list "+p.prefix+part, fmt.Errorf("key %q does not belong into the listing", e.Key))
			}
			after = e.Key
			l.add(key, e, page.Date.Add(-took), aside)
		}
		if !page.More {
			break
		}
		if len(page.Entries) == 0 {
			return nil, temporary("cannot list "+p.prefix+part, errors.New("the listing is said to go on behind an empty page"))
		}
	}
	if l.invalid != "" {
		return nil, permanent("key "+p.prefix+l.invalid, errors.New("it is no message of this version of Poplin: move it away"))
	}
	return l, l.arrange(p, aside)
}

// add takes an entry in, whose key stands behind the maildrop's prefix.
func (l *listing) add(key string, e *Entry, date time.Time, aside map[string]marker) {
	switch {
	case key == generation:
		l.etag = e.ETag
	case strings.HasPrefix(key, messages+"."), strings.HasPrefix(key, markers+"."), strings.HasPrefix(key, locks+"."):
		// A store that keeps objects as files, and was killed when it put one
		// in another's place, leaves such beside that.
	case strings.HasPrefix(key, messages):
		m, ok := parseMessage(key, e.Size)
		if !ok {
			l.invalid = key
		}
		l.all = append(l.all, m)
	case strings.HasPrefix(key, notes):
		if maildrop.ValidKey(key[len(notes):]) {
			l.notes = append(l.notes, key[len(notes):])
		}
	case strings.HasPrefix(key, unsettled):
		if date.Sub(e.Modified) > maildrop.KeptUnsettled { // of no use any more, or stored late
			l.expired = append(l.expired, key)
		} else {
			l.unsettled = append(l.unsettled, key)
		}
	case strings.HasPrefix(key, locks):
		l.locks = append(l.locks, lock{key[len(locks):], date.Sub(e.Modified)})
	case strings.HasPrefix(key, markers):
		mk, ok := parseMarker(key)
		if !ok {
			l.invalid = key
		}
		// Where two removals wrote one, the later has the last word.
		if old, there := aside[mk.id]; there && old.until > mk.until {
			mk, old = old, mk
			l.strays = append(l.strays, old.key())
		} else if there {
			l.strays = append(l.strays, old.key())
		}
		aside[mk.id] = mk
	}
}

// arrange sorts the messages, and puts those that are aside apart.
func (l *listing) arrange(p place, aside map[string]marker) error {
	slices.SortFunc(l.all, func(a, b message) int {
		if a.id == b.id {
			return cmp.Compare(a.key(), b.key())
		}
		return cmp.Compare(a.id, b.id)
	})
	a, b := l.pair()
	if a == nil {
		l.hide(aside)
		a, b = l.doubles()
	}
	if a != nil {
		return permanent(fmt.Sprintf("keys %s%s and %s", p.prefix, a.key(), b.key()), errors.New("two messages have one unique-id: move one of them away"))
	}
	l.list = make([]maildrop.Message, len(l.all))
	for i := range l.all {
		m := &l.all[i]
		l.list[i] = maildrop.Message{UID: m.uid, Size: m.octets, Received: time.UnixMilli(m.came)}
	}
	return nil
}

// pair makes one message of those that an import has stored twice: sealed, or
// packed by another version, the object and so the end of its key is another
// each time, and between other neighbours its id. It gives two that have one id
// and are not the same, nil where there are none: nobody can tell which of them
// is aside.
func (l *listing) pair() (a, b *message) {
	all := l.all[:0]
	var known map[string][]int // in all, by the unique-ids that are no ids
	at := -1                   // in all: the one that the object before is of
	for i := range l.all {
		m := &l.all[i]
		if i == 0 || l.all[i-1].id != m.id {
			at = twinOf(all, known, m)
		} else if !m.same(&all[at]) {
			return &l.all[i-1], m
		}
		if at >= 0 {
			twin := *m
			twin.twin, all[at].twin = all[at].twin, &twin
			continue
		}
		if m.uid != m.id {
			if known == nil {
				known = make(map[string][]int)
			}
			known[m.uid] = append(known[m.uid], len(all))
		}
		at = len(all)
		all = append(all, *m)
	}
	l.all = all
	return nil, nil
}

// twinOf finds the message of all, which are ascending and before m, that m is
// once more, below 0 where there is none.
func twinOf(all []message, known map[string][]int, m *message) int {
	candidates := known[m.uid]
	if m.uid != m.id && validID(m.uid) {
		at, found := slices.BinarySearchFunc(all, m.uid, func(a message, id string) int { return cmp.Compare(a.id, id) })
		if found {
			candidates = append(slices.Clip(candidates), at)
		}
	}
	for _, at := range candidates {
		if m.same(&all[at]) {
			return at
		}
	}
	return -1
}

// same tells whether an object is one more of a message, as far as keys tell:
// what was packed or sealed has no checksum of its content there, but a time.
func (m *message) same(o *message) bool {
	for ; o != nil; o = o.twin {
		switch {
		case m.uid != o.uid || m.octets != o.octets:
			return false
		case m.packed || m.sealed || o.packed || o.sealed:
			if m.came != o.came {
				return false
			}
		case m.sum != o.sum:
			return false
		}
	}
	return true
}

// hide puts messages apart that are aside: that any of its objects is, is
// enough, for the others were stored late.
func (l *listing) hide(aside map[string]marker) {
	if len(aside) == 0 {
		return
	}
	l.all = slices.DeleteFunc(l.all, func(m message) bool {
		hidden := false
		for o := &m; o != nil; o = o.twin {
			mk, found := aside[o.id]
			if !found {
				continue
			}
			if delete(aside, o.id); hidden {
				l.strays = append(l.strays, mk.key())
				continue
			}
			hidden = true
			l.aside = append(l.aside, asideMessage{m, mk})
		}
		return hidden
	})
	for _, mk := range aside {
		l.strays = append(l.strays, mk.key())
	}
}

// doubles finds two messages that cannot be told apart, nil where there are
// none.
func (l *listing) doubles() (*message, *message) {
	others := make(map[string]*message) // by the unique-ids that are no ids
	for i := range l.all {
		m := &l.all[i]
		if i > 0 && m.id == l.all[i-1].id {
			return &l.all[i-1], m
		}
		if m.uid == m.id {
			continue
		}
		if same := others[m.uid]; same != nil {
			return same, m
		}
		others[m.uid] = m
	}
	for i := range l.all {
		if same := others[l.all[i].id]; same != nil && l.all[i].uid == l.all[i].id {
			return same, &l.all[i]
		}
	}
	return nil, nil
}
