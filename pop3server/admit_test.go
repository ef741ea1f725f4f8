package pop3server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
)

// TestOldestGivesWay: a server that is full cuts the oldest connection that
// has not logged in, and never one that has.
func TestOldestGivesWay(t *testing.T) {
	opts := clear
	opts.MaxSessions = 3
	watch := &record{}
	opts.Observer = watch
	srv, addr := serve(t, store(t), somebody, opts)
	in := login(t, addr)
	oldest, second := dial(t, addr), dial(t, addr)
	newest := dial(t, addr)
	oldest.want("-ERR [SYS/TEMP] Too many connections")
	oldest.closed()
	second.do("NOOP", "-ERR Log in first")
	newest.do("USER other", "+OK")
	newest.do("PASS secret", "+OK")
	in.do("NOOP", "+OK")
	dial(t, addr)
	second.want("-ERR [SYS/TEMP] Too many connections")
	second.closed()
	waitSessions(srv, 3)
	if got := watch.count("refused gave way to a newer connection"); got != 2 {
		t.Errorf("%d refusals observed, want 2: %q", got, watch.events)
	}
}

func TestLimitPerNetwork(t *testing.T) {
	opts := clear
	opts.MaxSessionsPerNetwork, opts.MaxSessionsPerAddr = 2, -1
	l := &elsewhere{Listener: listen(t), from: []string{"192.0.2.1", "192.0.2.200", "192.0.2.7", "192.0.3.1",
		"2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8:2::1"}}
	serveOn(t, l, store(t), somebody, opts)
	want := []string{"+OK", "+OK", "-ERR", "+OK", "+OK", "+OK", "-ERR", "+OK"}
	for _, w := range want {
		dialRaw(t, l.Addr().String()).want(w)
	}

	opts.KnownNetworks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	opts.MaxSessionsPerAddr = 1
	l = &elsewhere{Listener: listen(t), from: []string{"192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.3.1", "192.0.3.1"}}
	serveOn(t, l, store(t), somebody, opts)
	for _, w := range []string{"+OK", "+OK", "+OK", "+OK", "-ERR"} {
		dialRaw(t, l.Addr().String()).want(w)
	}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// elsewhere is a listener whose connections seem to come from other places.
type elsewhere struct {
	net.Listener
	from []string
	n    int
}

func (e *elsewhere) Accept() (net.Conn, error) {
	conn, err := e.Listener.Accept()
	if err != nil {
		return nil, err
	}
	ip := netip.MustParseAddr(e.from[e.n])
	e.n++
	return remoteConn{conn, net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 999))}, nil
}

type remoteConn struct {
	net.Conn
	remote net.Addr
}

func (c remoteConn) RemoteAddr() net.Addr { return c.remote }

// TestOldestHandshakeGivesWay: half a handshake holds a place only until it
// is needed.
func TestOldestHandshakeGivesWay(t *testing.T) {
	config, trust := certificate()
	opts := pop3server.Options{TLSConfig: config, MaxHandshakes: 2}
	srv, err := pop3server.New(store(t), somebody, opts)
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	done := make(chan error, 1)
	go func() { done <- srv.ServeTLS(l) }()
	defer func() { srv.Close(); <-done }()
	var silent []*peer
	for range 2 {
		silent = append(silent, dialRaw(t, l.Addr().String()))
		waitSessions(srv, len(silent))
		time.Sleep(50 * time.Millisecond) // its handshake has begun
	}
	conn, err := tls.Dial("tcp", l.Addr().String(), trust)
	if err != nil {
		t.Fatalf("with two silent connections in the way: %v", err)
	}
	conn.Close()
	silent[0].closed()
	silent[1].SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := silent[1].r.ReadByte(); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("the newer silent connection: %v", err)
	}
}

// record is an Observer that writes down what it hears.
type record struct {
	mu     sync.Mutex
	events []string
}

func (r *record) add(event string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event)
}

func (r *record) count(event string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e == event {
			n++
		}
	}
	return n
}

func (r *record) SessionStarted() { r.add("started") }
func (r *record) SessionEnded(s pop3server.SessionSummary) {
	if s.Duration <= 0 || s.OctetsIn < 0 || s.OctetsOut < 0 {
		r.add("impossible summary")
	}
	r.add("ended " + s.Reason)
}
func (r *record) Refused(reason string) {
	if slices.Contains(pop3server.Reasons(), reason) {
		r.add("refused " + reason)
	}
}
func (r *record) Handshake(err error, _ time.Duration) {
	if err != nil {
		r.add("handshake failed")
	} else {
		r.add("handshake")
	}
}
func (r *record) LoggedIn(mechanism string, tls bool) {
	if tls {
		mechanism += " TLS"
	}
	r.add("logged in " + mechanism)
}
func (r *record) LoginFailed(mechanism string) { r.add("login failed " + mechanism) }
func (r *record) Command(verb string, _ time.Duration, ok bool) {
	if ok {
		verb += " ok"
	}
	r.add(verb)
}
func (r *record) Deleted(n int) { r.add("deleted " + strings.Repeat("I", n)) }

