package target

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

const (
	// lockPause is how long to wait before a lock is tried again.
	lockPause = 100 * time.Millisecond

	// staleLock is the age at which somebody else's dotlock is one that a
	// program left behind which is no more: longer than Postfix (500 s), and
	// about as long as procmail (1024 s) gives them. The mbox must not have
	// changed meanwhile either.
	staleLock = 15 * time.Minute
)

// box is an mbox that is open and locked.
type box struct {
	disk.File
	size   int64
	unlock func()
}

// Close gives the locks back.
func (b *box) Close() error {
	b.unlock()
	return b.File.Close()
}

// lock opens the mbox and takes both locks that mail programs use: the record
// lock first, as Debian's policy and mutt have it. Neither is waited for with
// the other in hand, so that no order of theirs ends in a deadlock. The error is
// fs.ErrNotExist where there is no mbox and flag does not make one.
func (b *Mbox) lock(ctx context.Context, flag int) (*box, error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.LockTimeout)
	defer cancel()
	for {
		opened, err := b.tryLock(flag)
		if !errors.Is(err, disk.ErrLocked) {
			return opened, err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("%s is locked by another program, and was for %v (if none uses it, and there is a file %[1]s.lock, remove that)", b.opts.Path, b.opts.LockTimeout)
		case <-time.After(lockPause):
		}
	}
}

// tryLock does that without waiting.
func (b *Mbox) tryLock(flag int) (opened *box, err error) {
	f, err := b.fs.OpenFile(b.opts.Path, os.O_RDWR|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK|flag, 0o600)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link: name the file itself", b.opts.Path)
	} else if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no ordinary file", b.opts.Path)
	}
	if err := f.LockRecord(); err != nil {
		return nil, err
	}
	unlock, err := b.dotlock(f)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			unlock()
		}
	}()
	// Before it was locked a program may have written to it, or put another
	// file in its place.
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	now, err := b.fs.Lstat(b.opts.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(info, now) {
		return nil, disk.ErrLocked
	} else if err != nil {
		return nil, err
	}
	return &box{f, info.Size(), unlock}, nil
}

// dotlock makes the file whose being there is the lock. It gets its content
// under another name first: a lock that does not tell whose it is would be in
// the way for long after a crash. Where the folder is closed to this user it
// cannot be made: then the record lock has to do, which MTAs take too.
func (b *Mbox) dotlock(f disk.File) (unlock func(), err error) {
	name := b.opts.Path + ".lock"
	mine, err := b.makeLock(name + ".poplin")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENAMETOOLONG) {
		if _, err := b.fs.Lstat(name); err == nil {
			return nil, disk.ErrLocked
		}
		return func() {}, nil
	} else if err != nil {
		return nil, err
	}
	err = b.fs.Link(name+".poplin", name)
	if errors.Is(err, fs.ErrExist) && b.stale(name, f) {
		err = b.fs.Link(name+".poplin", name)
	}
	b.fs.Remove(name + ".poplin")
	if errors.Is(err, fs.ErrExist) {
		return nil, disk.ErrLocked
	} else if err != nil {
		return nil, err
	}
	return func() {
		if now, err := b.fs.Lstat(name); err == nil && sameFile(mine, now) {
			b.fs.Remove(name)
		}
	}, nil
}

// makeLock writes what a dotlock holds, durably: an empty one could be anybody's
// after the power failed. With the record lock in hand no other Poplin does
// that, so that the name may be the same each time.
func (b *Mbox) makeLock(name string) (fs.FileInfo, error) {
	b.fs.Remove(name)
	l, err := b.fs.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(l, "%d\n%s\n", os.Getpid(), lockOwner())
	info, wrong := l.Stat()
	if err = cmp.Or(err, wrong, l.Sync(), l.Close()); err != nil {
		b.fs.Remove(name)
		return nil, err
	}
	return info, nil
}

// lockOwner is the second line of a dotlock from here. The first is the
// process's number, which other programs look at.
func lockOwner() string {
	host, _ := os.Hostname()
	return "poplin " + host
}

// stale takes a dotlock away that nobody holds, and tells whether it did. The
// record lock of f is held.
func (b *Mbox) stale(name string, f disk.File) bool {
	found, err := b.fs.Lstat(name)
	if err != nil || !found.Mode().IsRegular() {
		return false
	}
	if !b.abandoned(name) {
		box, err := f.Stat()
		if err != nil || time.Since(found.ModTime()) < staleLock || time.Since(box.ModTime()) < staleLock {
			return false
		}
	}
	// Another program may think the same at this moment, and have a lock of
	// its own in that place now: look again at what is taken away.
	aside := fmt.Sprintf("%s.%016x", name, rand.Uint64())
	if b.fs.Rename(name, aside) != nil {
		return false
	}
	taken, err := b.fs.Lstat(aside)
	same := err == nil && sameFile(found, taken)
	if !same {
		b.fs.Link(aside, name)
	}
	b.fs.Remove(aside)
	return same
}

// sameFile tells whether a file is one that was seen before: a new one may have
// got the inode of one that is gone.
func sameFile(a, b fs.FileInfo) bool { return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) }

// abandoned tells whether a dotlock is of a process from here that is no more.
// One that lives has the record lock too, so that this process's own is one
// that it could not remove.
func (b *Mbox) abandoned(name string) bool {
	f, err := b.fs.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1024))
	first, rest, _ := strings.Cut(string(text), "\n")
	pid, wrong := strconv.Atoi(first)
	if err != nil || wrong != nil || pid <= 0 || rest != lockOwner()+"\n" {
		return false
	}
	return pid == os.Getpid() || errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}
