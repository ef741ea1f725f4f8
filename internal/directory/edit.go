package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Errors of the functions that edit a passwd-file.
var (
	// ErrExists says that Add found the user in the file.
	ErrExists = errors.New("the user exists already")

	// ErrNoUser says that the file has no such user.
	ErrNoUser = errors.New("there is no such user")
)

// lockWait is how long an edit waits for another one to end.
const lockWait = 10 * time.Second

// Entry is a user of a passwd-file, without the password.
type Entry struct {
	Name   string `json:"name"`
	Scheme string `json:"scheme"` // of the stored password; empty where there is none
	Locked bool   `json:"locked"` // nobody can log in: the password was locked, or nologin
	Line   int    `json:"line"`
}

// List gives the users of a passwd-file in their order.
func List(path string) ([]Entry, error) {
	data, _, err := readFile(path)
	if err != nil {
		return nil, err
	}
	t, err := parseTable(path, data)
	if err != nil {
		return nil, err
	}
	list := make([]Entry, 0, len(t.entries))
	for i := range t.entries {
		e := &t.entries[i]
		item := Entry{Name: e.name, Locked: e.secret.out() || e.noLogin, Line: e.line}
		if !e.secret.locked() {
			item.Scheme = e.secret.scheme
		}
		list = append(list, item)
	}
	return list, nil
}

// Add puts a user at the end of a passwd-file. stored is the second field,
// as Hash makes it. A file that does not exist is made, readable by its owner
// only; its folder must exist.
func Add(ctx context.Context, path, name, stored string) error {
	if err := errors.Join(CheckName(name), checkStored(stored)); err != nil {
		return err
	}
	return edit(ctx, path, true, checkTable(path), func(lines [][]byte) ([][]byte, error) {
		if i := lineOf(lines, name); i >= 0 {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, ErrExists)
		}
		endLine(lines)
		return append(lines, []byte(name+":"+stored+"::::::\n")), nil
	})
}

// SetPassword replaces the second field of a user's line.
func SetPassword(ctx context.Context, path, name, stored string) error {
	if err := checkStored(stored); err != nil {
		return err
	}
	return edit(ctx, path, false, checkTable(path), func(lines [][]byte) ([][]byte, error) {
		i := lineOf(lines, name)
		if i < 0 {
			return nil, ErrNoUser
		}
		line := string(lines[i])
		ending := line[len(strings.TrimRight(line, "\r\n")):]
		fields := strings.SplitN(strings.TrimSuffix(line, ending), ":", 3)
		fields = append(fields, "", "")[:max(2, len(fields))]
		fields[1] = stored
		lines[i] = []byte(strings.Join(fields, ":") + ending)
		return lines, nil
	})
}

// Remove takes a user's line out. The user's mail stays where it is.
func Remove(ctx context.Context, path, name string) error {
	return edit(ctx, path, false, checkTable(path), func(lines [][]byte) ([][]byte, error) {
		i := lineOf(lines, name)
		if i < 0 {
			return nil, ErrNoUser
		}
		return append(lines[:i], lines[i+1:]...), nil
	})
}

// checkStored keeps a stored password within its field.
func checkStored(stored string) error {
	if strings.ContainsAny(stored, ":\r\n") {
		return errors.New("the stored password holds a colon or a line end")
	}
	return nil
}

// lineOf gives the index of a user's line, -1 where there is none.
func lineOf(lines [][]byte, name string) int {
	for i, line := range lines {
		if found, ok := nameOf(string(line)); ok && fold(found) == fold(name) {
			return i
		}
	}
	return -1
}

// endLine gives the last line its end, so that another can follow.
func endLine(lines [][]byte) {
	if n := len(lines); n > 0 && !bytes.HasSuffix(lines[n-1], []byte("\n")) {
		lines[n-1] = append(lines[n-1], '\n')
	}
}

// checkTable says what is wrong with a passwd-file.
func checkTable(path string) func([]byte) error {
	return func(data []byte) error {
		_, err := parseTable(path, data)
		return err
	}
}

// edit changes the lines of a file and puts the new file in place of
// the old one in one step, on disk before it returns. Mode and owner stay. A
// change whose result check refuses is not made.
func edit(ctx context.Context, path string, create bool, check func([]byte) error, change func([][]byte) ([][]byte, error)) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // the file is replaced, not the link to it
	}
	unlock, err := lockFolder(ctx, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unlock()
	data, info, err := readFile(path)
	if err != nil && !(create && errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	lines, err := change(slices.Collect(bytes.Lines(data)))
	if err != nil {
		return err
	}
	data = bytes.Join(lines, nil)
	if err := check(data); err != nil {
		return fmt.Errorf("nothing was changed, since the file has lines that are wrong: %w", err)
	}
	return replace(path, data, info)
}

// lockFolder locks the folder of a passwd-file, so that there is no file to
// leave behind. The lock ends with the process that holds it.
func lockFolder(ctx context.Context, dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { d.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			d.Close()
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
		select {
		case <-ctx.Done():
			d.Close()
			return nil, fmt.Errorf("another program edits the users in %s: %w", dir, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// replace writes the file beside the old one and renames it. The name of the
// new file is fixed: under the lock it can only be what a killed edit left,
// which holds passwords, and goes.
func replace(path string, data []byte, old fs.FileInfo) (err error) {
	dir := filepath.Dir(path)
	name := filepath.Join(dir, "."+filepath.Base(path)+".poplin-edit")
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tmp, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.Write(data); err != nil {
		return err
	}
	if err = keepOwner(tmp, old); err != nil {
		return err
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncFolder(dir)
}

// keepOwner gives the new file the owner and the mode of the old one. Where
// that cannot be, the daemon might not be able to read it: an error.
func keepOwner(tmp *os.File, old fs.FileInfo) error {
	if old == nil {
		return nil
	}
	info, err := tmp.Stat()
	if err != nil {
		return err
	}
	was, ok1 := old.Sys().(*syscall.Stat_t)
	now, ok2 := info.Sys().(*syscall.Stat_t)
	if ok1 && ok2 && (was.Uid != now.Uid || was.Gid != now.Gid) {
		if err := tmp.Chown(int(was.Uid), int(was.Gid)); err != nil {
			return fmt.Errorf("the users file belongs to another user (%d:%d): run this as that user or as root: %w", was.Uid, was.Gid, err)
		}
	}
	return tmp.Chmod(old.Mode().Perm())
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
