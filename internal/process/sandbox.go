package process

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Rules are the folders that a process may open files in, below what every
// program needs: libraries, certificate authorities, the resolver's files.
// A rule is of a folder, so that a file in it may be replaced.
type Rules struct {
	Read  []string // and execute
	Write []string // and read
}

// ReadFile adds the folder of a file, and that of the file it is a link to.
func (r *Rules) ReadFile(paths ...string) {
	for _, p := range paths {
		if p == "" {
			continue
		}
		r.Read = append(r.Read, filepath.Dir(p))
		if target, err := filepath.EvalSymlinks(p); err == nil {
			r.Read = append(r.Read, filepath.Dir(target))
		}
	}
}

// What every program on the machine may read: /etc/resolv.conf and what it
// may be a link to, authorities, time zones, users, libraries. What /etc holds
// of secrets is root's, and /proc shows nothing of processes outside of the
// sandbox that is not for all, since Landlock forbids to trace them.
var systemFolders = []string{"/etc", "/usr", "/lib", "/lib64", "/bin", "/run/systemd/resolve", "/proc", "/sys/fs/cgroup", "/sys/kernel/mm", "/sys/devices/system/cpu"}

// systemFiles are those that may be written to as well.
var systemFiles = []string{"/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", "/dev/log"}

// Sandbox takes from this process, for good and in all its threads, the right
// to gain rights by executing a file (no_new_privs) and, where the kernel has
// Landlock, that to open files outside of the rules. It tries whether that is
// so, and logs what is enforced.
func Sandbox(rules Rules, logger *slog.Logger) error {
	if err := ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	read := unique(rules.Read)
	write := unique(rules.Write)
	for _, p := range write {
		if _, err := os.Stat(p); errors.Is(err, fs.ErrNotExist) {
			logger.Warn("sandbox: a folder does not exist, and cannot be used if it is made later: restart then", "folder", p)
		}
	}
	err := landlock.V5.BestEffort().RestrictPaths(
		landlock.RODirs(append(slices.Clone(systemFolders), read...)...).IgnoreIfMissing(),
		landlock.RWDirs(write...).WithRefer().IgnoreIfMissing(),
		landlock.RWFiles(systemFiles...).IgnoreIfMissing(),
	)
	if err != nil {
		return fmt.Errorf("landlock: %w; sandbox = false turns it off", err)
	}
	return report(read, write, logger)
}

// unique gives the paths in order, each once.
func unique(paths []string) []string {
	all := slices.Clone(paths)
	slices.Sort(all)
	return slices.Compact(all)
}

// report tries what is enforced and logs it.
func report(read, write []string, logger *slog.Logger) error {
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil || nnp != 1 {
		return fmt.Errorf("no_new_privs is not in force after it was set (%d, %v)", nnp, err)
	}
	attrs := []any{"no_new_privs", true, "uid", os.Geteuid(), "gid", os.Getegid()}
	abi, err := ll.LandlockGetABIVersion()
	switch {
	case err != nil || abi < 2: // the first cannot tell a move from one folder to another, which Maildirs live by
		logger.Warn("sandbox: this kernel has no Landlock that fits: file permissions alone keep the server from other files", attrs...)
		return nil
	case slices.Contains(write, "/") || slices.Contains(read, "/"):
		logger.Warn("sandbox: the configuration names the root folder: all files are within the sandbox", attrs...)
		return nil
	}
	if f, err := os.Open("/"); err == nil {
		f.Close()
		return errors.New("the sandbox does not hold: a folder outside of it can be opened; sandbox = false starts without it")
	} else if !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("the sandbox cannot be tried: %w", err)
	}
	logger.Info("sandbox is enforced: a folder outside of it was tried and is out of reach",
		append(attrs, "landlock", abi, "read", read, "write", write)...)
	return nil
}
