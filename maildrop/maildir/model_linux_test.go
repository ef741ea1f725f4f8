package maildir

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// model is a file system in memory with the vices of real ones: its clock
// stands still within a tick, an inode's number is given to the next file, and
// a name that changes while its folder is read is missed or comes twice. Below
// it nothing is left to chance but what rng says.
type model struct {
	rng   *rand.Rand
	clock int64 // nanoseconds since 1970
	tick  int64
	root  *node // holds top, the Maildir of user
	top   *node
	fds   map[int]*handle
	next  int
	free  []uint64 // numbers of inodes
	inos  uint64
	// before is asked before each call, and may do what other programs do.
	before func()
	within bool // before is running
	// dropped hears of a name that goes.
	dropped func(name string, n *node)
	// liar gives no ctime, or every other vice that a test asks for.
	liar  func(st *unix.Stat_t)
	calls map[string]int
	watch []*modelNotifier
	deaf  bool // some of what changes is not told
}

// node is a file, or a folder where slots is not nil.
type node struct {
	ino          uint64
	mode         uint32
	data         []byte
	slots        []slot // of a folder; some are empty
	mtime, ctime int64
	links        int
	opened       int
	locked       *handle
	past         []int64 // sizes that it had before it was written to in place
}

type slot struct {
	name string
	*node
}

type handle struct {
	*node
	at     int // in slots or data
	append bool
}

func newModel(rng *rand.Rand) *model {
	m := &model{rng: rng, clock: 1_800_000_000_000_000_000, tick: int64(4 * time.Millisecond), fds: make(map[int]*handle), next: 1 << 20, calls: make(map[string]int)}
	m.root, m.top = m.node(unix.S_IFDIR), m.node(unix.S_IFDIR)
	m.root.links = 1
	m.put(m.root, user, m.top)
	for _, name := range []string{"new", "cur", "tmp"} {
		m.put(m.top, name, m.node(unix.S_IFDIR))
	}
	return m
}

func (m *model) now() time.Time { return time.Unix(0, m.clock) }
func (m *model) stamp() int64   { return m.clock - m.clock%m.tick }

// node makes a file or folder without a name.
func (m *model) node(kind uint32) *node {
	n := &node{mode: kind | 0o700, mtime: m.stamp(), ctime: m.stamp()}
	if len(m.free) > 0 && m.rng.IntN(2) == 0 {
		n.ino, m.free = m.free[len(m.free)-1], m.free[:len(m.free)-1]
	} else {
		m.inos++
		n.ino = m.inos
	}
	if kind == unix.S_IFDIR {
		n.slots = []slot{}
	}
	return n
}

func (n *node) find(name string) int {
	for i, s := range n.slots {
		if s.node != nil && s.name == name {
			return i
		}
	}
	return -1
}

func (n *node) child(name string) *node {
	if i := n.find(name); i >= 0 {
		return n.slots[i].node
	}
	return nil
}

// put gives a node a name, in any slot that is free.
func (m *model) put(dir *node, name string, n *node) {
	m.drop(dir, name)
	var empty []int
	for i, s := range dir.slots {
		if s.node == nil {
			empty = append(empty, i)
		}
	}
	if len(empty) > 0 && m.rng.IntN(4) > 0 {
		dir.slots[empty[m.rng.IntN(len(empty))]] = slot{name, n}
	} else {
		dir.slots = append(dir.slots, slot{name, n})
	}
	n.links++
	n.ctime = m.stamp()
	dir.mtime, dir.ctime = m.stamp(), m.stamp()
	m.tell(dir, name, true)
}

// drop takes a name away.
func (m *model) drop(dir *node, name string) bool {
	i := dir.find(name)
	if i < 0 {
		return false
	}
	n := dir.slots[i].node
	if m.dropped != nil {
		m.dropped(name, n)
	}
	dir.slots[i] = slot{}
	n.links--
	n.ctime = m.stamp()
	dir.mtime, dir.ctime = m.stamp(), m.stamp()
	m.tell(dir, name, false)
	m.release(n)
	return true
}

func (m *model) release(n *node) {
	if n.links == 0 && n.opened == 0 {
		m.free = append(m.free, n.ino)
	}
}

// call counts, and lets others act.
func (m *model) call(op string) {
	m.calls[op]++
	if m.before != nil && !m.within {
		m.within = true
		m.before()
		m.within = false
	}
}

func (m *model) dir(fd int) *node {
	if h := m.fds[fd]; h != nil {
		return h.node
	}
	panic(fmt.Sprintf("descriptor %d is not open", fd))
}

func (m *model) open(dir int, name string, flags int) (int, error) {
	m.call("open")
	if dir == unix.AT_FDCWD { // the root of the Maildirs
		return m.hold(m.root, 0), nil
	}
	at := m.dir(dir)
	n := at.child(name)
	switch {
	case name == "." || at == m.top && name == user:
		n = at
	case n == nil && flags&unix.O_CREAT == 0:
		return -1, named("open", name, unix.ENOENT)
	case n == nil:
		n = m.node(unix.S_IFREG)
		m.put(at, name, n)
	case flags&unix.O_EXCL != 0:
		return -1, named("open", name, unix.EEXIST)
	}
	if flags&unix.O_DIRECTORY != 0 && n.slots == nil {
		return -1, named("open", name, unix.ENOTDIR)
	}
	return m.hold(n, flags), nil
}

