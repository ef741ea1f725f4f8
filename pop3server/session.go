package pop3server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/internal/wire"
	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3"
)

// session is one connection from its greeting to its end. One goroutine runs
// it; what others touch is conn, shown and the deadline, see drain and cut.
type session struct {
	srv    *Server
	conn   net.Conn // as accepted
	stream net.Conn // conn, or TLS over it
	r      *wire.Reader
	w      *wire.Writer
	log    *slog.Logger

	id, rip string // for logs
	place   place  // what the limits count
	start   time.Time
	ctx     context.Context
	cancel  context.CancelFunc
	shown   shown

	state     pop3.State
	tls       *tls.ConnectionState // nil in clear text
	timestamp string               // of APOP, empty: not offered
	lang      string               // empty: English
	user      string               // of USER
	userGiven bool
	bad       int // unknown commands
	failed    int // refused credentials

	account Account
	drop    maildrop.Maildrop
	msgs    listing
	total   pop3.Stat // of the messages not marked
	marked  []bool    // by DELE; nil: none

	deadline  sync.Mutex // held to set the read deadline
	lineBy    time.Time  // under deadline: when a line must have come
	drained   bool       // under deadline: the deadline of drain stands
	gaveWay   bool       // under deadline: there is no time left, see giveWay
	rested    bool       // the wait for a line was interrupted, and goes on
	closing   bool       // the loop ends after this reply
	linger    bool       // the client may still be sending, see hangUp
	why       string     // the session ended, for the log
	retrieved int
	deleted   int
}

func newSession(srv *Server, conn net.Conn) *session {
	s := &session{srv: srv, conn: conn, stream: conn, start: time.Now(), id: rand.Text()[:12]}
	s.renew()
	s.rip, s.place = srv.locate(conn.RemoteAddr())
	s.shown.info = SessionInfo{ID: s.id, Remote: s.rip, State: s.state.String(), Started: s.start}
	s.log = srv.opts.Logger.With("session", s.id, "rip", s.rip)
	return s
}

// Buffers are lent to sessions, which give them back while they wait for a
// command.
var (
	readBuffers  = wire.NewBuffers(readBuffer)
	writeBuffers = wire.NewBuffers(writeBuffer)
)

// renew begins a context. That of the login is not kept: each deadline that was
// derived from it has left something in it.
func (s *session) renew() {
	s.shown.mu.Lock()
	defer s.shown.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
	s.ctx, s.cancel = context.WithCancel(s.srv.ctx)
	if s.shown.cause != "" {
		s.cancel()
	}
}

// run serves the connection and closes it.
func (s *session) run(config *tls.Config) {
	s.goOn(func() (rests bool) {
		s.srv.watch.SessionStarted()
		if config != nil && !s.handshake(s.ctx, config) {
			return false
		}
		s.did()
		s.r = readBuffers.Reader(s.stream)
		s.w = writeBuffers.Writer(deadlineWriter{s})
		s.greet()
		return s.converse()
	})
}

