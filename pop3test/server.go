package pop3test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3server"
)

// Server is a POP3 server on the loopback interface, for the time of a test.
type Server struct {
	Addr      string      // host:port, in clear text with STLS
	TLSAddr   string      // host:port, TLS from the first octet
	ClientTLS *tls.Config // trusts the server's certificate
	User      string      // "user", unless WithAccount says otherwise
	Password  string
	// Store holds the mail of User. Memory is the same store where WithStore
	// gave no other, and nil where it did: Deliver brings more mail in.
	Store  maildrop.Store
	Memory *memory.Store
}

// Option changes what NewServer starts.
type Option func(*setup)

type setup struct {
	server   *Server
	messages []string
	options  pop3server.Options
}

// WithMessages puts messages into the maildrop, oldest first.
func WithMessages(messages ...string) Option {
	return func(s *setup) { s.messages = append(s.messages, messages...) }
}

// WithAccount changes the user name and the password. The maildrop has the
// name of the user.
func WithAccount(user, password string) Option {
	return func(s *setup) { s.server.User, s.server.Password = user, password }
}

// WithStore serves the maildrop of that store that has the user's name,
// instead of one in memory.
func WithStore(store maildrop.Store) Option {
	return func(s *setup) { s.server.Store, s.server.Memory = store, nil }
}

// WithOptions lets change the options of the server. They begin with a
// certificate, passwords taken in clear text, and APOP.
func WithOptions(change func(*pop3server.Options)) Option {
	return func(s *setup) { change(&s.options) }
}

// NewServer starts a server on free ports of the loopback interface, with
// one account and mail in memory. It is closed when the test ends; the test
// fails if a session of it panicked.
func NewServer(t testing.TB, opts ...Option) *Server {
	t.Helper()
	serverTLS, clientTLS := TLSConfigs()
	store := memory.New()
	s := &setup{
		server:  &Server{ClientTLS: clientTLS, User: DefaultUser, Password: DefaultPassword, Store: store, Memory: store},
		options: pop3server.Options{TLSConfig: serverTLS, InsecureAuth: true, APOP: true},
	}
	for _, opt := range opts {
		opt(s)
	}
	if err := s.fill(); err != nil {
		t.Fatalf("pop3test: %v", err)
	}
	srv, err := pop3server.New(s.server.Store, account{s.server.User, s.server.Password}, s.options)
	if err != nil {
		t.Fatalf("pop3test: %v", err)
	}
	ended := make(chan error, 2)
	s.server.Addr = listen(t, ended, srv.Serve)
	s.server.TLSAddr = listen(t, ended, srv.ServeTLS)
	t.Cleanup(func() {
		srv.Close()
		for range 2 {
			if err := <-ended; !errors.Is(err, pop3server.ErrServerClosed) {
				t.Errorf("pop3test: server ended with: %v", err)
			}
		}
		if n := srv.Panics(); n > 0 {
			t.Errorf("pop3test: %d sessions panicked", n)
		}
	})
	return s.server
}

// fill makes the maildrop and puts the messages into it.
func (s *setup) fill() error {
	if s.server.Memory == nil {
		if len(s.messages) > 0 {
			return errors.New("WithMessages needs the store in memory: put the messages into the store of WithStore")
		}
		return nil
	}
	s.server.Memory.Create(s.server.User)
	for _, m := range s.messages {
		if _, err := s.server.Memory.Deliver(context.Background(), s.server.User, strings.NewReader(m)); err != nil {
			return err
		}
	}
	return nil
}

// listen serves on a free port and gives its address.
func listen(t testing.TB, ended chan<- error, serve func(net.Listener) error) string {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatalf("pop3test: %v", err)
	}
	go func() { ended <- serve(l) }()
	return l.Addr().String()
}

// account is a directory of one user.
type account struct{ user, password string }

func (a account) Password(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	return a.check(l, l.Password == a.password)
}

func (a account) APOP(_ context.Context, l pop3server.Login, timestamp, digest string) (pop3server.Account, error) {
	return a.check(l, pop3.CheckAPOP(timestamp, a.password, digest))
}

func (a account) check(l pop3server.Login, right bool) (pop3server.Account, error) {
	if l.Username != a.user || !right {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return pop3server.Account{Name: a.user, Maildrop: a.user}, nil
}
