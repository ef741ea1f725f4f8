package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// statEvery is how often at most a file is looked at for a change.
	statEvery = time.Second

	// settleTime is how old a file's modification time must be before an
	// equal one proves that nothing changed: clocks of file systems tick
	// slowly, some in steps of two seconds.
	settleTime = 2 * time.Second

	// maxFile bounds the size of a file, in octets: some 500,000 users.
	maxFile = 64 << 20
)

// watched is a file, with passwords mostly, that is read again when it changed; while
// a change cannot be read, what was read before stays good.
type watched[T any] struct {
	path   string
	what   string // the file is, for logs
	parse  func(data []byte) (*T, error)
	may    bool          // be missing, and counts as empty then
	open   bool          // others may read it: there is no password in it
	every  time.Duration // it is looked at no more often than this
	logger *slog.Logger
	value  atomic.Pointer[T]

	mu      sync.Mutex // held to look at the file
	looked  time.Time
	info    fs.FileInfo // of the file when it was last read; nil: read it again
	settled bool
	failure string // what was logged last, so that it is logged once
}

// reload reads the file now. With an error, what was read before stays good.
func (w *watched[T]) reload() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read()
}

// current gives what is in the file. A session that finds another one looking
// takes what was read before.
func (w *watched[T]) current() *T {
	if w.mu.TryLock() {
		if time.Since(w.looked) >= w.every {
			w.refresh()
		}
		w.mu.Unlock()
	}
	return w.value.Load()
}

func (w *watched[T]) refresh() {
	w.looked = time.Now()
	info, err := os.Stat(w.path)
	missing := w.may && errors.Is(err, fs.ErrNotExist)
	if err == nil && w.settled && unchanged(w.info, info) || missing && w.info == nil && w.failure == "" {
		return
	}
	before := w.info
	if err = w.read(); err != nil {
		if err.Error() != w.failure {
			w.failure = err.Error()
			w.logger.Error(w.what+" cannot be read: what was read before stays good", "error", err)
		}
		return
	}
	if !unchanged(before, w.info) || w.failure != "" {
		w.logger.Info(w.what+" was read again", "file", w.path)
	}
	w.failure = ""
}

// unchanged compares what tells a file that was written to, replaced, or
// given another mode.
func unchanged(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() &&
		a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode()
}

// read reads the file and puts what is in it in place.
func (w *watched[T]) read() error {
	w.looked = time.Now()
	read := readFile
	if w.open {
		read = func(path string) ([]byte, fs.FileInfo, error) { return ReadRegular(path, maxFile) }
	}
	data, info, err := read(w.path)
	w.info, w.settled = info, info != nil && time.Since(info.ModTime()) > settleTime
	if err != nil && !(w.may && errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	v, err := w.parse(data)
	if err != nil {
		return err
	}
	w.value.Store(v)
	return nil
}

// readFile reads a file with passwords whose mode is safe.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	data, info, err := ReadRegular(path, maxFile)
	if err == nil && info.Mode().Perm()&0o007 != 0 {
		err = fmt.Errorf("%s holds passwords and is open to every user of this machine (mode %04o): run `chmod o= %s`", path, info.Mode().Perm(), path)
	}
	return data, info, err
}
