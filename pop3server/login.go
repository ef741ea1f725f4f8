package pop3server

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/view"
	"github.com/poplin-mail/poplin/pop3"
)

// When a maildrop is asked for that another session holds.
const (
	quietTime  = 2 * time.Second       // a holder heard of since is alive
	probeTime  = 5 * time.Second       // a holder that is gone shows by then
	probePause = 50 * time.Millisecond // between two looks
)

// maxRoomMade is how often sessions are cut for one command where descriptors
// ran out.
const maxRoomMade = 5

// mayLogin reports whether passwords may be sent over this connection.
func (s *session) mayLogin() bool { return s.protected() || s.srv.opts.InsecureAuth }

// protected reports whether the client's connection is under TLS: here, or at
// the balancer that handed it on.
func (s *session) protected() bool {
	if s.tls != nil {
		return true
	}
	handed, ok := s.conn.(interface{ SecureTransport() bool })
	return ok && handed.SecureTransport()
}

// newLogin begins a Login for what this connection is.
func (s *session) newLogin(mechanism, username, password string) Login {
	return Login{Mechanism: mechanism, Username: username, Password: password,
		Remote: s.conn.RemoteAddr(), TLS: s.tls}
}

// ask checks credentials; it is a method of the Authenticator.
type ask = func(context.Context, Login) (Account, error)

// enter logs in by one question to the Authenticator.
func (s *session) enter(ctx context.Context, login Login, ask ask) error {
	account, err := s.verify(ctx, login, ask)
	if err != nil {
		if errors.Is(err, ErrBadCredentials) {
			s.refused(login)
		}
		return err
	}
	return s.begin(ctx, login, account)
}

// verify asks the Guard, and then the Authenticator. The time for logging in
// bounds both.
func (s *session) verify(ctx context.Context, login Login, ask ask) (Account, error) {
	ctx, cancel := context.WithDeadline(ctx, s.start.Add(s.srv.opts.LoginTimeout))
	defer cancel()
	done, err := s.attempt(ctx, login)
	if err != nil {
		return Account{}, err
	}
	err = errPanicked
	defer func() { done(err) }()
	var account Account
	account, err = ask(ctx, login)
	return account, err
}

// errPanicked is what the Guard hears where the Authenticator panics.
var errPanicked = errors.New("authenticator panicked")

// attempt asks the Guard, if there is one.
func (s *session) attempt(ctx context.Context, login Login) (done func(error), err error) {
	if s.srv.opts.Guard == nil {
		return func(error) {}, nil
	}
	return s.srv.opts.Guard.Attempt(ctx, login)
}

// actFor gives the account of the authorization identity, which is the user's
// own where it is empty.
func (s *session) actFor(ctx context.Context, login Login, own Account, identity string) (Account, error) {
	if identity == "" || identity == own.Name || identity == login.Username {
		return own, nil
	}
	impersonator, ok := s.srv.auth.(Impersonator)
	if !ok {
		return Account{}, ErrBadCredentials
	}
	return impersonator.ActFor(ctx, login, own, identity)
}

// begin ends the AUTHORIZATION state: it opens the account's maildrop. On an
// error the session stays where it is.
func (s *session) begin(ctx context.Context, login Login, account Account) error {
	if !s.srv.pace.allow(account) {
		s.log.Info("login too soon after the last one", "user", account.Name)
		return errLoginDelay
	}
	drop, err := s.open(ctx, account)
	if err != nil {
		if errors.Is(err, maildrop.ErrInUse) {
			s.log.Info("maildrop in use", "user", account.Name)
		}
		return err
	}
	s.account, s.drop = account, drop
	s.msgs, s.total = listingOf(drop)
	s.restDrop() // most sessions ask for nothing but the listing
	s.srv.hold(s)
	s.state = pop3.Transaction
	s.bad = 0
	s.srv.settled(s)
	s.renew()
	s.show(func(i *SessionInfo) {
		i.User, i.Mechanism, i.Device, i.Messages = account.Name, login.Mechanism, account.View.Device, s.msgs.count
	})
	s.srv.watch.LoggedIn(login.Mechanism, s.protected())
	s.log.Info("logged in", "user", account.Name, "mechanism", login.Mechanism, "tls", s.protected(),
		"messages", s.total.Messages, "octets", s.total.Octets)
	s.ok(textLoggedIn)
	return nil
}

// LoginFailed is the message of the log line for each login with wrong
// credentials, with the attributes session, rip, user, mechanism and tls.
const LoginFailed = "login failed"

// maxLoggedName bounds what a client can write into the log at a time.
const maxLoggedName = 128

// refused counts and logs a login with wrong credentials.
func (s *session) refused(login Login) {
	s.srv.watch.LoginFailed(login.Mechanism)
	name := login.Username[:min(len(login.Username), maxLoggedName)]
	s.log.Warn(LoginFailed, "user", pop3.Sanitize(name), "mechanism", login.Mechanism, "tls", s.protected())
	if s.failed++; s.failed >= maxFailedLogins {
		s.closing, s.linger, s.why = true, true, "too many failed logins"
	}
}

// open opens the account's maildrop. Where a session of this server holds it
// that has not been heard of for a while, that one is probed: its client may
// be a phone that lost its network and is now the one that asks. Where there
// are no descriptors left, those who have not logged in give way.
func (s *session) open(ctx context.Context, account Account) (maildrop.Maildrop, error) {
	drop, err := view.Open(ctx, s.srv.store, account.Maildrop, account.View)
	for tries := 0; s.madeRoom(err, tries); tries++ {
		drop, err = view.Open(ctx, s.srv.store, account.Maildrop, account.View)
	}
	if !errors.Is(err, maildrop.ErrInUse) || !s.srv.probe(account.Maildrop) {
		return drop, err
	}
	for by := time.Now().Add(probeTime); time.Now().Before(by); {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(probePause):
		}
		drop, err = view.Open(ctx, s.srv.store, account.Maildrop, account.View)
		if !errors.Is(err, maildrop.ErrInUse) {
			break
		}
	}
	return drop, err
}

// keepAliver is a *net.TCPConn, or what a listener wraps round one.
type keepAliver interface {
	SetKeepAliveConfig(net.KeepAliveConfig) error
}

// probe makes the kernel ask the client of the session that holds the
// maildrop whether it is still there, within seconds. A living client's
// kernel answers, and nothing happens; otherwise the connection fails, and
// the session ends without UPDATE. It reports false where there is nothing to
// wait for.
func (srv *Server) probe(name string) bool {
	srv.mu.Lock()
	holder := srv.drops[name]
	srv.mu.Unlock()
	if holder == nil || time.Since(holder.info().LastCommand) < quietTime {
		return false
	}
	conn, ok := holder.conn.(keepAliver)
	return ok && conn.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: time.Second, Interval: time.Second, Count: 2,
	}) == nil
}

// hold notes that ss holds its account's maildrop.
func (srv *Server) hold(ss *session) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.drops[ss.account.Maildrop] = ss
}

// letGo takes back what hold noted.
func (srv *Server) letGo(ss *session) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.drops[ss.account.Maildrop] == ss {
		delete(srv.drops, ss.account.Maildrop)
	}
}