func TestObserver(t *testing.T) {
	config, trust := certificate()
	watch := &record{}
	srv, addr := serve(t, store(t, "a\n", "b\n"), somebody, pop3server.Options{TLSConfig: config, Observer: watch})
	p := dial(t, addr)
	p.do("FROB", "-ERR")
	p.do("STLS", "+OK")
	p = p.overTLS()
	p.do("USER mrose", "+OK")
	p.do("PASS wrong", "-ERR [AUTH]")
	p.do("USER mrose", "+OK")
	p.do("PASS secret", "+OK")
	p.do("DELE 1", "+OK")
	p.do("DELE 2", "+OK")
	p.do("RETR 1", "-ERR")
	p.do("QUIT", "+OK")
	p.closed()
	waitSessions(srv, 0)
	want := []string{"started", "other", "handshake", "STLS ok", "USER ok", "login failed USER", "PASS", "USER ok", "logged in USER TLS",
		"PASS ok", "DELE ok", "DELE ok", "RETR", "deleted II", "QUIT ok", "ended quit"}
	watch.mu.Lock()
	got := slices.Clone(watch.events)
	watch.mu.Unlock()
	if !slices.Equal(got, want) {
		t.Errorf("events\n%q\nwant\n%q", got, want)
	}
	if _, err := tls.Dial("tcp", addr, trust); err == nil {
		t.Error("TLS on the port for clear text")
	}
}

func TestListAndKick(t *testing.T) {
	s := store(t, "one\n", "two\n")
	srv, addr := serve(t, s, somebody, clear)
	p := login(t, addr)
	p.do("RETR 1", "+OK")
	p.lines()
	p.do("DELE 1", "+OK")
	waiting := dial(t, addr)
	var infos []pop3server.SessionInfo
	for { // until the loop has noted the last command, and its reply as sent
		infos = srv.List()
		slices.SortFunc(infos, func(a, b pop3server.SessionInfo) int { return strings.Compare(b.User, a.User) })
		if len(infos) == 2 && infos[0].Deleted == 1 && infos[0].OctetsOut >= 100 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	i := infos[0]
	if i.User != "mrose" || i.Remote != "127.0.0.1" || i.State != "TRANSACTION" || i.TLS || i.Mechanism != "USER" || i.Messages != 2 ||
		i.Command != "DELE" || i.Retrieved != 1 || i.OctetsIn != 41 || i.LastCommand.Before(i.Started) || len(i.ID) != 12 {
		t.Errorf("session %+v", i)
	}
	if i := infos[1]; i.User != "" || i.State != "AUTHORIZATION" || i.Command != "" || !i.LastCommand.IsZero() {
		t.Errorf("session before login %+v", i)
	}
	if n := srv.Kick(func(i pop3server.SessionInfo) bool { return i.User == "mrose" }); n != 1 {
		t.Errorf("%d kicked", n)
	}
	p.closed()
	waiting.do("CAPA", "+OK")
	waitSessions(srv, 1)
	if got := left(t, s); len(got) != 2 {
		t.Errorf("a kick removed mail: %q are left", got)
	}
}

// TestRetire: connections that were accepted are served on, without a limit
// in time but the caller's.
func TestRetire(t *testing.T) {
	s := store(t, "one\n")
	srv, addr := serve(t, s, somebody, clear)
	in, early := login(t, addr), dial(t, addr)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- srv.Retire(ctx) }()
	for {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			break // nobody listens any more
		}
		conn.Close()
	}
	early.do("USER other", "+OK")
	early.do("PASS secret", "+OK")
	in.do("DELE 1", "+OK")
	in.do("QUIT", "+OK")
	select {
	case err := <-done:
		t.Fatalf("Retire ended before the last session: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	early.do("QUIT", "+OK")
	if err := <-done; err != nil {
		t.Errorf("Retire: %v", err)
	}

	srv, addr = serve(t, s, somebody, clear)
	in = login(t, addr)
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := srv.Retire(short); err != context.DeadlineExceeded {
		t.Errorf("Retire with a session that stays: %v", err)
	}
	in.closed()
}

// parting is a listener that gives one connection when it is closed, as one
// whose Accept returns at that moment.
type parting struct {
	accepting, closed chan struct{}
	once              sync.Once
	last              chan net.Conn
}

func (p *parting) Accept() (net.Conn, error) {
	select {
	case p.accepting <- struct{}{}:
	case <-p.closed:
	}
	<-p.closed
	select {
	case conn := <-p.last:
		time.Sleep(10 * time.Millisecond) // the sessions may all have ended
		return conn, nil
	default:
		return nil, net.ErrClosed
	}
}

func (p *parting) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *parting) Addr() net.Addr { return &net.TCPAddr{} }

