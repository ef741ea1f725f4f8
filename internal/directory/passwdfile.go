package directory

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3server"
)

const (
	// statEvery is how often at most the file is looked at for a change.
	statEvery = time.Second

	// settleTime is how old a file's modification time must be before an
	// equal one proves that nothing changed: clocks of file systems tick
	// slowly, some in steps of two seconds.
	settleTime = 2 * time.Second

	// maxFile bounds the size of the file, in octets: some 500,000 users.
	maxFile = 64 << 20

	// maxPassword is the longest password that is tried, in octets. The cost
	// of some schemes grows with it.
	maxPassword = 1024
)

// PasswdFile answers logins from a passwd-file. It reads the file again when
// it changed; while a change cannot be read, what was read before stays good.
// It is used by many sessions at once.
type PasswdFile struct {
	path   string
	logger *slog.Logger
	table  atomic.Pointer[table]
	gate   *gate
	seed   maphash.Seed

	mu      sync.Mutex // held to look at the file
	looked  time.Time
	info    fs.FileInfo // of the file when it was last read; nil: read it again
	settled bool
	failure string // what was logged last, so that it is logged once
}

var (
	_ pop3server.Authenticator     = (*PasswdFile)(nil)
	_ pop3server.APOPAuthenticator = (*PasswdFile)(nil)
)

// Open reads a passwd-file. The error names each line that is wrong. A nil
// logger discards.
func Open(path string, logger *slog.Logger) (*PasswdFile, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	p := &PasswdFile{path: path, logger: logger, gate: newGate(hashMemory), seed: maphash.MakeSeed()}
	if err := p.Reload(); err != nil {
		return nil, err
	}
	return p, nil
}

// Users gives the number of users in the file as it was last read.
func (p *PasswdFile) Users() int { return len(p.table.Load().entries) }

// Reload reads the file now. With an error, what was read before stays good.
func (p *PasswdFile) Reload() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read()
}

// current gives the table, from a file looked at within the last second. A
// session that finds another one looking takes the table as it is.
func (p *PasswdFile) current() *table {
	if p.mu.TryLock() {
		if time.Since(p.looked) >= statEvery {
			p.refresh()
		}
		p.mu.Unlock()
	}
	return p.table.Load()
}

func (p *PasswdFile) refresh() {
	p.looked = time.Now()
	info, err := os.Stat(p.path)
	if err == nil && p.settled && unchanged(p.info, info) {
		return
	}
	before := p.info
	if err = p.read(); err != nil {
		if err.Error() != p.failure {
			p.failure = err.Error()
			p.logger.Error("users file cannot be read: the users known before stay", "error", err)
		}
		return
	}
	if !unchanged(before, p.info) || p.failure != "" {
		p.logger.Info("users file was read again", "file", p.path, "users", p.Users())
	}
	p.failure = ""
}

// unchanged compares what tells a file that was written to, replaced, or
// given another mode.
func unchanged(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() &&
		a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode()
}

// read reads the file and puts its table in place.
func (p *PasswdFile) read() error {
	p.looked = time.Now()
	data, info, err := readFile(p.path)
	p.info, p.settled = info, info != nil && time.Since(info.ModTime()) > settleTime
	if err != nil {
		return err
	}
	t, err := parseTable(p.path, data, p.seed)
	if err != nil {
		return err
	}
	p.table.Store(t)
	return nil
}

// readFile reads a passwd-file whose mode is safe.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	data, info, err := ReadRegular(path, maxFile)
	if err == nil && info.Mode().Perm()&0o007 != 0 {
		err = fmt.Errorf("%s holds passwords and is open to every user of this machine (mode %04o): run `chmod o= %s`", path, info.Mode().Perm(), path)
	}
	return data, info, err
}

// Password implements pop3server.Authenticator. A user name that is not in
// the file costs as much as a wrong password.
func (p *PasswdFile) Password(ctx context.Context, login pop3server.Login) (pop3server.Account, error) {
	t := p.current()
	user := t.find(login.Username)
	check, password, possible := t.decoy(login.Username), login.Password, false
	if user != nil && !user.secret.locked() {
		check, possible = &user.secret, true
	}
	if password == "" || len(password) > maxPassword {
		password, possible = "-", false
	}
	leave, err := p.gate.enter(ctx, check.memory)
	if err != nil {
		return pop3server.Account{}, fmt.Errorf("waiting to check a password: %w", err)
	}
	matched := check.match(password)
	leave()
	if !matched || !possible {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return user.admit(login)
}

// APOP implements pop3server.APOPAuthenticator, for users whose password is
// in the file in clear text, {PLAIN}, and refuses all others.
func (p *PasswdFile) APOP(_ context.Context, login pop3server.Login, timestamp, digest string) (pop3server.Account, error) {
	user := p.current().find(login.Username)
	text, possible := "-", false
	if user != nil && user.secret.plain && user.secret.text != "" {
		text, possible = user.secret.text, true
	}
	if !pop3.CheckAPOP(timestamp, text, digest) || !possible {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return user.admit(login)
}

// Why a right password did not do: for the log, the client is not told.
var (
	errNoLogin = errors.New("the user's line says nologin")
	errNet     = errors.New("the address is not in the user's allow_nets")
)

// admit gives the account of a user whose password was right.
func (e *entry) admit(login pop3server.Login) (pop3server.Account, error) {
	switch {
	case e.noLogin:
		return pop3server.Account{}, fmt.Errorf("%w: %w", pop3server.ErrBadCredentials, errNoLogin)
	case !e.mayComeFrom(login.Remote):
		return pop3server.Account{}, fmt.Errorf("%w: %w", pop3server.ErrBadCredentials, errNet)
	}
	return pop3server.Account{Name: e.name, Maildrop: e.name}, nil
}
