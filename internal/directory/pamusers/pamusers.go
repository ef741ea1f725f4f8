//go:build pam

package pamusers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/msteinert/pam/v2"

	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/pop3server"
)

const (
	// timeout bounds how long a login waits. PAM itself cannot be interrupted:
	// a call that hangs keeps its place among maxCalls.
	timeout = 30 * time.Second

	// maxCalls is how many calls run at once. Each takes a thread, and most of
	// the time of a wrong password is a delay that PAM makes.
	maxCalls = 16

	maxPassword = 511 // octets; PAM_MAX_RESP_SIZE, with the NUL, is 512
)

// Options say how PAM is asked.
type Options struct {
	Service string // the file below /etc/pam.d
	Logger  *slog.Logger
}

// Source is a directory.Source over PAM.
type Source struct {
	opts  Options
	slots chan struct{}
}

// New makes a Source. It does not ask PAM for anything.
func New(opts Options) (*Source, error) {
	if opts.Service == "" || strings.ContainsAny(opts.Service, "/\x00") {
		return nil, fmt.Errorf("the service %q is not the name of a file below /etc/pam.d", opts.Service)
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Source{opts: opts, slots: make(chan struct{}, maxCalls)}, nil
}

// Close implements directory.Source.
func (s *Source) Close() error { return nil }

// Lookup implements directory.Source. PAM does not tell whom it knows before
// it is given a password: every name is taken for one that it knows.
func (s *Source) Lookup(_ context.Context, login pop3server.Login) (*directory.User, error) {
	if directory.CheckName(login.Username) != nil {
		return nil, nil
	}
	name, host := login.Username, hostOf(login.Remote)
	return &directory.User{Name: name, Verify: func(ctx context.Context, password string) error {
		return s.verify(ctx, name, password, host)
	}}, nil
}

// hostOf gives what PAM is told of the other end: its address.
func hostOf(remote net.Addr) string {
	if remote == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(remote.String())
	if err != nil {
		return ""
	}
	return host
}

// verify waits for PAM, as long as ctx allows. Past that the call goes on, and
// what it says is not heard.
func (s *Source) verify(ctx context.Context, name, password, host string) error {
	// In C a NUL ends the password: what follows it would not be compared.
	if password == "" || len(password) > maxPassword || strings.ContainsRune(password, 0) {
		return pop3server.ErrBadCredentials
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("PAM: all %d calls are under way: %w", maxCalls, ctx.Err())
	}
	answer := make(chan error, 1)
	go func() {
		defer func() { <-s.slots }()
		answer <- s.ask(name, password, host)
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("PAM has not answered: %w", ctx.Err())
	}
}

// wrong is what a module says of a user or a password that is not right.
var wrong = []pam.Error{pam.ErrAuth, pam.ErrUserUnknown, pam.ErrPermDenied, pam.ErrMaxtries, pam.ErrCredInsufficient}

// refused is what a module says of an account that may not be used.
var refused = append([]pam.Error{pam.ErrAcctExpired, pam.ErrNewAuthtokReqd, pam.ErrAuthtokExpired, pam.ErrCredExpired}, wrong...)

// ask runs one transaction: is the password right, and may the account be
// used now?
func (s *Source) ask(name, password, host string) error {
	runtime.LockOSThread() // modules may keep things by thread
	defer runtime.UnlockOSThread()
	tx, err := pam.StartFunc(s.opts.Service, name, conversation(password))
	if err != nil {
		return fmt.Errorf("PAM, service %s: %w", s.opts.Service, err)
	}
	defer tx.End()
	if host != "" {
		if err := tx.SetItem(pam.Rhost, host); err != nil {
			return fmt.Errorf("PAM: telling the address: %w", err)
		}
	}
	if err := s.judge("password", name, tx.Authenticate(pam.Silent|pam.DisallowNullAuthtok), wrong); err != nil {
		return err
	}
	if err := s.judge("account", name, tx.AcctMgmt(pam.Silent|pam.DisallowNullAuthtok), refused); err != nil {
		return err
	}
	// A module may put another user in the place of the one that was named.
	// The maildrop would still be that of the name.
	user, err := tx.GetItem(pam.User)
	if err != nil {
		return fmt.Errorf("PAM: asking who logged in: %w", err)
	}
	if user != name {
		s.opts.Logger.Warn("PAM took the name for another user's: refused", "user", name, "other", user)
		return pop3server.ErrBadCredentials
	}
	return nil
}

// judge tells a refusal, one of no, from a fault.
func (s *Source) judge(what, name string, err error, no []pam.Error) error {
	var code pam.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &code) && slices.Contains(no, code):
		if what == "account" {
			s.opts.Logger.Info("PAM refuses the account although the password is right", "user", name, "reason", err.Error())
		}
		return fmt.Errorf("%w: PAM: %w", pop3server.ErrBadCredentials, err)
	default:
		return fmt.Errorf("PAM, service %s: %s: %w", s.opts.Service, what, err)
	}
}

// conversation answers what asks for a secret with the password, and nothing
// else: POP3 has no way to pass a question on.
func conversation(password string) func(pam.Style, string) (string, error) {
	return func(style pam.Style, _ string) (string, error) {
		switch style {
		case pam.PromptEchoOff:
			return password, nil
		case pam.TextInfo, pam.ErrorMsg:
			return "", nil
		default:
			return "", errors.New("PAM asks for more than a password")
		}
	}
}
