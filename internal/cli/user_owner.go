package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/daemon"
)

// What root makes for the server must belong to the user that the server
// becomes. The folders it stands in may be that user's, who could put
// something else in the place meanwhile, so links are never followed.

// isRoot reports whether this process may give files away.
func isRoot() bool { return os.Geteuid() == 0 }

// staysRoot reports whether a command is going to be root in the Maildirs: the
// configuration names no user to become.
func staysRoot(cfg *config.Config) bool { return cfg.User == "" && isRoot() }

// notRoots refuses to be root in Maildirs that are somebody else's, where the
// configuration names no user to become: locks and indexes that root makes
// there would keep their owner out. The folder above all Maildirs says whose
// they are, or where that is root's, as /home is, those of the maildrops that
// are named. Who takes all maildrops names the first: they are made alike, and
// what a look costs must not grow with their number.
func notRoots(cfg *config.Config, command string, maildrops ...string) error {
	if !staysRoot(cfg) {
		return nil
	}
	err := notOthers(daemon.AboveMaildirs(cfg.Maildrops.Path), command)
	for _, name := range maildrops {
		if err != nil {
			break
		}
		err = notOthers(lowest(daemon.MaildirOf(cfg.Maildrops.Path, name)), command)
	}
	if err != nil {
		return &exitError{exitUsage, err}
	}
	return nil
}

// notRootsMaildir is notRoots for mail that comes in for one maildrop. Its own
// Maildir alone counts: one of root's may stand anywhere, as it does in
// containers in which everybody is root.
func notRootsMaildir(cfg *config.Config, command, name string) error {
	if !staysRoot(cfg) || cfg.Maildrops.Store != config.Maildir {
		return nil
	}
	return notOthers(lowest(daemon.MaildirOf(cfg.Maildrops.Path, name)), command)
}

// lowest gives the path, or of what is missing of it the folder in which it
// would be made.
func lowest(path string) string {
	for !exists(path) && path != filepath.Dir(path) {
		path = filepath.Dir(path)
	}
	return path
}

// notOthers says how to run a command where a folder is not root's.
func notOthers(path, command string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil // the store says what is wrong
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || s.Uid == 0 {
		return nil
	}
	id := strconv.FormatUint(uint64(s.Uid), 10)
	owner := "user " + id
	as := "setpriv --reuid " + id + " --regid " + strconv.FormatUint(uint64(s.Gid), 10) + " --clear-groups"
	if u, err := user.LookupId(id); err == nil {
		owner, as = u.Username, "runuser -u "+u.Username
	}
	return fmt.Errorf("%[1]s belongs to %[2]s, and this is root: run it as %[2]s: %[3]s -- poplin %[4]s ..., or set user in the configuration", path, owner, as, command)
}

// serverIDs gives user and group of the server. ok is false where nothing is
// to be given away: this is not root, or the configuration names no user.
func serverIDs(cfg *config.Config) (uid, gid int, ok bool, err error) {
	if !isRoot() || cfg.User == "" {
		return 0, 0, false, nil
	}
	u, err := user.Lookup(cfg.User)
	if err != nil {
		if u, err = user.LookupId(cfg.User); err != nil {
			return 0, 0, false, fmt.Errorf("the configuration's user %q does not exist on this machine", cfg.User)
		}
	}
	group := u.Gid
	if cfg.Group != "" {
		g, err := user.LookupGroup(cfg.Group)
		if err != nil {
			if g, err = user.LookupGroupId(cfg.Group); err != nil {
				return 0, 0, false, fmt.Errorf("the configuration's group %q does not exist on this machine", cfg.Group)
			}
		}
		group = g.Gid
	}
	uid, err = strconv.Atoi(u.Uid)
	if err == nil {
		gid, err = strconv.Atoi(group)
	}
	return uid, gid, err == nil, err
}

// giveFile gives a file with passwords that root just made to the server.
func giveFile(cfg *config.Config, path string) error {
	uid, gid, ok, err := serverIDs(cfg)
	if !ok {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || !info.Mode().IsRegular() || s.Nlink != 1 {
		return fmt.Errorf("%s is not the file that was made: it was not given to user %s", path, cfg.User)
	}
	return f.Chown(uid, gid)
}

// folders is a Maildir that is about to be made: those of its folders that
// are missing belong to root once root has made them.
type folders struct {
	base    string   // the lowest one that is there
	missing []string // below it, as relative paths
}

// missingFolders looks before a Maildir is made.
func missingFolders(path string) (folders, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return folders{}, err
	}
	f := folders{base: path}
	for _, sub := range []string{"", "cur", "new", "tmp"} {
		if !exists(filepath.Join(path, sub)) {
			f.missing = append(f.missing, filepath.Join(path, sub))
		}
	}
	for !exists(f.base) {
		f.base = filepath.Dir(f.base)
		if !exists(f.base) {
			f.missing = append(f.missing, f.base)
		}
	}
	for i, name := range f.missing {
		f.missing[i] = strings.TrimPrefix(strings.TrimPrefix(name, f.base), "/")
	}
	return f, nil
}

// give gives the folders that were missing to the server.
func (f folders) give(cfg *config.Config) error {
	uid, gid, ok, err := serverIDs(cfg)
	if !ok || len(f.missing) == 0 {
		return err
	}
	root, err := os.OpenRoot(f.base)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range f.missing {
		info, err := root.Lstat(name)
		if err == nil && !info.IsDir() {
			err = errors.New("is not a folder")
		}
		if err == nil {
			err = root.Lchown(name, uid, gid)
		}
		if err != nil {
			return fmt.Errorf("giving %s to user %s: %w", filepath.Join(f.base, name), cfg.User, err)
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
