package pop3server_test

import (
	"context"
	"io"
	"log"
	"net"
	"strings"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
)

// mail is a Store, a Maildrop and an Authenticator over a map: the messages
// of a user, by their unique-ids.
type mail map[string]string

func (m mail) Password(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	if l.Username != "mrose" || l.Password != "tanstaaf" {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return pop3server.Account{Name: l.Username, Maildrop: l.Username}, nil
}

func (m mail) Open(context.Context, string) (maildrop.Maildrop, error) {
	s := &snapshot{mail: m}
	for uid, text := range m {
		size, _ := maildrop.Size(strings.NewReader(text))
		s.messages = append(s.messages, maildrop.Message{UID: uid, Size: size})
	}
	return s, nil // a real Store sorts by age and takes a lock
}

type snapshot struct {
	mail     mail
	messages []maildrop.Message
}

func (s *snapshot) Messages() []maildrop.Message { return s.messages }
func (s *snapshot) Close() error                 { return nil }
func (s *snapshot) Open(_ context.Context, i int) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(s.mail[s.messages[i].UID])), nil
}
func (s *snapshot) Remove(_ context.Context, marked []int) error {
	for _, i := range marked {
		delete(s.mail, s.messages[i].UID)
	}
	return nil
}

// A server over a map in memory. It takes passwords in clear text, which only
// an example on loopback may do.
func Example() {
	m := mail{"uid-1": "Subject: hello\n\nHello, world.\n"}
	server, err := pop3server.New(m, m, pop3server.Options{InsecureAuth: true})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(listener)
	defer server.Close()
}
