package pop3test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
)

// Setup is what a transcript asks of the server it runs against.
type Setup struct {
	Options
	Store maildrop.Store // the maildrops, each by its user's name; faults come from it
	// Authenticator knows the users of Options, and may fail where the
	// transcript says so. It is a pop3server.APOPAuthenticator too.
	Authenticator pop3server.Authenticator
	TLS           *tls.Config // nil where the transcript has no TLS
}

// A Starter starts a server for one play of one transcript, and returns how
// to connect to it. The server is ended by t.Cleanup. It is called in a bubble
// of testing/synctest, where time-outs take no time: all its goroutines must
// have ended then, and connections are in memory, as those of a PipeListener
// are, since deadlines of the kernel's sockets know nothing of the bubble.
type Starter func(t testing.TB, s Setup) (dial func(ctx context.Context) (net.Conn, error))

// Poplin starts a pop3server.Server on a PipeListener: it is the Starter for
// Poplin itself, and an example for others.
func Poplin(t testing.TB, s Setup) func(ctx context.Context) (net.Conn, error) {
	srv, err := pop3server.New(s.Store, s.Authenticator, pop3server.Options{
		TLSConfig: s.TLS, InsecureAuth: s.InsecureAuth, APOP: s.APOP, Hostname: "pop.example",
	})
	if err != nil {
		t.Fatal(err)
	}
	serve := srv.Serve
	if s.ImplicitTLS {
		serve = srv.ServeTLS
	}
	l := NewPipeListener()
	ended := make(chan error, 1)
	go func() { ended <- serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-ended; !errors.Is(err, pop3server.ErrServerClosed) {
			t.Errorf("server ended with: %v", err)
		}
		if n := srv.Panics(); n > 0 {
			t.Errorf("%d sessions panicked", n)
		}
	})
	return l.Dial
}

// Short sessions are cut behind each octet; all are cut at random, so many
// times in all.
const (
	shortSession = 100
	randomPlays  = 1000
	shortPlays   = 100 // under -short
)

// bubbleTimeout is longer than a server may wait for a command, and takes no
// time in a bubble.
const bubbleTimeout = 15 * time.Minute

// RunServer runs the transcripts of a folder against a server: block by
// block, in one segment, one octet at a time, with each single cut where they
// are short, and 1000 times in all with random cuts, whose seed is logged.
// Each play starts the server anew. What it sends must be the same each time.
func RunServer(t *testing.T, transcripts fs.FS, start Starter) {
	cases, err := Load(transcripts)
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	random := randomPlays
	if testing.Short() {
		random = shortPlays
	}
	each := random/len(cases) + 1
	t.Logf("random splits from seed %d, %d of each of %d transcripts", seed, each, len(cases))
	for _, c := range cases {
		if c.Options.ClientOnly {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			first := ""
			for i, split := range c.splits(seed, each) {
				got, err := c.RunServer(t, start, split)
				if err != nil {
					t.Fatalf("%s\nsent %s: %v", c.About, split.Name, err)
				}
				if i == 0 {
					first = got
				} else if got != first {
					t.Fatalf("%s\nsent %s, the server answered\n%s\nand sent %s\n%s", c.About, Whole().Name, first, split.Name, got)
				}
			}
		})
	}
}

// splits lists the ways in which a case is run.
func (c *Case) splits(seed uint64, random int) []Split {
	all := []Split{Whole(), Joined()}
	n := c.Script.octets('C')
	if n <= 4096 {
		all = append(all, Octets())
	}
	if n <= shortSession {
		for k := 1; k < n; k++ {
			all = append(all, At(k))
		}
	}
	for k := range random {
		all = append(all, Random(seed+uint64(k)))
	}
	return all
}

// octets counts what one side sends in a script.
func (s *Script) octets(side byte) int {
	n := 0
	for _, st := range s.steps {
		if st.side == side {
			n += len((&names{}).render(st))
		}
	}
	return n
}

// RunServer plays one case against a server in one way. It returns what the
// server sent on all connections, with unique-ids and timestamps made the
// same for all plays.
func (c *Case) RunServer(t *testing.T, start Starter, split Split) (transcript string, err error) {
	synctest.Test(t, func(t *testing.T) {
		transcript, err = c.runServer(t, start, split)
	})
	return transcript, err
}

func (c *Case) runServer(t testing.TB, start Starter, split Split) (string, error) {
	ctx := t.Context()
	stage, err := newStage(ctx, c)
	if err != nil {
		return "", err
	}
	setup := Setup{Options: c.Options, Store: stage, Authenticator: stage}
	serverTLS, clientTLS := TLSConfigs()
	if c.Options.STLS || c.Options.ImplicitTLS {
		setup.TLS = serverTLS
	}
	dial := start(t, setup)
	r := &run{side: 'C', store: stage, dial: dial, player: Player{Split: split, TLS: clientTLS, Timeout: bubbleTimeout}}
	if c.Options.ImplicitTLS {
		r.dial = func(ctx context.Context) (net.Conn, error) { return dialTLS(ctx, dial, clientTLS) }
		r.secure = true
	}
	defer r.hangUp()
	if err := r.session(ctx, "1"); err != nil {
		return "", err
	}
	err = r.play(ctx, c.Script.steps)
	return r.transcript(), err
}

func dialTLS(ctx context.Context, dial func(context.Context) (net.Conn, error), config *tls.Config) (net.Conn, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	secure := tls.Client(conn, config)
	conn.SetDeadline(time.Now().Add(defaultTimeout))
	defer conn.SetDeadline(time.Time{})
	return secure, secure.HandshakeContext(ctx)
}

// hangUp closes what an error left open.
func (r *run) hangUp() {
	for _, l := range r.order {
		l.close()
	}
}

// transcript gives what came on all connections.
func (r *run) transcript() string {
	var b strings.Builder
	for i, l := range r.order {
		text := string(l.got)
		for n, uid := range r.store.uids {
			text = strings.ReplaceAll(text, uid, fmt.Sprintf("{uid:%d}", n+1))
		}
		if ts := l.names.timestamp; ts != "" {
			text = strings.ReplaceAll(text, ts, "{timestamp}")
		}
		fmt.Fprintf(&b, "connection %d:\n%s", i+1, text)
	}
	return b.String()
}
