package pop3server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3"
)

const alpn = pop3.ALPN

// ErrServerClosed is what Serve and ServeTLS return after Shutdown or Close.
var ErrServerClosed = errors.New("pop3server: server closed")

// Server serves maildrops over POP3. New makes one.
type Server struct {
	store maildrop.Store
	auth  Authenticator
	opts  Options

	ctx    context.Context // of all sessions; ends with Close
	cancel context.CancelFunc

	watch   Observer
	table   admission
	workers *workers
	pace    pace

	mu        sync.Mutex
	closing   bool
	listeners map[net.Listener]struct{}
	sessions  map[*session]struct{}
	drops     map[string]*session // who holds which maildrop
	done      sync.WaitGroup      // sessions that run, and loops that accept them

	retired  atomic.Bool // accepts no more
	draining atomic.Bool // as closing, for the sessions' loops
	panics   atomic.Int64
}

// New makes a Server that lets in whom auth knows and serves what store keeps.
// It fails where the options cannot work together.
func New(store maildrop.Store, auth Authenticator, opts Options) (*Server, error) {
	switch {
	case store == nil:
		return nil, errors.New("pop3server: no Store")
	case auth == nil:
		return nil, errors.New("pop3server: no Authenticator")
	case opts.TLSConfig == nil && !opts.InsecureAuth && !opts.APOP:
		return nil, errors.New("pop3server: nobody could log in: set Options.TLSConfig, or Options.InsecureAuth to take passwords in clear text")
	}
	if _, ok := auth.(APOPAuthenticator); opts.APOP && !ok {
		return nil, fmt.Errorf("pop3server: Options.APOP is set and %T is no APOPAuthenticator", auth)
	}
	s := &Server{
		store: store, auth: auth, opts: opts.withDefaults(),
		listeners: map[net.Listener]struct{}{},
		sessions:  map[*session]struct{}{},
		table:     newAdmission(),
		drops:     map[string]*session{},
	}
	s.watch, s.pace = s.opts.Observer, pace{least: s.opts.LoginDelay}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.workers = newWorkers(s.ctx)
	return s, nil
}

// Serve accepts connections in clear text, on which STLS is offered where
// there is a TLSConfig (RFC 2595). It closes l and returns ErrServerClosed
// after Shutdown or Close, and the error of l if that fails before.
//
// A connection with a method SecureTransport() bool that reports true counts
// as under TLS: something trusted in front of the server ended it there.
func (s *Server) Serve(l net.Listener) error { return s.serve(l, nil) }

// ServeTLS is Serve for connections that begin with a TLS handshake (RFC 8314
// section 3.3).
func (s *Server) ServeTLS(l net.Listener) error {
	if s.opts.TLSConfig == nil {
		l.Close()
		return errors.New("pop3server: ServeTLS needs Options.TLSConfig")
	}
	return s.serve(l, s.opts.TLSConfig)
}

func (s *Server) serve(l net.Listener, config *tls.Config) error {
	defer l.Close()
	if !s.track(l) {
		return ErrServerClosed
	}
	defer s.untrack(l)
	var pause time.Duration
	var told time.Time // when the log last said that there is a pause
	for {
		conn, err := l.Accept()
		if err != nil {
			if s.retired.Load() {
				return ErrServerClosed
			}
			if !passing(err) {
				return fmt.Errorf("pop3server: accept: %w", err)
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			if time.Since(told) >= tellEvery {
				s.opts.Logger.Error("cannot accept connections", "error", err, "retry_in", pause)
				told = time.Now()
			}
			if scarce(err) {
				s.makeRoom(nil)
			}
			time.Sleep(pause)
			continue
		}
		pause = 0
		s.start(conn, config)
	}
}

// passing reports whether Accept may work again in a while: above all when
// descriptors ran out.
func passing(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// start runs a session on conn, if the limits allow one more.
func (s *Server) start(conn net.Conn, config *tls.Config) {
	ss := newSession(s, conn)
	if reason := s.admit(ss); reason != "" {
		ss.cancel()
		s.watch.Refused(reason)
		s.opts.Logger.Warn("connection refused", slog.String("reason", reason), slog.String("rip", ss.rip))
		go refuse(conn, config == nil)
		return
	}
	s.workers.run(func() { ss.run(config) })
}

// refuse says why and closes, on a connection in clear text.
func refuse(conn net.Conn, clear bool) {
	if clear {
		conn.SetWriteDeadline(time.Now().Add(time.Second))
		conn.Write([]byte("-ERR [SYS/TEMP] " + textTooMany + "\r\n"))
	}
	conn.Close()
}

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired.Load() {
		return false
	}
	s.listeners[l] = struct{}{}
	s.done.Add(1)
	return true
}

func (s *Server) untrack(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	s.done.Done()
}

// Retire stops accepting connections and serves those that there are, and
// those that a listener still gives while it closes, to their natural end, be
// it long: another process has the listeners' sockets too, and accepts from
// now on. When ctx ends first, what is left is cut as by Close, and the error
// is that of ctx.
func (s *Server) Retire(ctx context.Context) error {
	s.stopListening()
	return s.wait(ctx)
}

// Shutdown stops accepting connections and lets the sessions come to their
// end: those before login are closed at once; those after login may go on to
// their QUIT, but a pause of five seconds ends them without UPDATE. When ctx
// ends first, what is left is cut as by Close, and the error is that of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	s.mu.Lock()
	for ss := range s.sessions {
		ss.drain()
	}
	s.mu.Unlock()
	return s.wait(ctx)
}

// wait waits for the sessions to end, and cuts them when ctx does.
func (s *Server) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		s.done.Wait()
		close(done)
	}()
	select {
	case <-done:
		s.stop()
		s.cancel()
		return nil
	case <-ctx.Done():
		s.Close()
		<-done
		return ctx.Err()
	}
}

// Close stops accepting connections, cuts those there are, and waits for
// their sessions to end. Nothing that is only marked as deleted is removed; a
// QUIT that has begun to remove messages is let finish.
func (s *Server) Close() error {
	s.stop()
	s.cancel()
	s.mu.Lock()
	for ss := range s.sessions {
		ss.conn.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
	return nil
}

func (s *Server) stop() {
	s.stopListening()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	s.draining.Store(true)
}

func (s *Server) stopListening() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired.Store(true)
	for l := range s.listeners {
		l.Close()
	}
}

// Sessions gives the number of connections.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Panics gives the number of sessions that ended in a panic: in the server,
// in the Store or in the Authenticator. Each was logged, and took nothing
// but its own session with it.
func (s *Server) Panics() int64 { return s.panics.Load() }

func machineName() string {
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "localhost"
}