// TestRetireServesTheLast: nobody else can serve a connection that was
// accepted already.
func TestRetireServesTheLast(t *testing.T) {
	srv, _ := serve(t, store(t, "one\n"), somebody, clear)
	here, there := net.Pipe()
	defer there.Close()
	l := &parting{accepting: make(chan struct{}), closed: make(chan struct{}), last: make(chan net.Conn, 1)}
	l.last <- here
	go srv.Serve(l)
	<-l.accepting
	done := make(chan error, 1)
	go func() { done <- srv.Retire(context.Background()) }()
	r := bufio.NewReader(there)
	for _, line := range []string{"", "USER mrose\r\n", "PASS secret\r\n", "QUIT\r\n"} {
		if line != "" { // a pipe waits even for a reader of nothing
			io.WriteString(there, line)
		}
		if got, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(got, "+OK") {
			t.Fatalf("%q: %q, %v", line, got, err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// viewed is an Authenticator that gives every login a view.
type viewed struct {
	users
	view maildrop.View
}

func (v viewed) Password(ctx context.Context, l pop3server.Login) (pop3server.Account, error) {
	a, err := v.users.Password(ctx, l)
	a.View = v.view
	return a, err
}

func TestViews(t *testing.T) {
	s := store(t, "one\n", "two\n")
	_, addr := serve(t, s, viewed{somebody, maildrop.View{ReadOnly: true}}, clear)
	p := login(t, addr)
	p.do("DELE 1", "-ERR [SYS/PERM] This login may not delete")
	p.do("STAT", "+OK 2 ")
	p.do("QUIT", "+OK Bye")
	p.closed()

	_, addr = serve(t, s, viewed{somebody, maildrop.View{Keep: true, Device: "phone"}}, clear)
	p = login(t, addr)
	p.do("DELE 1", "+OK")
	p.do("QUIT", "+OK")
	p.closed()
	p = login(t, addr)
	p.do("LIST", "+OK")
	if got := p.lines(); len(got) != 1 || !strings.HasPrefix(got[0], "1 ") {
		t.Errorf("after a delete that keeps: %q", got)
	}
	p.do("QUIT", "+OK")
	p.closed()
	if got := left(t, s); len(got) != 2 {
		t.Errorf("%q are left", got)
	}
}

func TestLoginDelay(t *testing.T) {
	opts := clear
	opts.LoginDelay = 90500 * time.Millisecond
	inBubble(t, opts, nil, func(t *testing.T, _ *pop3server.Server, l *pipes) {
		p := l.dial(t)
		p.do("CAPA", "+OK")
		if got := p.lines(); !slices.Contains(got, "LOGIN-DELAY 91") {
			t.Errorf("CAPA: %q", got)
		}
		p.do("USER mrose", "+OK")
		p.do("PASS secret", "+OK")
		p.do("QUIT", "+OK")
		time.Sleep(90 * time.Second)
		p = l.dial(t)
		p.do("USER mrose", "+OK")
		p.do("PASS secret", "-ERR [LOGIN-DELAY]")
		p.do("USER other", "+OK")
		p.do("PASS wrong", "-ERR [AUTH]") // a wrong password is told first
		time.Sleep(time.Second)
		p.do("USER mrose", "+OK")
		p.do("PASS secret", "+OK")
		p.do("QUIT", "+OK")
	})
}

// handedOn is a connection whose TLS ended at a balancer.
type handedOn struct{ net.Conn }

func (handedOn) SecureTransport() bool { return true }

func TestTLSThatEndedElsewhere(t *testing.T) {
	config, _ := certificate()
	for _, wrapped := range []bool{false, true} {
		inBubble(t, pop3server.Options{TLSConfig: config}, nil, func(t *testing.T, srv *pop3server.Server, l *pipes) {
			if wrapped {
				l.wrap = func(c net.Conn) net.Conn { return handedOn{c} }
			}
			p := l.dial(t)
			p.do("CAPA", "+OK")
			if got := p.lines(); slices.Contains(got, "USER") != wrapped || slices.Contains(got, "STLS") == wrapped {
				t.Errorf("CAPA %q", got)
			}
			if !wrapped {
				return
			}
			p.do("STLS", "-ERR TLS is already active")
			p.do("USER mrose", "+OK")
			p.do("PASS secret", "+OK")
			if infos := srv.List(); len(infos) != 1 || !infos[0].TLS {
				t.Errorf("sessions %+v", infos)
			}
		})
	}
}
