package bucket

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/oklog/ulid/v2"

	"github.com/poplin-mail/poplin/maildrop"
)

var _ maildrop.Importer = (*session)(nil)

// importing takes in the messages of a list.
type importing struct {
	*session
	list     []maildrop.Message
	messages []message // with what they are known by, but for those that are here
}

// Import implements maildrop.Importer. A message that is taken in has an id
// that gives it its place, as near to its time as its neighbours allow. The id
// follows from the list and from what is here, so a message that is taken in
// again, when nobody knows what became of the first request, has the same.
func (s *session) Import(ctx context.Context, list []maildrop.Message) (maildrop.Import, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	if err := s.Settle(ctx, false); err != nil {
		return nil, err
	}
	if err := s.bringBack(ctx, list); err != nil {
		return nil, err
	}
	ids := make(map[string]string, len(s.all))
	for i := range s.all {
		ids[s.all[i].uid] = s.all[i].id
	}
	m := &importing{session: s, list: list, messages: make([]message, len(list))}
	// above gives for each message the id of the next one that is here.
	above := make([]string, len(list)+1)
	for i := len(list) - 1; i >= 0; i-- {
		if above[i] = above[i+1]; ids[list[i].UID] != "" {
			above[i] = ids[list[i].UID]
		}
	}
	taken := make(map[string]bool, len(s.aside)) // ids of what stays aside
	for i := range s.aside {
		for m := &s.aside[i].message; m != nil; m = m.twin {
			taken[m.id] = true
		}
	}
	now := s.store.now().UnixMilli()
	last := spot{}
	for i := range list {
		uid := list[i].UID
		if !validUID(uid) {
			return nil, permanent(fmt.Sprintf("unique-id %.80q", uid), errors.New("it is not 1 to 70 octets of 0x21 to 0x7E"))
		}
		if id := ids[uid]; id != "" {
			last = spotOf(id)
			continue
		}
		came := now
		if !list[i].Received.IsZero() {
			came = list[i].Received.UnixMilli()
		}
		var id string
		for as := uid; id == "" || taken[id]; as += " " {
			if last, id = between(last, above[i+1], as, came, now); id == "" {
				break
			}
		}
		if id == "" {
			return nil, permanent("message "+uid, errors.New("there is no room for it between its neighbours"))
		}
		m.messages[i].name(id, uid, came)
	}
	s.changed = true // by an import before that was broken off, perhaps
	return m, nil
}

// bringBack brings back what is aside of the messages of the list: a marker
// would hide what is put in its place. What has one's unique-id and another
// size is another message, and stays aside.
func (s *session) bringBack(ctx context.Context, list []maildrop.Message) error {
	if err := s.Relist(ctx); err != nil || len(s.aside)+len(s.strays) == 0 {
		return err
	}
	wanted := make(map[string]*maildrop.Message, len(list))
	for i := range list {
		wanted[list[i].UID] = &list[i]
	}
	var back []string
	for _, a := range s.aside {
		if m := wanted[a.uid]; m != nil && a.octets == m.Size {
			back = append(back, a.marker.key())
			delete(wanted, a.uid)
		}
	}
	if len(back)+len(s.strays) == 0 {
		return nil
	}
	if err := s.remove(ctx, append(back, s.strays...), s.confirm); err != nil {
		return err
	}
	return s.Relist(ctx)
}

// spot is a ULID as a number: 48 bits of time and 80 of anything.
type spot struct{ high, low uint64 }

func spotOf(id string) spot {
	u, _ := ulid.ParseStrict(id)
	return spot{binary.BigEndian.Uint64(u[:8]), binary.BigEndian.Uint64(u[8:])}
}

func (s spot) String() string {
	var u ulid.ULID
	binary.BigEndian.PutUint64(u[:8], s.high)
	binary.BigEndian.PutUint64(u[8:], s.low)
	return u.String()
}

func (s spot) before(o spot) bool { return s.high < o.high || s.high == o.high && s.low < o.low }

// between gives the id of a message that came at a time: behind last, before the
// id above where there is one, and not in the future, so that mail that is
// delivered later comes behind it. It is empty where there is no room.
func between(last spot, above, uid string, came, now int64) (spot, string) {
	end := spot{math.MaxUint64, math.MaxUint64}
	if above != "" && last.before(spotOf(above)) { // else they lie in another order here
		end = spotOf(above)
	}
	if validID(uid) && timeOf(uid) == came && came <= now {
		if own := spotOf(uid); last.before(own) && own.before(end) {
			return own, uid
		}
	}
	sum := sha256.Sum256([]byte(uid))
	at := spot{uint64(max(0, min(came, now))) << 16, binary.BigEndian.Uint64(sum[:])}
	if at.high <= last.high {
		at.high = last.high + 1
	}
	if !at.before(end) {
		if at.high = last.high + 1; !at.before(end) {
			// The same 64 bits in front, or the next: about half way behind last,
			// and no two unique-ids at one spot.
			to := uint64(math.MaxUint64)
			if end.high == last.high {
				to = end.low
			}
			room := to - last.low
			if at = (spot{last.high, last.low + room/2}); room >= 4 {
				at.low = last.low + room/4 + binary.BigEndian.Uint64(sum[8:])%(room/2)
			}
		}
	}
	if !last.before(at) || !at.before(end) {
		return last, ""
	}
	return at, at.String()
}

// Put implements maildrop.Import. Its errors are as those of Deliver. Where the
// store gives no answer the message may be there, and has that key then also
// where it is taken in again.
func (m *importing) Put(ctx context.Context, i int, r io.Reader) error {
	if i < 0 || i >= len(m.list) {
		return errIndex(i)
	}
	if err := m.check(ctx); err != nil || m.messages[i].id == "" {
		return err
	}
	d := &delivery{Store: m.store, content: spool{temp: m.store.temp}, message: m.messages[i]}
	defer d.content.close()
	from := &source{ctx: ctx, r: r}
	err := d.gather(from)
	switch {
	case from.err != nil:
		return from.err
	case err != nil:
		return err
	case d.message.octets != m.list[i].Size:
		return permanent("message "+m.list[i].UID, fmt.Errorf("it has %d octets, and was said to have %d: %w", d.message.octets, m.list[i].Size, errWrong))
	}
	if err := m.confirm(ctx); err != nil {
		return err
	}
	_, err = d.write(ctx, m.place)
	return err
}

// Relist implements maildrop.Importer. Behind an Import, all nodes list the
// maildrop anew.
func (s *session) Relist(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	if err := s.confirm(ctx); err != nil {
		return err
	}
	if s.changed {
		if err := s.store.touch(ctx, s.place); err != nil {
			return err
		}
		s.changed = false
	}
	l, err := s.store.look(ctx, s.place, "")
	if err != nil {
		return err
	}
	s.take(l)
	s.aside, s.strays = l.aside, l.strays
	return nil
}

// NoteKeys implements maildrop.Importer.
func (s *session) NoteKeys(ctx context.Context) ([]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	l, err := s.store.look(ctx, s.place, notes)
	if err != nil {
		return nil, err
	}
	return l.notes, nil
}
