package pop3server

import (
	"sync"
	"time"
)

// Observer hears of what a Server does, for metrics. Its methods are called
// by many sessions at once and must not wait. Embed NoObserver to hear of a
// part only.
type Observer interface {
	// SessionStarted is called for each connection that is let in, and
	// SessionEnded when it is over.
	SessionStarted()
	SessionEnded(SessionSummary)

	// Refused is called for a connection that the limits keep out, or cut
	// for a newer one. The reasons are few: those of Reasons.
	Refused(reason string)

	// Handshake is called at the end of a TLS handshake: err is nil where it
	// succeeded.
	Handshake(err error, took time.Duration)

	// LoggedIn and LoginFailed are called for each login that ends; the
	// latter for wrong credentials only. The mechanism is that of Login.
	LoggedIn(mechanism string, tls bool)
	LoginFailed(mechanism string)

	// Command is called after each command. The verb is one of those that
	// the server knows, or "other"; ok says whether the reply was positive.
	Command(verb string, took time.Duration, ok bool)

	// Deleted is called when n messages were removed by an UPDATE.
	Deleted(n int)
}

// SessionSummary is what a session was, at its end.
type SessionSummary struct {
	OctetsIn, OctetsOut int64 // as the client's program counts them: without TLS
	Retrieved, Deleted  int   // messages
	Duration            time.Duration
	Reason              string // why it ended, for people
}

// NoObserver is an Observer that does nothing.
type NoObserver struct{}

// SessionStarted implements Observer.
func (NoObserver) SessionStarted() {}

// SessionEnded implements Observer.
func (NoObserver) SessionEnded(SessionSummary) {}

// Refused implements Observer.
func (NoObserver) Refused(string) {}

// Handshake implements Observer.
func (NoObserver) Handshake(error, time.Duration) {}

// LoggedIn implements Observer.
func (NoObserver) LoggedIn(string, bool) {}

// LoginFailed implements Observer.
func (NoObserver) LoginFailed(string) {}

// Command implements Observer.
func (NoObserver) Command(string, time.Duration, bool) {}

// Deleted implements Observer.
func (NoObserver) Deleted(int) {}

// SessionInfo is a session that runs.
type SessionInfo struct {
	ID        string // as in the log
	Remote    string // IP address
	User      string // Account.Name; empty before login
	State     string // as pop3.State has it
	TLS       bool
	Mechanism string // of the login
	Device    string // of the login's View
	Messages  int    // in the maildrop
	Started   time.Time

	LastCommand time.Time // when it came; zero before the first
	Command     string    // its verb
	OctetsIn    int64     // without TLS
	OctetsOut   int64
	Retrieved   int // messages
	Deleted     int // messages marked
}

// List gives the sessions that run, in no order.
func (s *Server) List() []SessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]SessionInfo, 0, len(s.sessions))
	for ss := range s.sessions {
		all = append(all, ss.info())
	}
	return all
}

// Kick cuts the sessions that match, and gives their number. Nothing that is
// only marked as deleted is removed.
func (s *Server) Kick(match func(SessionInfo) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for ss := range s.sessions {
		if match(ss.info()) {
			ss.cut("kicked")
			n++
		}
	}
	return n
}

// shown is what others may see of a session, and what they want of it.
type shown struct {
	mu    sync.Mutex
	info  SessionInfo
	cause string // why it was cut, empty: it was not
}

// show changes what others see.
func (s *session) show(change func(*SessionInfo)) {
	s.shown.mu.Lock()
	defer s.shown.mu.Unlock()
	change(&s.shown.info)
}

// info gives what others see. It is called by other goroutines.
func (s *session) info() SessionInfo {
	s.shown.mu.Lock()
	defer s.shown.mu.Unlock()
	return s.shown.info
}

// cut ends the session at once, but for an UPDATE that has begun. It is
// called by other goroutines.
func (s *session) cut(cause string) {
	s.stop(cause)
	s.conn.Close()
}

// giveWay is cut for a session that has not logged in and has done nothing
// wrong: it is told so, if it takes that within a moment.
func (s *session) giveWay(cause string) {
	s.stop(cause)
	time.AfterFunc(lingerTime, func() { s.conn.Close() })
	s.deadline.Lock()
	defer s.deadline.Unlock()
	s.gaveWay = true
	s.lineBy = time.Now()
	s.conn.SetReadDeadline(s.lineBy)
}

// stop notes why the session is cut, and ends what it waits for.
func (s *session) stop(cause string) {
	s.shown.mu.Lock()
	defer s.shown.mu.Unlock()
	if s.shown.cause == "" {
		s.shown.cause = cause
	}
	s.cancel()
}

// cause says why the session was cut by others, empty where it was not.
func (s *session) cause() string {
	s.shown.mu.Lock()
	defer s.shown.mu.Unlock()
	return s.shown.cause
}

// saw notes a command that came and how many octets did until then.
func (s *session) saw(verb string) {
	s.shown.mu.Lock()
	defer s.shown.mu.Unlock()
	s.shown.info.Command, s.shown.info.LastCommand = verb, time.Now()
	s.shown.info.OctetsIn = s.r.Received()
}

// did notes the state after a command.
func (s *session) did() {
	s.shown.mu.Lock()
	defer s.shown.mu.Unlock()
	i := &s.shown.info
	i.State, i.TLS = s.state.String(), s.protected()
	i.Retrieved, i.Deleted = s.retrieved, s.msgs.count-s.total.Messages
}
