package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/emersion/go-smtp"
)

// Options say how a Server takes mail. Agent must be set.
type Options struct {
	Agent *Agent

	// Trusted are the networks that may connect over TCP.
	Trusted []netip.Prefix

	// TLSConfig has STARTTLS offered over TCP. Nil: it is not.
	TLSConfig *tls.Config

	MaxMessage int64 // octets of a message; 0: no bound
	Sessions   int   // connections at the same time; 0: 200

	// OverQuota is the reply for a message that has no room:
	// OverQuotaPermanent, or 0 for OverQuotaTemporary.
	OverQuota int
}

// Server takes mail by LMTP. Make it with NewServer.
type Server struct {
	opts  Options
	log   *slog.Logger
	local *smtp.Server // for unix sockets: without TLS
	tcp   *smtp.Server
	slots chan struct{}
	done  chan struct{}
	once  sync.Once

	mu    sync.Mutex
	conns map[*conn]bool
}

// ErrServerClosed is the error of Serve after Shutdown.
var ErrServerClosed = errors.New("delivery: server closed")

// maxRecipients of a message: RFC 5321 section 4.5.3.1.8 asks for 100, and
// Postfix sends 50.
const maxRecipients = 1000

// NewServer makes a Server.
func NewServer(opts Options) *Server {
	if opts.Sessions <= 0 {
		opts.Sessions = 200
	}
	if opts.OverQuota == 0 {
		opts.OverQuota = OverQuotaTemporary
	}
	s := &Server{opts: opts, log: opts.Agent.Logger, slots: make(chan struct{}, opts.Sessions),
		done: make(chan struct{}), conns: make(map[*conn]bool)}
	s.local, s.tcp = s.newSMTP(nil), s.newSMTP(opts.TLSConfig)
	return s
}

// newSMTP sets up the protocol. The size of messages is bounded here and not
// there: a message that is too large by BDAT would get one reply there,
// however many recipients it has. Its time-outs are those of conn.
func (s *Server) newSMTP(config *tls.Config) *smtp.Server {
	srv := smtp.NewServer(smtp.BackendFunc(s.newSession))
	srv.LMTP = true
	srv.Domain = s.opts.Agent.Hostname
	srv.TLSConfig = config
	srv.EnableSMTPUTF8 = true
	srv.MaxRecipients = maxRecipients
	srv.MaxLineLength = 0 // it would be one for messages too; conn bounds commands
	srv.ErrorLog = errorLog{s.log}
	return srv
}

// errorLog hands on what go-smtp logs: peers that broke off, and panics.
type errorLog struct{ log *slog.Logger }

// Printf implements smtp.Logger.
func (l errorLog) Printf(format string, v ...any) {
	l.log.Warn("LMTP connection ended by a fault", "error", fmt.Sprintf(format, v...))
}

// Println implements smtp.Logger.
func (l errorLog) Println(v ...any) { l.Printf("%s", fmt.Sprint(v...)) }

// Serve serves a listener, of TCP or of a unix socket, which it closes. It
// returns ErrServerClosed after Shutdown.
func (s *Server) Serve(l net.Listener) error {
	srv := s.local
	if l.Addr().Network() != "unix" {
		srv = s.tcp
	}
	err := srv.Serve(&listener{Listener: l, server: s})
	select {
	case <-s.done:
		return ErrServerClosed
	default:
		return err
	}
}

// Shutdown stops accepting connections and ends each behind the message that
// it is taking. When ctx ends, what is left is cut: a message that was not
// acknowledged will be sent again. The error is that of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.once.Do(func() { close(s.done) })
	s.mu.Lock()
	for c := range s.conns {
		c.finish()
	}
	s.mu.Unlock()
	var wait sync.WaitGroup
	errs := make([]error, 2)
	for i, srv := range []*smtp.Server{s.local, s.tcp} {
		wait.Go(func() { errs[i] = srv.Shutdown(ctx) })
	}
	wait.Wait()
	s.mu.Lock()
	for c := range s.conns {
		c.Conn.Close()
	}
	s.mu.Unlock()
	return ctx.Err()
}

// Connections tells how many there are.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// listener accepts the connections of those who may deliver.
type listener struct {
	net.Listener
	server *Server
}

// Accept implements net.Listener. Where there are as many connections as there
// may be, the next one waits in the kernel.
func (l *listener) Accept() (net.Conn, error) {
	s := l.server
	select {
	case s.slots <- struct{}{}:
	case <-s.done:
		return nil, net.ErrClosed
	}
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			<-s.slots
			return nil, err
		}
		if !s.trusts(nc.RemoteAddr()) {
			s.log.Warn("LMTP connection refused: lmtp.trusted does not hold the address", "rip", nc.RemoteAddr().String())
			nc.Close()
			continue
		}
		return s.admit(nc), nil
	}
}

// admit makes the conn, which gives its slot back when it is closed.
func (s *Server) admit(nc net.Conn) *conn {
	c := &conn{Conn: nc}
	c.end = func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		<-s.slots
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = true
	select {
	case <-s.done: // Shutdown may have looked already
		c.finish()
	default:
	}
	return c
}

// trusts tells whether a peer may deliver. Who may use a unix socket is a
// matter of its folder.
func (s *Server) trusts(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return true
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	return slices.ContainsFunc(s.opts.Trusted, func(p netip.Prefix) bool { return p.Contains(ip) })
}
