package rounds

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/pop3server"
	"github.com/poplin-mail/poplin/pop3test"
)

// The one account that there is.
const user, password = "user", "password"

// server is a POP3 server of Poplin's with mail in memory, behind a way that
// takes time. All that is measured meets the same one. It announces PIPELINING.
type server struct {
	store *memory.Store
	srv   *pop3server.Server
	way   *delayed
	ended chan error
}

// newServer starts a server with the mail.
func newServer(mail [][]byte, rtt time.Duration, secure bool) (*server, error) {
	s := &server{store: memory.New(), ended: make(chan error, 1)}
	s.store.Create(user)
	for i, m := range mail {
		if err := s.store.Add(user, fmt.Sprintf("%08x.bench", i), m); err != nil {
			return nil, err
		}
	}
	config, _ := pop3test.TLSConfigs()
	var err error
	s.srv, err = pop3server.New(s.store, account{}, pop3server.Options{TLSConfig: config, InsecureAuth: true})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	serve := s.srv.Serve
	if secure {
		serve = s.srv.ServeTLS
	}
	go func() { s.ended <- serve(l) }()
	if s.way, err = newDelayed(l.Addr().String(), rtt); err != nil {
		s.srv.Close()
		return nil, errors.Join(err, <-s.ended)
	}
	return s, nil
}

// close ends the server.
func (s *server) close() error {
	s.way.close()
	s.srv.Close()
	if err := <-s.ended; !errors.Is(err, pop3server.ErrServerClosed) {
		return err
	}
	return nil
}

// left counts the messages on the server.
func (s *server) left(ctx context.Context) (int64, error) {
	u, err := s.store.Usage(ctx, user)
	return u.Messages, err
}

// account is a directory of one user.
type account struct{}

// Password implements pop3server.Authenticator.
func (account) Password(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	if l.Username != user || l.Password != password {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return pop3server.Account{Name: user, Maildrop: user}, nil
}

// writeCertificate writes the server's certificate, which is its own authority,
// for those who are to trust it.
func writeCertificate(name string) error {
	config, _ := pop3test.TLSConfigs()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: config.Certificates[0].Certificate[0]})
	return os.WriteFile(name, text, 0o644)
}