// goOn serves a part of the session. The last one closes the connection; a
// session that rests leaves its worker, and goes on in a goroutine of its own. A panic, in this package or in
// what plugs into it, ends this session only.
func (s *session) goOn(part func() (rests bool)) {
	rests := false
	defer func() {
		if rests {
			go s.goOn(s.converse)
			return
		}
		defer s.srv.done.Done()
		defer s.srv.leave(s)
		defer s.cancel()
		s.end()
	}()
	defer func() {
		if v := recover(); v != nil {
			s.srv.panics.Add(1)
			s.why = "panic"
			s.log.Error("session panicked", "user", s.account.Name, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	rests = part()
}

// converse answers commands until the session ends, or until its client has
// been silent for a while. What a goroutine has needed of its stack it keeps, so
// that the session then rests in a new one: thousands that wait need little
// each.
func (s *session) converse() (rests bool) {
	for !s.closing {
		line, err := s.await()
		if err == errRests {
			return true
		}
		if err != nil {
			s.lost(err)
			return false
		}
		s.command(s.ctx, line)
		s.did()
	}
	s.w.Flush()
	return false
}

// end closes the connection, gives the maildrop back and logs what the
// session cost.
func (s *session) end() {
	s.release()
	s.hangUp()
	sum := SessionSummary{OctetsOut: s.info().OctetsOut, Retrieved: s.retrieved, Deleted: s.deleted,
		Duration: time.Since(s.start).Round(time.Microsecond), Reason: s.why}
	if s.r != nil {
		sum.OctetsIn = s.r.Received()
		s.r.Release()
		s.w.Release()
	}
	s.srv.watch.SessionEnded(sum)
	s.log.Info("session ended", "user", s.account.Name, "reason", s.why, "state", s.state.String(),
		"tls", s.protected(), "octets_in", sum.OctetsIn, "octets_out", sum.OctetsOut,
		"retrieved", sum.Retrieved, "deleted", sum.Deleted, "duration", sum.Duration)
}

// hangUp closes the connection. Where the client may still be sending, what
// it sends is read for a moment first: a close with unread input makes the
// kernel send a reset, which takes the last reply away from the client.
//
// A client that reads too slowly has the connection reset: the kernel would
// try for minutes to get rid of what it was sent, and hold it meanwhile.
func (s *session) hangUp() {
	defer s.stream.Close()
	if s.w != nil && timedOut(s.w.Err()) {
		if l, ok := s.conn.(interface{ SetLinger(int) error }); ok {
			l.SetLinger(0)
		}
		s.conn.Close() // TLS would wait to say that it closes
		return
	}
	half, ok := s.conn.(interface{ CloseWrite() error })
	if !ok || !s.linger && (s.r == nil || s.r.Buffered() == 0) {
		return
	}
	if t, ok := s.stream.(*tls.Conn); ok {
		t.CloseWrite()
	}
	if half.CloseWrite() == nil {
		s.conn.SetReadDeadline(time.Now().Add(lingerTime))
		io.CopyN(io.Discard, s.conn, lingerOctets)
	}
}

// release gives the maildrop back, if the session holds one.
func (s *session) release() {
	if s.drop == nil {
		return
	}
	drop := s.drop
	s.drop = nil
	s.srv.letGo(s)
	if err := drop.Close(); err != nil {
		s.log.Error("cannot close maildrop", "user", s.account.Name, "error", err)
	}
}

// restDrop has the maildrop give back what it does not need while no message is
// asked for, such as descriptors.
func (s *session) restDrop() {
	if r, ok := s.drop.(maildrop.Rester); ok {
		r.Rest()
	}
}

// handshake puts TLS over the connection. It reports false, with the reason
// for the log, where that fails.
func (s *session) handshake(ctx context.Context, config *tls.Config) bool {
	begun := time.Now()
	by := s.start.Add(s.srv.opts.LoginTimeout)
	if limit := begun.Add(s.srv.opts.HandshakeTimeout); limit.Before(by) {
		by = limit
	}
	ctx, cancel := context.WithDeadline(ctx, by)
	defer cancel()
	s.srv.shaking(s)
	conn := tls.Server(s.conn, config)
	err := conn.HandshakeContext(ctx)
	s.srv.shaken(s)
	s.srv.watch.Handshake(err, time.Since(begun))
	if err != nil {
		if s.why = s.cause(); s.why == "" {
			s.why = "TLS handshake: " + pop3.Sanitize(err.Error())
		}
		return false
	}
	state := conn.ConnectionState()
	s.stream, s.tls = conn, &state
	return true
}

// errRests says that the session is to be gone on with in a new goroutine.
var errRests = errors.New("session rests")

// await waits for the next command line. Its error is errRests where none has
// come for restAfter; a call after that waits on for the same line.
func (s *session) await() ([]byte, error) {
	if !s.rested {
		if err := s.prepare(restAfter); err != nil {
			return nil, err
		}
	}
	s.rested = false
	line, err := s.r.ReadLine(pop3.MaxCommandLine)
	if err == wire.ErrLineTooLong && isAuth(s.r.Peek(5)) {
		line, err = s.r.ReadLine(pop3.MaxAuthLine) // RFC 5034 section 4
	}
	if err != nil && timedOut(err) && s.rest() {
		s.restDrop()
		return nil, errRests
	}
	return line, err
}

// prepare is called before a line is read. If it has not come yet, what the
// client has not got is sent first, so that replies to pipelined commands leave
// in one write; while that write waits nothing is read, so that a client that
// does not read cannot make the server gather replies. The wait for the line
// is interrupted after a first part, above zero, of the time that it may take.
func (s *session) prepare(first time.Duration) error {
	if s.r.HasLine() {
		return nil
	}
	if err := s.w.Flush(); err != nil {
		return err
	}
	s.r.Release()
	s.w.Release()
	s.setReadDeadline(first)
	return nil
}

// setReadDeadline sets the time by which a whole line must have come. Drain
// may have set an earlier one, which then stands. With first above zero reads
// time out then already.
func (s *session) setReadDeadline(first time.Duration) {
	now := time.Now()
	s.deadline.Lock()
	defer s.deadline.Unlock()
	switch {
	case s.gaveWay:
		s.lineBy = now
	case s.drained:
		s.lineBy = now.Add(s.drainTime())
	case s.state == pop3.Authorization:
		s.lineBy = s.start.Add(s.srv.opts.LoginTimeout)
	default:
		s.lineBy = now.Add(s.srv.opts.IdleTimeout)
	}
	by := s.lineBy
	if soon := now.Add(first); first > 0 && soon.Before(by) {
		by = soon
	}
	s.conn.SetReadDeadline(by)
}

// rest reports whether the line may still come after a time-out, and sets the
// deadline for it.
func (s *session) rest() bool {
	s.deadline.Lock()
	defer s.deadline.Unlock()
	s.rested = time.Now().Before(s.lineBy)
	if s.rested {
		s.conn.SetReadDeadline(s.lineBy)
	}
	return s.rested
}

// drain ends the session if no command comes soon. It is called by other
// goroutines.
func (s *session) drain() {
	s.deadline.Lock()
	defer s.deadline.Unlock()
	s.drained = true
	s.lineBy = time.Now().Add(s.drainTime())
	s.conn.SetReadDeadline(s.lineBy)
}

func (s *session) drainTime() time.Duration {
	if s.info().User == "" {
		return 0
	}
	return drainIdle
}

// lost ends the session after an error of the connection.
func (s *session) lost(err error) {
	cause := s.cause()
	switch {
	case cause != "":
		s.why = cause
		if timedOut(err) { // giveWay
			s.reply(errTooMany)
			s.w.Flush()
		}
	case errors.Is(err, wire.ErrLineTooLong):
		s.why, s.linger = "line too long", true
		s.reply(errLineTooLong)
		s.w.Flush()
	case s.srv.draining.Load():
		s.why = "server shut down"
	case timedOut(err):
		s.why = "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		s.why = "connection closed by client"
	default:
		s.why = pop3.Sanitize(err.Error())
	}
}

// timedOut reports whether err says that a deadline has passed.
func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// deadlineWriter writes to the session's stream under the WriteTimeout, which
// the client has for each writeStep octets.
type deadlineWriter struct{ s *session }

// Write implements io.Writer.
func (w deadlineWriter) Write(p []byte) (sent int, err error) {
	_, inTLS := w.s.stream.(*tls.Conn)
	for sent < len(p) {
		step := p[sent:]
		if inTLS && len(step) > writeStep { // a record; a time-out within one is the end of TLS
			step = step[:writeStep]
		}
		w.s.conn.SetWriteDeadline(time.Now().Add(w.s.srv.opts.WriteTimeout))
		n, err := w.s.stream.Write(step)
		sent += n
		w.s.show(func(i *SessionInfo) { i.OctetsOut += int64(n) })
		if err != nil && (n < writeStep || !timedOut(err)) {
			return sent, err
		}
	}
	return sent, nil
}
