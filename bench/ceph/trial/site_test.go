package trial

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/poplin-mail/poplin/internal/delivery"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
	"github.com/poplin-mail/poplin/pop3server"
)

const password = "pass word"

// store is what a node needs of one.
type store interface {
	maildrop.Store
	maildrop.Distributor
}

// site is two nodes in this process, over one store in memory, that take
// turns.
type site struct {
	objects    *buckettest.Store
	lmtp, pop3 string // addresses
}

// newSite starts a site. Engine stands between a node and the store, if it is
// not nil, and top between a node's protocols and its maildrops.
func newSite(t *testing.T, users []string, engine func(bucket.Engine) bucket.Engine, top func(*bucket.Store) store) *site {
	t.Helper()
	s := &site{objects: new(buckettest.Store)}
	var text strings.Builder
	for _, name := range users {
		text.WriteString(name + ":{PLAIN}" + password + "\n")
	}
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := directory.Open(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := directory.New(directory.Options{Sources: []directory.Source{source}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	addresses, err := directory.NewAddresses(d, directory.AddressOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pop3, lmtp := newTurns(t), newTurns(t)
	s.pop3, s.lmtp = pop3.Addr().String(), lmtp.Addr().String()
	for i := range pop3.of {
		var e bucket.Engine = &buckettest.Gateway{Store: s.objects}
		if engine != nil {
			e = engine(e)
		}
		b, err := bucket.New(bucket.Options{Engine: e, Bucket: "mail", TempDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		var st store = b
		if top != nil {
			st = top(b)
		}
		serve(t, st, d, addresses, pop3.of[i], lmtp.of[i])
	}
	return s
}

// serve serves a store until the test ends.
func serve(t *testing.T, st store, users *directory.Directory, addresses *directory.Addresses, pop3, lmtp net.Listener) {
	t.Helper()
	front, err := pop3server.New(st, users, pop3server.Options{InsecureAuth: true, MaxSessionsPerAddr: 1000, MaxSessionsPerNetwork: 1000})
	if err != nil {
		t.Fatal(err)
	}
	intake := delivery.NewServer(delivery.Options{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Agent: &delivery.Agent{Store: st, Addresses: addresses, Hostname: "node", Logger: slog.New(slog.DiscardHandler)}})
	var work sync.WaitGroup
	work.Go(func() {
		if err := front.Serve(pop3); !errors.Is(err, pop3server.ErrServerClosed) {
			t.Errorf("POP3: %v", err)
		}
	})
	work.Go(func() {
		if err := intake.Serve(lmtp); !errors.Is(err, delivery.ErrServerClosed) {
			t.Errorf("LMTP: %v", err)
		}
	})
	t.Cleanup(func() {
		front.Close()
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		intake.Shutdown(ended) // cuts what is left
		work.Wait()
	})
}

// turns is a listener whose connections go to two others in turn.
type turns struct {
	net.Listener
	of [2]net.Listener
}

func newTurns(t *testing.T) *turns {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	all := &turns{Listener: l}
	ways := [2]chan net.Conn{make(chan net.Conn), make(chan net.Conn)}
	for i := range all.of {
		all.of[i] = &way{Listener: l, in: ways[i], closed: make(chan struct{})}
	}
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case ways[n%2] <- conn:
			case <-all.of[n%2].(*way).closed:
				conn.Close()
			}
		}
	}()
	t.Cleanup(func() { l.Close() })
	return all
}

// way is a listener that gets its connections from another.
type way struct {
	net.Listener
	in     chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (w *way) Accept() (net.Conn, error) {
	select {
	case conn := <-w.in:
		return conn, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

func (w *way) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}
