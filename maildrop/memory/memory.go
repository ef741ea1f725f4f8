// Package memory keeps maildrops in memory: for tests, for demonstrations,
// and as the shortest complete example of package maildrop's contract.
// Nothing outlives the Store.
//
// New makes a Store; Create or the first delivery makes a maildrop in it.
package memory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

var (
	_ maildrop.Store       = (*Store)(nil)
	_ maildrop.Distributor = (*Store)(nil)
	_ maildrop.Undeleter   = (*Store)(nil)
)

// Store is a maildrop.Store and a maildrop.Deliverer in memory. Make it with
// New; it needs no closing.
type Store struct {
	mu    sync.Mutex // for drops; taken before no other lock
	drops map[string]*drop
	token string // makes UIDs differ from those of every other Store
}

// drop is one user's mail.
type drop struct {
	mu       sync.Mutex
	held     bool // a session has it open
	last     uint64
	used     map[string]bool // every UID there ever was
	messages []*message      // oldest first
	aside    []removed
	notes    map[string][]byte
}

// message never changes once it is in a drop.
type message struct {
	maildrop.Message
	content []byte
}

// New makes an empty Store.
func New() *Store {
	return &Store{drops: make(map[string]*drop), token: rand.Text()}
}

// Create makes an empty maildrop of that name. One that exists stays as it is.
func (s *Store) Create(name string) { s.drop(name) }

// drop gives the maildrop of that name, made if need be.
func (s *Store) drop(name string) *drop {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.drops[name]
	if d == nil {
		d = &drop{used: make(map[string]bool), notes: make(map[string][]byte)}
		s.drops[name] = d
	}
	return d
}

// Open implements maildrop.Store. The error for a name that has no maildrop
// wraps maildrop.ErrPermanent: none comes into being by waiting.
func (s *Store) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d, err := s.existing(name)
	if err != nil {
		return nil, err
	}
	return d.open(name)
}

// existing gives the maildrop of that name.
func (s *Store) existing(name string) (*drop, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.drops[name]
	if d == nil {
		return nil, fmt.Errorf("memory: no maildrop %q: create it, or deliver to it: %w", name, maildrop.ErrPermanent)
	}
	return d, nil
}

func (d *drop) open(name string) (maildrop.Maildrop, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held {
		return nil, errInUse(name)
	}
	d.held = true
	sn := &snapshot{
		drop:     d,
		messages: slices.Clone(d.messages),
		list:     make([]maildrop.Message, len(d.messages)),
	}
	for i, m := range d.messages {
		sn.list[i] = m.Message
	}
	return sn, nil
}

// Add is Deliver for a caller who chooses the UID, such as a test. The UID
// must be one that the maildrop never had. The Store keeps content.
func (s *Store) Add(name, uid string, content []byte) error {
	if !validUID(uid) {
		return fmt.Errorf("memory: UID %q is not 1 to 70 octets of 0x21 to 0x7E", uid)
	}
	_, err := s.drop(name).add(s.token, uid, content)
	return err
}

// add puts a message in; an empty uid has one made.
func (d *drop) add(token, uid string, content []byte) (maildrop.Receipt, error) {
	var size maildrop.SizeCounter
	size.Write(content)
	d.mu.Lock()
	defer d.mu.Unlock()
	for uid == "" {
		d.last++
		if made := strconv.FormatUint(d.last, 10) + "." + token; !d.used[made] {
			uid = made
		}
	}
	if d.used[uid] {
		return maildrop.Receipt{}, fmt.Errorf("memory: UID %q was used already", uid)
	}
	d.used[uid] = true
	m := &message{content: content, Message: maildrop.Message{UID: uid, Size: size.Octets(), Received: time.Now()}}
	d.messages = append(d.messages, m)
	return maildrop.Receipt{UID: uid, Octets: m.Size}, nil
}

// validUID tells whether s is a unique-id (RFC 1939 section 7, UIDL).
func validUID(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7E {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 70
}

// reader ends a delivery when its context does.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// errInUse answers whoever meets an open session.
func errInUse(name string) error {
	return fmt.Errorf("memory: maildrop %q: %w", name, maildrop.ErrInUse)
}

// errClosed answers a call that came after Close.
var errClosed = errors.New("memory: maildrop is closed")
