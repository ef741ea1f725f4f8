package pop3server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3server"
)

// faulty is a Store whose maildrops fail as the test says.
type faulty struct {
	maildrop.Store
	open   func() error
	get    func() error
	read   func(io.ReadCloser) (io.ReadCloser, error)
	remove func(marked []int) error
	closed func()
}

func (f *faulty) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	if f.open != nil {
		if err := f.open(); err != nil {
			return nil, err
		}
	}
	d, err := f.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &faultyDrop{d, f}, nil
}

type faultyDrop struct {
	maildrop.Maildrop
	f *faulty
}

func (d *faultyDrop) Open(ctx context.Context, i int) (io.ReadCloser, error) {
	if d.f.get != nil {
		if err := d.f.get(); err != nil {
			return nil, err
		}
	}
	r, err := d.Maildrop.Open(ctx, i)
	if err != nil || d.f.read == nil {
		return r, err
	}
	return d.f.read(r)
}

func (d *faultyDrop) Remove(ctx context.Context, marked []int) error {
	if d.f.remove != nil {
		if err := d.f.remove(marked); err != nil {
			return err
		}
	}
	return d.Maildrop.Remove(ctx, marked)
}

func (d *faultyDrop) Close() error {
	if d.f.closed != nil {
		d.f.closed()
	}
	return d.Maildrop.Close()
}

// part is a message of which reading ends in err after some octets.
type part struct {
	io.Reader
	err error
}

func (p *part) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if err == io.EOF {
		err = p.err
	}
	return n, err
}

func (p *part) Close() error { return nil }

func TestBrokenMessageIsCutWithoutTerminator(t *testing.T) {
	const message = "Subject: x\n\none\ntwo\n"
	for name, read := range map[string]func(io.ReadCloser) (io.ReadCloser, error){
		"error at once": func(io.ReadCloser) (io.ReadCloser, error) {
			return &part{strings.NewReader(""), errors.New("disk")}, nil
		},
		"error at a line's end": func(io.ReadCloser) (io.ReadCloser, error) {
			return &part{strings.NewReader(message[:16]), errors.New("disk")}, nil
		},
		"error after all of it": func(io.ReadCloser) (io.ReadCloser, error) {
			return &part{strings.NewReader(message), errors.New("disk")}, nil
		},
		"too short": func(io.ReadCloser) (io.ReadCloser, error) {
			return &part{strings.NewReader(message[:16]), io.EOF}, nil
		},
		"too long": func(io.ReadCloser) (io.ReadCloser, error) {
			return &part{strings.NewReader(message + "three\n"), io.EOF}, nil
		},
		"endless in one go": func(io.ReadCloser) (io.ReadCloser, error) {
			return &part{strings.NewReader(strings.Repeat(message, 10_000)), errors.New("disk")}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := store(t, message, "other\n")
			_, addr := serve(t, &faulty{Store: s, read: read}, somebody, clear)
			p := login(t, addr)
			p.do("DELE 2", "+OK")
			p.send("RETR 1\r\nQUIT\r\n")
			got, _ := io.ReadAll(p.r)
			if bytes.HasSuffix(got, []byte("\r\n.\r\n")) || bytes.Contains(got, []byte("-ERR")) || bytes.Contains(got, []byte("Bye")) {
				t.Errorf("client was told %.100q", got)
			}
			if n := len(left(t, s)); n != 2 {
				t.Errorf("%d messages left", n)
			}
		})
	}
	// What was answered before still arrives.
	broken := &faulty{Store: store(t, message), read: func(io.ReadCloser) (io.ReadCloser, error) {
		return &part{strings.NewReader(message[:16]), errors.New("disk")}, nil
	}}
	_, at := serve(t, broken, somebody, clear)
	q := login(t, at)
	q.send("NOOP\r\nRETR 1\r\nNOOP\r\n")
	if got, _ := io.ReadAll(q.r); string(got) != "+OK Nothing done\r\n+OK 24 octets\r\nSubject: x\r\n\r\none\r\n" {
		t.Errorf("before a cut: %q", got)
	}
	// TOP that does not come so far is not disturbed.
	s := &faulty{Store: store(t, message), read: func(io.ReadCloser) (io.ReadCloser, error) {
		return &part{strings.NewReader(message[:16]), errors.New("disk")}, nil
	}}
	_, addr := serve(t, s, somebody, clear)
	p := login(t, addr)
	p.do("TOP 1 1", "+OK")
	if got := p.lines(); !slices.Equal(got, []string{"Subject: x", "", "one"}) {
		t.Errorf("TOP: %q", got)
	}
	p.send("TOP 1 2\r\n")
	if got, _ := io.ReadAll(p.r); bytes.HasSuffix(got, []byte("\r\n.\r\n")) {
		t.Errorf("TOP over a read error: %q", got)
	}
}

