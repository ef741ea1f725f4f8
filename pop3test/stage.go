package pop3test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3server"
)

// stage is what a transcript plays on: a store in memory and a directory of
// users, in which faults can be set.
type stage struct {
	memory *memory.Store
	users  map[string]string
	c      *Case
	uids   []string // of the messages, by number

	mu     sync.Mutex
	faults map[string][]int // arguments by name and message, "read 2"
	opens  error
	auth   error
}

// openFaults are the errors of "! fault open".
var openFaults = map[string]error{
	"temporary": fmt.Errorf("injected: %w", maildrop.ErrTemporary),
	"permanent": fmt.Errorf("injected: %w", maildrop.ErrPermanent),
	"other":     errInjected,
}

var errInjected = errors.New("injected fault")

func newStage(ctx context.Context, c *Case) (*stage, error) {
	s := &stage{memory: memory.New(), users: c.Options.Users, c: c, faults: map[string][]int{}}
	for name := range c.Options.Users {
		s.memory.Create(name)
	}
	for _, m := range c.Messages {
		if err := s.deliver(ctx, m); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *stage) deliver(ctx context.Context, message []byte) error {
	receipt, err := s.memory.Deliver(ctx, DefaultUser, bytes.NewReader(message))
	s.uids = append(s.uids, receipt.UID)
	return err
}

// directive does those directives that have to do with the maildrop.
func (s *stage) directive(ctx context.Context, st step) error {
	name, args := st.args[0], st.args[1:]
	n, _ := numbers(args) // checked by ParseScript
	if name == "left" {
		return s.left(ctx, n) // waits for the server, so without the lock
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case "deliver":
		i := n[0] - len(s.c.Messages) - 1
		if i < 0 || i >= len(s.c.Later) {
			return fmt.Errorf("there is no later/%d", n[0])
		}
		return s.deliver(ctx, s.c.Later[i])
	case "repair":
		s.opens, s.auth = nil, nil
		clear(s.faults)
	case "fault auth":
		s.auth = errInjected
	case "fault open":
		s.opens = openFaults[args[0]]
	default: // of a message
		s.faults[name+" "+args[0]] = n
	}
	return nil
}

// left compares what is in the maildrop, as soon as no session holds it.
func (s *stage) left(ctx context.Context, want []int) error {
	drop, err := s.memory.Open(ctx, DefaultUser)
	for tries := 0; errors.Is(err, maildrop.ErrInUse) && tries < 1000; tries++ {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		drop, err = s.memory.Open(ctx, DefaultUser)
	}
	if err != nil {
		return err
	}
	defer drop.Close()
	all := append(append([][]byte{}, s.c.Messages...), s.c.Later...)
	var got []string
	for i, m := range drop.Messages() {
		number := "unknown"
		for n, uid := range s.uids {
			if uid == m.UID {
				number = strconv.Itoa(n + 1)
				if err := unchanged(ctx, drop, i, all[n]); err != nil {
					return fmt.Errorf("message %s: %w", number, err)
				}
			}
		}
		got = append(got, number)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("the maildrop holds %v", got)
	}
	return nil
}

// unchanged reports whether message i is still as it was put in.
func unchanged(ctx context.Context, drop maildrop.Maildrop, i int, want []byte) error {
	r, err := drop.Open(ctx, i)
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("is now %s", show(got))
	}
	return err
}

// fault gives the arguments of a fault of the message with that UID.
func (s *stage) fault(name, uid string) ([]int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.uids {
		if s.uids[i] == uid {
			args, ok := s.faults["fault "+name+" "+strconv.Itoa(i+1)]
			return args, ok
		}
	}
	return nil, false
}

// Open implements maildrop.Store.
func (s *stage) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	s.mu.Lock()
	err := s.opens
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	drop, err := s.memory.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &faultyDrop{Maildrop: drop, stage: s}, nil
}

// Password implements pop3server.Authenticator.
func (s *stage) Password(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	return s.account(l.Username, func(password string) bool { return password == l.Password })
}

// APOP implements pop3server.APOPAuthenticator.
func (s *stage) APOP(_ context.Context, l pop3server.Login, timestamp, digest string) (pop3server.Account, error) {
	return s.account(l.Username, func(password string) bool { return pop3.CheckAPOP(timestamp, password, digest) })
}

func (s *stage) account(name string, check func(string) bool) (pop3server.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.auth != nil {
		return pop3server.Account{}, s.auth
	}
	password, known := s.users[name]
	if !known || !check(password) {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return pop3server.Account{Name: name, Maildrop: name}, nil
}

// faultyDrop is a maildrop with the faults of a stage.
type faultyDrop struct {
	maildrop.Maildrop
	stage *stage
}

func (d *faultyDrop) Open(ctx context.Context, i int) (io.ReadCloser, error) {
	uid := d.Messages()[i].UID
	if _, ok := d.stage.fault("gone", uid); ok {
		return nil, fmt.Errorf("injected: %w", maildrop.ErrGone)
	}
	if _, ok := d.stage.fault("refuse", uid); ok {
		return nil, errInjected
	}
	r, err := d.Maildrop.Open(ctx, i)
	if err != nil {
		return nil, err
	}
	read := io.Reader(r)
	if n, ok := d.stage.fault("read", uid); ok {
		read = io.MultiReader(io.LimitReader(r, int64(n[1])), failing{})
	}
	if n, ok := d.stage.fault("short", uid); ok {
		read = io.LimitReader(r, int64(n[1]))
	}
	if n, ok := d.stage.fault("long", uid); ok {
		read = io.MultiReader(r, bytes.NewReader(bytes.Repeat([]byte("x"), n[1])))
	}
	return struct {
		io.Reader
		io.Closer
	}{read, r}, nil
}

// Remove leaves those messages alone that cannot be removed, and says so.
func (d *faultyDrop) Remove(ctx context.Context, marked []int) error {
	var can []int
	for _, i := range marked {
		if _, ok := d.stage.fault("remove", d.Messages()[i].UID); !ok {
			can = append(can, i)
		}
	}
	if err := d.Maildrop.Remove(ctx, can); err != nil {
		return err
	}
	if len(can) < len(marked) {
		return errInjected
	}
	return nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errInjected }

var (
	_ maildrop.Store               = (*stage)(nil)
	_ pop3server.Authenticator     = (*stage)(nil)
	_ pop3server.APOPAuthenticator = (*stage)(nil)
)
