// Package disk is a block device that remembers what was written to it, in
// which order, and when it was told to flush; and that shows what it may hold
// after the power failed at any moment of that. Begin with Open, and with
// NewPlayer.
//
// The device is a file of nbdfuse, which asks this process over the NBD
// protocol, under a loop device, so that the kernel's file systems run on it
// unchanged. All of it needs root, /dev/fuse and loop devices; what only
// handles the log needs none of them.
package disk

import (
	"slices"
	"sync"
)

// Log is the content of a device and its past. It is used by many goroutines
// at once.
type Log struct {
	mu      sync.Mutex
	image   []byte // with every write
	first   []byte // before the first
	entries []entry
}

// entry is a write, or a flush, which has no data. A flush makes durable what
// was written before it.
type entry struct {
	offset int64
	data   []byte
}

func (e entry) flush() bool { return e.data == nil }

// NewLog begins with a device of that content.
func NewLog(image []byte) *Log {
	return &Log{image: slices.Clone(image), first: slices.Clone(image)}
}

// Len gives how many writes and flushes there were. It names a moment: what
// had happened is what the log holds up to there.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

// Flushes gives how many of them were flushes.
func (l *Log) Flushes() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.flush() {
			n++
		}
	}
	return n
}

// inside tells whether a device has these octets.
func (l *Log) inside(offset int64, n int) bool {
	size := int64(len(l.image))
	return offset >= 0 && offset <= size && int64(n) <= size-offset
}

func (l *Log) read(p []byte, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	copy(p, l.image[offset:])
}

func (l *Log) write(p []byte, offset int64) {
	if len(p) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	copy(l.image[offset:], p)
	l.entries = append(l.entries, entry{offset, slices.Clone(p)})
}

func (l *Log) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry{})
}
