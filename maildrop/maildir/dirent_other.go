//go:build !linux

package maildir

import "golang.org/x/sys/unix"

// parseDirents calls each for the entries that a readDir gave, "." and ".."
// left out. What they are is left to a look at them.
func parseDirents(buf []byte, each func(d dirent)) {
	_, _, names := unix.ParseDirent(buf, -1, nil)
	for _, name := range names {
		each(dirent{entry: entry{name: name}})
	}
}
