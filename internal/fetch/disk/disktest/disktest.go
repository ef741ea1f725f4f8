// Package disktest has a file system that fails when a test wants it to: each
// call is counted, and one of them fails, or is the last that the process
// makes.
package disktest

import (
	"errors"
	"io/fs"
	"sync"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

// ErrDied is the error of every call once the process is to be dead.
var ErrDied = errors.New("the process has died")

// ErrShort makes a write take half of what it is given, and report that.
var ErrShort = errors.New("short write")

// FS is the file system of the machine with a fault.
type FS struct {
	disk.OS

	// At is the number of the call, from 1, that fails with Err; 0: none.
	At  int
	Err error

	// Dies has that call and all behind it fail with ErrDied, without an
	// effect: the process was killed before it. Its locks are given back by
	// closing files, which works always.
	Dies bool

	mu    sync.Mutex
	calls int
	last  string
}

var _ disk.FS = (*FS)(nil)

// Calls tells how many calls there were.
func (f *FS) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// Failed names the call that failed, empty where none has.
func (f *FS) Failed() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// ask gives the error that a call is to give.
func (f *FS) ask(op, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.At == 0 || f.calls < f.At || f.calls > f.At && !f.Dies {
		return nil
	}
	err := f.Err
	if f.Dies {
		err = ErrDied
	}
	if f.last == "" {
		f.last = op + " " + name
	}
	if err == ErrShort {
		return ErrShort
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// OpenFile implements disk.FS.
func (f *FS) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	if err := f.ask("open", name); err != nil {
		return nil, err
	}
	file, err := f.OS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faulty{file, f}, nil
}

// Link implements disk.FS.
func (f *FS) Link(from, to string) error {
	if err := f.ask("link", to); err != nil {
		return err
	}
	return f.OS.Link(from, to)
}

// Rename implements disk.FS.
func (f *FS) Rename(from, to string) error {
	if err := f.ask("rename", to); err != nil {
		return err
	}
	return f.OS.Rename(from, to)
}

// Remove implements disk.FS.
func (f *FS) Remove(name string) error {
	if err := f.ask("remove", name); err != nil {
		return err
	}
	return f.OS.Remove(name)
}

// MkdirAll implements disk.FS.
func (f *FS) MkdirAll(name string, perm fs.FileMode) error {
	if err := f.ask("mkdir", name); err != nil {
		return err
	}
	return f.OS.MkdirAll(name, perm)
}

// Names implements disk.FS.
func (f *FS) Names(dir string) ([]string, error) {
	if err := f.ask("readdir", dir); err != nil {
		return nil, err
	}
	return f.OS.Names(dir)
}

// Lstat implements disk.FS.
func (f *FS) Lstat(name string) (fs.FileInfo, error) {
	if err := f.ask("lstat", name); err != nil {
		return nil, err
	}
	return f.OS.Lstat(name)
}

// SyncDir implements disk.FS.
func (f *FS) SyncDir(name string) error {
	if err := f.ask("syncdir", name); err != nil {
		return err
	}
	return f.OS.SyncDir(name)
}

// faulty is an open file.
type faulty struct {
	disk.File
	fs *FS
}

func (f *faulty) Read(p []byte) (int, error) {
	if err := f.fs.ask("read", f.Name()); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

func (f *faulty) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.ask("read", f.Name()); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

// Write writes half before it fails, as a full disk does; a dying process may
// have written as much.
func (f *faulty) Write(p []byte) (int, error) {
	err := f.fs.ask("write", f.Name())
	if err == nil {
		return f.File.Write(p)
	}
	n := 0
	if f.fs.first() {
		n, _ = f.File.Write(p[:len(p)/2])
	}
	if err == ErrShort {
		return n, nil
	}
	return n, err
}

// first tells whether the last call was the one to fail, and none behind it.
func (f *FS) first() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls == f.At
}

func (f *faulty) Sync() error {
	if err := f.fs.ask("sync", f.Name()); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faulty) Truncate(size int64) error {
	if err := f.fs.ask("truncate", f.Name()); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faulty) Lock() error {
	if err := f.fs.ask("lock", f.Name()); err != nil {
		return err
	}
	return f.File.Lock()
}

func (f *faulty) Stat() (fs.FileInfo, error) {
	if err := f.fs.ask("stat", f.Name()); err != nil {
		return nil, err
	}
	return f.File.Stat()
}

// Close always closes. What a sync has not reported it does not report either.
func (f *faulty) Close() error {
	err := f.fs.ask("close", f.Name())
	if closeErr := f.File.Close(); err == nil {
		err = closeErr
	}
	return err
}
