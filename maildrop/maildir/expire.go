package maildir

import (
	"context"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// Expire removes the messages that came before that time, by the time in their
// files' names and by the files' own, and tells how many these are and their octets as stored; with dry it only tells. It takes the
// session lock: while a session holds the maildrop the error wraps
// maildrop.ErrInUse. Deliveries that were broken off more than 36 hours ago
// are removed from tmp/, dry or not.
func (s *Store) Expire(ctx context.Context, name string, before time.Time, dry bool) (maildrop.Usage, error) {
	var old maildrop.Usage
	m, err := s.Open(ctx, name)
	if err != nil {
		return old, err
	}
	defer m.Close()
	ses := m.(*session)
	ses.sweep(ses.now())
	var marked []int
	k := ses.cursor(0)
	for it := (item{}); k.next(&it); {
		r := ses.catalog.record(&it)
		if r.date(); time.Unix(0, max(r.when, r.mtime)).Before(before) {
			marked = append(marked, k.at-1)
			old.Octets += r.octets
			old.Messages++
		}
	}
	if dry || len(marked) == 0 {
		return old, nil
	}
	return old, m.Remove(ctx, marked)
}
