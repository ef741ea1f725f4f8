package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/daemon"
	"github.com/poplin-mail/poplin/internal/directory"
)

// demoMark begins the configuration of a demo. Only in a folder where one
// begins so is anything replaced.
const demoMark = "# Made by `poplin demo`"

// demoNew is the configuration while it is written.
const demoNew = "poplin.toml.new"

const demoConfig = demoMark + `, which writes it anew in every run.
# Try it: poplin serve --config FILE
state = "."
[pop3]
listen = ["%s"]
[pop3s]
listen = ["%s"]
[console]
listen = []
[maildrops]
path = "mail/{user}"
[users]
file = "users"
[limits]
shutdown_grace = "1s"
`

// demoState is the folder of a demo, held by a lock that ends with the
// process.
type demoState struct {
	dir  string
	pair daemon.Pair
	lock *os.File
	log  *os.File
}

// openDemoState takes a folder: a new one, an empty one, or that of an
// earlier demo.
func openDemoState(dir string) (*demoState, error) {
	s := &demoState{dir: dir}
	if err := s.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: name another folder with --state", err)
	}
	var err error
	if s.lock, err = os.OpenFile(s.path("demo.lock"), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600); err != nil {
		return nil, fmt.Errorf("%w: name another folder with --state", err)
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		s.lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("a demo is running in %s: end it, or name another folder with --state", dir)
		}
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return s, nil
}

// Close gives the folder back.
func (s *demoState) Close() {
	if s.log != nil {
		s.log.Close()
	}
	s.lock.Close()
}

func (s *demoState) path(name string) string { return filepath.Join(s.dir, name) }

// check refuses a folder of another user, who could put links in it, and one
// with anything in it that no demo made.
func (s *demoState) check() error {
	info, err := os.Stat(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to another user (%d): name another folder with --state", s.dir, stat.Uid)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	mark, err := os.ReadFile(s.path("poplin.toml"))
	if err == nil && strings.HasPrefix(string(mark), demoMark) {
		return nil
	}
	for _, e := range entries {
		if e.Name() != "demo.lock" && e.Name() != demoNew {
			return fmt.Errorf("%s is not empty and was not made by a demo: name another folder with --state", s.dir)
		}
	}
	return nil
}

// prepare writes the configuration, the user and the certificate, and empties
// the Maildir.
func (s *demoState) prepare(ctx context.Context, listen, listenTLS string) (*config.Config, error) {
	if err := s.writeConfig(fmt.Appendf(nil, demoConfig, listen, listenTLS)); err != nil {
		return nil, err
	}
	cfg, err := config.Load(s.path("poplin.toml"))
	if err != nil {
		return nil, err
	}
	if s.log, err = os.OpenFile(s.path("poplin.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600); err != nil {
		return nil, fmt.Errorf("%w: the log must be a file and no link: remove it, or name another folder with --state", err)
	}
	for _, old := range []string{"mail", "users"} {
		if err := os.RemoveAll(s.path(old)); err != nil {
			return nil, err
		}
	}
	if s.pair, err = daemon.SelfSigned(s.dir, ""); err != nil {
		return nil, err
	}
	stored, err := directory.Hash(demoPassword)
	if err != nil {
		return nil, err
	}
	return cfg, directory.Add(ctx, s.path("users"), demoUser, stored)
}

// writeConfig puts the configuration in place in one step: the folder of a
// demo that was killed must still be known as one.
func (s *demoState) writeConfig(text []byte) error {
	written := s.path(demoNew)
	if err := os.RemoveAll(written); err != nil { // of a demo that was killed
		return err
	}
	if err := os.WriteFile(written, text, 0o600); err != nil {
		return err
	}
	return os.Rename(written, s.path("poplin.toml"))
}
