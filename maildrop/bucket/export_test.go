package bucket

import (
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// SetClock gives a Store another clock.
func (s *Store) SetClock(now func() time.Time) { s.now = now }

// SetJitter gives a Store another source of chance for pauses between tries.
func (s *Store) SetJitter(jitter func(time.Duration) time.Duration) { s.jitter = jitter }

// Holds tells whether a Maildrop believes that it holds the session lock.
func Holds(m maildrop.Maildrop) bool { return Lock(m)() }

// Lock gives what tells whether a Maildrop believes that it holds the session
// lock, by the lease that it has now.
func Lock(m maildrop.Maildrop) func() bool {
	l := m.(*session).lease
	return func() bool { return l != nil && !l.late() }
}

// ObjectKey gives the key of a message behind the prefix of its maildrop.
func ObjectKey(m maildrop.Maildrop, i int) string { return m.(*session).all[i].key() }

// Escape and Unescape are for names in keys.
var (
	Escape   = escape
	Unescape = unescape
)

// Place gives the bucket and the prefix of a maildrop.
func (s *Store) Place(name string) (bucket, prefix string, err error) {
	p, err := s.locate(name)
	return p.bucket, p.prefix, err
}

// ParseKey reads the key of a message.
func ParseKey(key string) (uid string, octets int64, ok bool) {
	m, ok := parseMessage(key, 0)
	return m.uid, m.octets, ok
}
