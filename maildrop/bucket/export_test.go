package bucket

import (
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// SetClock gives a Store another clock.
func (s *Store) SetClock(now func() time.Time) { s.now = now }

// Holds tells whether a Maildrop believes that it holds the session lock.
func Holds(m maildrop.Maildrop) bool {
	l := m.(*session).lease
	if l == nil {
		return false
	}
	l.busy <- struct{}{}
	defer func() { <-l.busy }()
	return !l.ended && l.nonce != "" && !l.late()
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
