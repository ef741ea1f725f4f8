package maildir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// inotify is the notifier of Linux. It is opened for the first folder, and
// closed with the process.
type inotify struct {
	fd int // below 0: not open yet
}

func newNotifier() notifier { return &inotify{fd: -1} }

// local are the types of file systems on which nobody but this kernel changes
// anything.
var local = []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC, 0x2fc12fc1 /* ZFS */}

var errNotLocal = errors.New("others may change this file system")

func (n *inotify) add(dir int) (int, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(dir, &st); err != nil {
		return -1, err
	}
	if !slices.Contains(local, int64(st.Type)) {
		return -1, errNotLocal
	}
	if n.fd < 0 {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			return -1, err
		}
		n.fd = fd
	}
	return unix.InotifyAddWatch(n.fd, fmt.Sprintf("/proc/self/fd/%d", dir),
		unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVED_FROM|unix.IN_MOVED_TO|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_ONLYDIR)
}

func (n *inotify) remove(wd int) { unix.InotifyRmWatch(n.fd, uint32(wd)) }

func (n *inotify) events(each func(wd int, lost bool, name string, came bool)) {
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	for {
		got, err := unix.Read(n.fd, *buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil && err != unix.EAGAIN {
			each(-1, true, "", false)
		}
		if err != nil || got <= 0 {
			return
		}
		for b := (*buf)[:got]; len(b) >= unix.SizeofInotifyEvent; {
			wd, mask := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
			end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
			name, _, _ := bytes.Cut(b[unix.SizeofInotifyEvent:end], []byte{0})
			if mask&unix.IN_Q_OVERFLOW != 0 {
				wd = -1
			}
			lost := mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_UNMOUNT|unix.IN_IGNORED) != 0
			each(int(wd), lost, string(name), mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0)
			b = b[end:]
		}
	}
}
