package pop3server_test

import (
	"context"
	"io"
	"slices"
	"testing"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
)

// peeking is a Store whose Maildrops are maildrop.Peekers. It notes what was
// opened and what was peeked at.
type peeking struct {
	maildrop.Store
	asked chan string
}

func (s peeking) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	d, err := s.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &peekingDrop{d, s.asked}, nil
}

type peekingDrop struct {
	maildrop.Maildrop
	asked chan string
}

func (d *peekingDrop) Open(ctx context.Context, i int) (io.ReadCloser, error) {
	d.asked <- "open"
	return d.Maildrop.Open(ctx, i)
}

func (d *peekingDrop) Peek(ctx context.Context, i int) (io.ReadCloser, error) {
	d.asked <- "peek"
	return d.Maildrop.Open(ctx, i)
}

// kept is somebody who sees maildrops through a view.
type kept struct{ users }

func (k kept) Password(ctx context.Context, l pop3server.Login) (pop3server.Account, error) {
	a, err := k.users.Password(ctx, l)
	a.View = maildrop.View{ReadOnly: true}
	return a, err
}

// TestPeek: TOP peeks where the Maildrop can, also through a view, and RETR
// never does.
func TestPeek(t *testing.T) {
	for name, auth := range map[string]pop3server.Authenticator{"plain": somebody, "view": kept{somebody}} {
		t.Run(name, func(t *testing.T) {
			s := peeking{store(t, "Subject: a\r\n\r\none\r\ntwo\r\n"), make(chan string, 10)}
			_, addr := serve(t, s, auth, clear)
			p := login(t, addr)
			p.do("TOP 1 1", "+OK")
			if got := p.lines(); !slices.Equal(got, []string{"Subject: a", "", "one"}) {
				t.Errorf("TOP gives %q", got)
			}
			p.do("RETR 1", "+OK")
			p.lines()
			if first, second := <-s.asked, <-s.asked; first != "peek" || second != "open" {
				t.Errorf("TOP and RETR are %s and %s, want peek and open", first, second)
			}
			p.do("QUIT", "+OK")
		})
	}
}
