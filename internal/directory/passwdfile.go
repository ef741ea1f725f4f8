package directory

import (
	"context"
	"errors"
	"log/slog"

	"github.com/poplin-mail/poplin/pop3server"
	"github.com/poplin-mail/poplin/sasl"
)

// PasswdFile is a Source that reads a passwd-file. It reads the file again
// when it changed; while a change cannot be read, what was read before stays
// good. It is used by many sessions at once.
type PasswdFile struct{ file watched[table] }

var _ Source = (*PasswdFile)(nil)

// Open reads a passwd-file. The error names each line that is wrong. A nil
// logger discards.
func Open(path string, logger *slog.Logger) (*PasswdFile, error) {
	return openPasswdFile(path, "users file", logger, nil)
}

// openPasswdFile is Open for a file that logs call what, with a further check
// of names.
func openPasswdFile(path, what string, logger *slog.Logger, check func(name string) error) (*PasswdFile, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	p := &PasswdFile{watched[table]{path: path, what: what, every: statEvery, logger: logger}}
	p.file.parse = func(data []byte) (*table, error) {
		t, err := parseTable(path, data)
		for i := 0; check != nil && err == nil && i < len(t.entries); i++ {
			if err = check(t.entries[i].name); err != nil {
				err = &LineError{File: path, Line: t.entries[i].line, Err: err}
			}
		}
		return t, err
	}
	if err := p.Reload(); err != nil {
		return nil, err
	}
	return p, nil
}

// Users gives the number of users in the file as it was last read.
func (p *PasswdFile) Users() int { return len(p.file.value.Load().entries) }

// Reload reads the file now. With an error, what was read before stays good.
func (p *PasswdFile) Reload() error { return p.file.reload() }

// Close implements Source. Nothing is held.
func (p *PasswdFile) Close() error { return nil }

// Lookup implements Source.
func (p *PasswdFile) Lookup(_ context.Context, login pop3server.Login) (*User, error) {
	e := p.file.current().find(login.Username)
	if e == nil {
		return nil, nil
	}
	return &User{Name: e.name, Secret: e.secret.field, Deny: e.deny(login), Keeping: e.keeping, parsed: &e.secret}, nil
}

// secrets implements openBook.
func (p *PasswdFile) secrets() []*secret { return p.file.current().secrets }

// everyoneHas implements openBook.
func (p *PasswdFile) everyoneHas(hash sasl.Hash) bool {
	t := p.file.current()
	return t.keyed[hash] == len(t.secrets)
}

// Why a right password did not do: for the log, the client is not told.
var (
	errNoLogin = errors.New("the user's line says nologin")
	errNet     = errors.New("the address is not in the user's allow_nets")
)

// deny says why the user may not log in, nil where nothing is in the way.
func (e *entry) deny(login pop3server.Login) error {
	switch {
	case e.noLogin:
		return errNoLogin
	case !e.mayComeFrom(login.Remote):
		return errNet
	}
	return nil
}
