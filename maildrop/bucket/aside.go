package bucket

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

var (
	_ maildrop.Notes = (*session)(nil)
	_ maildrop.Aside = (*session)(nil)
)

// marker is an empty object that says that a message is aside:
// a/ULID.REMOVED.UNTIL, both in milliseconds since 1970. The message stays
// where it is; listings leave it out. So a removal, and taking it back, are
// each one request, which happens or does not.
type marker struct {
	id             string // of the message
	removed, until int64
}

func (m marker) key() string { return fmt.Sprintf("%s%s.%d.%d", markers, m.id, m.removed, m.until) }

// over tells whether the time of a message that is aside is up.
func (m marker) over(now time.Time) bool { return now.UnixMilli() >= m.until }

// asideMessage is a message that is aside.
type asideMessage struct {
	message
	marker marker
}

// parseMarker reads the key of a marker, with a/.
func parseMarker(key string) (marker, bool) {
	fields := strings.Split(strings.TrimPrefix(key, markers), ".")
	if len(fields) != 3 {
		return marker{}, false
	}
	removed, err1 := strconv.ParseInt(fields[1], 10, 64)
	until, err2 := strconv.ParseInt(fields[2], 10, 64)
	m := marker{fields[0], removed, until}
	return m, cmp.Or(err1, err2) == nil && validID(m.id) && m.key() == key
}

// SetAside implements maildrop.Aside.
func (s *session) SetAside(ctx context.Context, marked []int, period time.Duration) error {
	if err := s.check(ctx); err != nil || len(marked) == 0 {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	if err := s.confirm(ctx); err != nil {
		return err
	}
	if !s.lease.settled() {
		period = max(period, maildrop.KeptUnsettled)
	}
	now := s.store.now()
	removed, until := now.UnixMilli(), now.Add(period).UnixMilli()
	var keys []string
	var errs []error
	for _, i := range marked {
		if i < 0 || i >= len(s.all) {
			errs = append(errs, errIndex(i))
			continue
		}
		keys = append(keys, marker{s.all[i].id, removed, until}.key())
	}
	errs = append(errs, s.mark(ctx, keys), s.store.touch(ctx, s.place))
	s.expireAside(ctx, now)
	return errors.Join(errs...)
}

// mark writes markers, some at a time.
func (s *session) mark(ctx context.Context, keys []string) error {
	var all sync.WaitGroup
	errs := make([]error, len(keys))
	room := make(chan struct{}, atOnce)
	for i, key := range keys {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			if errs[i] = s.confirm(ctx); errs[i] == nil {
				errs[i] = s.store.put(ctx, s.place, key, nil)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// expireAside removes for good what was kept aside long enough: the message
// first, so that it cannot come back. Where that fails a later session tries
// again.
func (s *session) expireAside(ctx context.Context, now time.Time) {
	if err := s.tryExpireAside(ctx, now); err != nil {
		s.store.log.Warn("messages kept aside were not removed, their time is up", "maildrop", s.name, "error", err)
	}
}

func (s *session) tryExpireAside(ctx context.Context, now time.Time) error {
	l, err := s.store.look(ctx, s.place, "")
	if err != nil {
		return err
	}
	s.overdue = false
	var gone []string
	for _, a := range l.aside {
		if a.marker.over(now) && len(gone) < MaxDelete {
			gone = append(gone, a.message.keys()...)
			l.strays = append(l.strays, a.marker.key())
		}
	}
	if len(gone)+len(l.strays) == 0 {
		return nil
	}
	if err := s.store.remove(ctx, s.place, gone, func() error { return s.confirm(ctx) }); err != nil {
		return err
	}
	return s.remove(ctx, l.strays, s.confirm)
}

// Kept implements maildrop.Aside.
func (s *session) Kept(ctx context.Context) ([]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	l, err := s.store.look(ctx, s.place, "")
	if err != nil {
		return nil, err
	}
	uids := make([]string, len(l.aside))
	for i, a := range l.aside {
		uids[i] = a.uid
	}
	return uids, nil
}

// Undelete implements maildrop.Undeleter.
func (s *Store) Undelete(ctx context.Context, name string, since time.Time) (int, error) {
	p, err := s.begin(ctx, name)
	if err != nil {
		return 0, err
	}
	ses := &session{store: s, place: p}
	l, err := ses.hold(ctx, "")
	if err != nil {
		return 0, err
	}
	defer ses.Close()
	ses.take(l)
	back, taken := l.back(since, s.now())
	if len(back) == 0 {
		return 0, taken
	}
	err = ses.remove(ctx, append(back, l.strays...), ses.confirm)
	if err == nil {
		return len(back), taken
	}
	// How many came back nevertheless is for a listing to say.
	after, lookErr := s.look(ctx, p, "")
	if lookErr != nil {
		return 0, errors.Join(err, lookErr)
	}
	return max(len(l.aside)-len(after.aside), 0), errors.Join(err, taken)
}

// back gives the markers of the messages that were removed at since or later.
// The error names those that cannot come back, as another has their unique-id.
func (l *listing) back(since, now time.Time) (markers []string, taken error) {
	here := make(map[string]bool, len(l.all))
	for i := range l.all {
		here[l.all[i].uid] = true
	}
	for _, a := range l.aside {
		switch {
		case a.marker.removed < since.UnixMilli() || a.marker.over(now):
		case here[a.uid]:
			taken = errors.Join(taken, permanent("message "+a.uid+" stays aside", errors.New("another one has its unique-id now: move that away first")))
		default:
			here[a.uid] = true
			markers = append(markers, a.marker.key())
		}
	}
	return markers, taken
}

// Note implements maildrop.Notes.
func (s *session) Note(ctx context.Context, key string) (note []byte, err error) {
	if err := s.checkNote(ctx, key); err != nil {
		return nil, err
	}
	err = s.store.try(ctx, "cannot read note "+key, func(ctx context.Context) error {
		o, err := s.store.engine.Get(ctx, s.bucket, s.prefix+notes+key, How{})
		if err != nil {
			return err
		}
		defer o.Body.Close()
		note, err = io.ReadAll(io.LimitReader(o.Body, maxNote+1))
		if err == nil && int64(len(note)) != o.Size {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return s.openNote(key, note, err)
}

// maxNote bounds a note.
const maxNote = 64 << 20

// openNote takes the checksum off a note.
func (s *session) openNote(key string, note []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	content, ok := unsum(note)
	if !ok {
		return nil, temporary("cannot read note "+key, errWrong)
	}
	return content, nil
}

// SetNote implements maildrop.Notes. The error wraps maildrop.ErrTemporary or
// maildrop.ErrPermanent.
func (s *session) SetNote(ctx context.Context, key string, note []byte) error {
	if err := s.checkNote(ctx, key); err != nil {
		return err
	}
	if len(note) > maxNote-sumSize {
		return permanent("note "+key, fmt.Errorf("%d octets are more than a note may have", len(note)))
	}
	if err := s.confirm(ctx); err != nil {
		return err
	}
	return s.store.put(ctx, s.place, notes+key, withSum(bytes.Clone(note)))
}

// checkNote tells what is wrong with a call for a note, and takes the lock.
func (s *session) checkNote(ctx context.Context, key string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	if !maildrop.ValidKey(key) {
		return fmt.Errorf("bucket: key of a note %q is not 1 to 64 octets of a-z, 0-9, - and _", key)
	}
	return nil
}