// hold gives a descriptor.
func (m *model) hold(n *node, flags int) int {
	n.opened++
	m.next++
	m.fds[m.next] = &handle{node: n, append: flags&unix.O_APPEND != 0}
	return m.next
}

func (m *model) close(fd int) error {
	h := m.fds[fd]
	if h == nil {
		return unix.EBADF
	}
	delete(m.fds, fd)
	if h.locked == h {
		h.locked = nil
	}
	h.opened--
	m.release(h.node)
	return nil
}

func (m *model) read(fd int, p []byte) (int, error) {
	m.call("read")
	h := m.fds[fd]
	n := copy(p, h.data[min(h.at, len(h.data)):])
	h.at += n
	return n, nil
}

func (m *model) write(fd int, p []byte) (int, error) {
	m.call("write")
	h := m.fds[fd]
	h.data = append(h.data, p...)
	h.mtime, h.ctime = m.stamp(), m.stamp()
	return len(p), nil
}

func (m *model) fsync(fd int) error { m.call("fsync"); return nil }

func (m *model) flock(fd int) error {
	h := m.fds[fd]
	if h.locked != nil && h.locked != h {
		return unix.EWOULDBLOCK
	}
	h.locked = h
	return nil
}

// readDir gives a few entries at a time, in the order of the slots.
func (m *model) readDir(fd int, buf []byte) (int, error) {
	m.call("readDir")
	h := m.fds[fd]
	n := 0
	for given := 0; h.at < len(h.slots) && given < 12; h.at++ {
		s := h.slots[h.at]
		if s.node == nil {
			continue
		}
		length := (19 + len(s.name) + 1 + 7) &^ 7
		e := buf[n : n+length]
		clear(e)
		binary.NativeEndian.PutUint64(e, s.ino)
		binary.NativeEndian.PutUint16(e[16:], uint16(length))
		switch {
		case s.mode&unix.S_IFMT == unix.S_IFREG && m.rng.IntN(8) > 0:
			e[18] = unix.DT_REG
		case s.mode&unix.S_IFMT == unix.S_IFIFO:
			e[18] = unix.DT_FIFO
		}
		copy(e[19:], s.name)
		n += length
		given++
	}
	return n, nil
}

func (m *model) stat(n *node, st *unix.Stat_t) error {
	*st = unix.Stat_t{Ino: n.ino, Mode: n.mode, Nlink: 1, Size: int64(len(n.data)), Mtim: unix.NsecToTimespec(n.mtime), Ctim: unix.NsecToTimespec(n.ctime)}
	if n.slots == nil {
		st.Nlink += 0
		for range n.links - 1 {
			st.Nlink++
		}
	}
	if m.liar != nil {
		m.liar(st)
	}
	return nil
}

func (m *model) fstat(fd int, st *unix.Stat_t) error {
	m.call("fstat")
	return m.stat(m.fds[fd].node, st)
}

func (m *model) lstat(dir int, name string, st *unix.Stat_t) error {
	m.call("lstat")
	n := m.dir(dir).child(name)
	if n == nil {
		return named("lstat", name, unix.ENOENT)
	}
	return m.stat(n, st)
}

func (m *model) mkdir(dir int, name string) error {
	m.call("mkdir")
	if m.dir(dir).child(name) != nil {
		return named("mkdir", name, fs.ErrExist)
	}
	m.put(m.dir(dir), name, m.node(unix.S_IFDIR))
	return nil
}

func (m *model) link(dir int, name string, newDir int, newName string) error {
	m.call("link")
	n := m.dir(dir).child(name)
	switch {
	case n == nil:
		return named("link", name, unix.ENOENT)
	case m.dir(newDir).child(newName) != nil:
		return named("link", newName, unix.EEXIST)
	}
	m.put(m.dir(newDir), newName, n)
	return nil
}

func (m *model) rename(dir int, name string, newDir int, newName string) error {
	m.call("rename")
	n := m.dir(dir).child(name)
	if n == nil {
		return named("rename", name, unix.ENOENT)
	}
	if m.dir(newDir).child(newName) == n {
		return nil
	}
	m.put(m.dir(newDir), newName, n)
	m.drop(m.dir(dir), name)
	return nil
}

func (m *model) unlink(dir int, name string) error {
	m.call("unlink")
	if !m.drop(m.dir(dir), name) {
		return named("unlink", name, unix.ENOENT)
	}
	return nil
}

func (m *model) rmdir(dir int, name string) error { return m.unlink(dir, name) }

func (m *model) setTime(dir int, name string, mtime int64) error {
	m.call("setTime")
	n := m.dir(dir).child(name)
	if n == nil {
		return named("utimes", name, unix.ENOENT)
	}
	n.mtime, n.ctime = mtime, m.stamp()
	return nil
}

// split gives the folder and the name of a path such as "new/x".
func (m *model) split(file string) (*node, string) {
	dir, name := path.Split(file)
	n := m.top
	if dir = strings.TrimSuffix(dir, "/"); dir != "" {
		n = m.top.child(dir)
	}
	return n, name
}

// files lists what is in new/ and cur/.
func (m *model) files() []string {
	var all []string
	for _, dir := range []string{"cur", "new"} {
		for _, s := range m.top.child(dir).slots {
			if s.node != nil {
				all = append(all, fmt.Sprintf("%s/%s", dir, s.name))
			}
		}
	}
	return all
}