func TestStoreErrorsBecomeReplies(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{maildrop.ErrInUse, "-ERR [IN-USE] "},
		{fmt.Errorf("nfs: %w", maildrop.ErrTemporary), "-ERR [SYS/TEMP] Temporary failure"},
		{fmt.Errorf("owner: %w", maildrop.ErrPermanent), "-ERR [SYS/PERM] "},
		{errors.New("secret detail"), "-ERR [SYS/TEMP] Temporary failure"},
		{&pop3.Error{Code: pop3.LoginDelay, Text: "wait\r\n+OK a minute"}, "-ERR [LOGIN-DELAY] wait??+OK a minute"},
		{context.Canceled, "-ERR [SYS/TEMP] "},
	} {
		var log logBuffer
		opts := clear
		opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
		_, addr := serve(t, &faulty{Store: store(t, "x\n"), open: func() error { return c.err }}, somebody, opts)
		p := dial(t, addr)
		p.do("USER mrose", "+OK")
		if got := p.do("PASS secret", c.want); strings.Contains(got, "detail") {
			t.Errorf("%v: client was told %q", c.err, got)
		}
		p.do("STAT", "-ERR Log in first")
		p.do("QUIT", "+OK")
		if strings.Contains(c.err.Error(), "detail") && !strings.Contains(log.String(), "detail") {
			t.Errorf("%v is not logged: %s", c.err, &log)
		}
	}
	gone := func(io.ReadCloser) (io.ReadCloser, error) { return nil, fmt.Errorf("1: %w", maildrop.ErrGone) }
	_, addr := serve(t, &faulty{Store: store(t, "x\n"), read: gone}, somebody, clear)
	p := login(t, addr)
	p.do("RETR 1", "-ERR Message is no longer")
	p.do("TOP 1 0", "-ERR Message is no longer")
	p.do("NOOP", "+OK")
}

func TestAuthenticatorErrorsBecomeReplies(t *testing.T) {
	_, addr := serve(t, store(t), failing{errors.New("db down")}, clear)
	p := dial(t, addr)
	p.do("USER mrose", "+OK")
	p.do("PASS secret", "-ERR [SYS/TEMP] Temporary failure")
	p.do("AUTH PLAIN "+plain("", "mrose", "secret"), "-ERR [SYS/TEMP]")
	p.do("QUIT", "+OK")
}

type failing struct{ err error }

func (f failing) Password(context.Context, pop3server.Login) (pop3server.Account, error) {
	return pop3server.Account{}, f.err
}

func TestQuitTellsWhatWasRemoved(t *testing.T) {
	var order []string
	var mu sync.Mutex
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, what)
	}
	f := &faulty{Store: store(t, "a\n", "b\n", "c\n"), closed: func() { note("close") }}
	f.remove = func(marked []int) error {
		note(fmt.Sprint("remove ", marked))
		return nil
	}
	_, addr := serve(t, f, somebody, clear)
	p := login(t, addr)
	p.do("DELE 3", "+OK")
	p.do("DELE 1", "+OK")
	p.do("QUIT", "+OK Bye, marked messages are deleted")
	p.closed()
	mu.Lock()
	if !slices.Equal(order, []string{"remove [0 2]", "close"}) {
		t.Errorf("calls: %q", order)
	}
	order = nil
	mu.Unlock()

	p = login(t, addr)
	p.do("QUIT", "+OK Bye")
	mu.Lock()
	if !slices.Equal(order, []string{"close"}) {
		t.Errorf("calls without marks: %q", order)
	}
	mu.Unlock()

	f.remove = func([]int) error { return errors.New("EIO") }
	p = login(t, addr)
	p.do("DELE 1", "+OK")
	p.do("QUIT", "-ERR [SYS/TEMP] Some deleted messages were not removed")
	p.closed()
	login(t, addr).do("STAT", "+OK 1 3") // the lock is given back
}

func TestOnlyQuitDeletes(t *testing.T) {
	for name, end := range map[string]func(p *peer){
		"close":                  func(p *peer) { p.Close() },
		"QUIT without line end":  func(p *peer) { p.send("QUIT"); p.Close() },
		"QUIT and CR":            func(p *peer) { p.send("QUIT\r"); p.Close() },
		"QUIT with an argument":  func(p *peer) { p.do("QUIT now", "-ERR"); p.Close() },
		"too many bad commands":  func(p *peer) { p.send(strings.Repeat("x\r\n", 30)); io.Copy(io.Discard, p.r) },
		"line too long":          func(p *peer) { p.send(strings.Repeat("x", 300)); io.Copy(io.Discard, p.r) },
		"reset before the close": func(p *peer) { p.do("RSET", "+OK"); p.do("QUIT", "+OK") },
	} {
		t.Run(name, func(t *testing.T) {
			s := store(t, "a\n", "b\n")
			srv, addr := serve(t, s, somebody, clear)
			p := login(t, addr)
			p.do("DELE 1", "+OK")
			end(p)
			p.Close()
			srv.Close()
			if n := len(left(t, s)); n != 2 {
				t.Errorf("%d messages left", n)
			}
		})
	}
	s := store(t, "a\n", "b\n")
	srv, addr := serve(t, s, somebody, clear)
	p := login(t, addr)
	p.send("DELE 1\r\nQUIT\r\n")
	p.Close() // the reply cannot be delivered; the command was given
	waitEmpty(srv)
	if n := len(left(t, s)); n != 1 {
		t.Errorf("QUIT and close: %d messages left", n)
	}
}

func TestPanicEndsItsSessionOnly(t *testing.T) {
	f := &faulty{Store: store(t, "a\n"), read: func(io.ReadCloser) (io.ReadCloser, error) { panic("broken store") }}
	var log logBuffer
	opts := clear
	opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	srv, addr := serve(t, f, somebody, opts)
	bystander := dial(t, addr)
	p := login(t, addr)
	p.send("RETR 1\r\n")
	p.closed()
	waitSessions(srv, 1)
	if srv.Panics() != 1 || !strings.Contains(log.String(), "broken store") {
		t.Errorf("%d panics counted, log: %s", srv.Panics(), &log)
	}
	bystander.do("USER mrose", "+OK")
	bystander.do("PASS secret", "+OK") // the maildrop was given back
}
