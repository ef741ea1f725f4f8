package disktest

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// change is a name that came or went in a folder that was not synced since.
type change struct {
	dir  string
	undo func()
}

// file is a file that is open for writing, or that has been written to and not
// been synced.
type file struct {
	inode   uint64
	os      *os.File
	users   int    // handles
	durable []byte // its content when it was synced last, or opened first
	dirty   bool   // it has been written to since
}

// PowerLoss takes back all that was not synced, as if the power had failed; the
// process is dead then. It is as hard as can be: a file system may have kept
// what nobody synced.
func (d *Disk) PowerLoss() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.die()
	for _, f := range d.files {
		if !f.dirty {
			continue
		}
		_, err := f.os.WriteAt(f.durable, 0)
		if err == nil {
			err = f.os.Truncate(int64(len(f.durable)))
		}
		if err != nil {
			panic(err)
		}
	}
	for i := len(d.names) - 1; i >= 0; i-- {
		d.names[i].undo()
	}
	d.names = nil
}

// Restart gives the Disk of the next process on the same machine. What is not
// durable then still is not.
func (d *Disk) Restart(fault Fault) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.die()
	again := New(d.tb, fault)
	again.names, again.kept, again.kepts = d.names, d.kept, d.kepts
	for inode, f := range d.files {
		if f.users = 0; f.dirty {
			again.files[inode] = f
		} else {
			f.os.Close()
		}
	}
	d.names, d.files = nil, nil
	return again
}

// changed notes how a change of names is taken back.
func (d *Disk) changed(dir string, undo func()) {
	d.names = append(d.names, change{filepath.Clean(dir), undo})
}

// durable notes that the names in a folder are.
func (d *Disk) durable(dir string) {
	dir = filepath.Clean(dir)
	left := d.names[:0]
	for _, c := range d.names {
		if c.dir != dir {
			left = append(left, c)
		}
	}
	d.names = left
}

// keep gives a file a second name, by which it can be brought back.
func (d *Disk) keep(name string) string {
	d.kepts++
	kept := filepath.Join(d.kept(), fmt.Sprint(d.kepts))
	os.Link(name, kept) // which fails where there is no such file
	return kept
}

// track keeps what is durable of a file that is opened for writing.
func (d *Disk) track(name string) *file {
	f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		panic(err)
	}
	info, err := f.Stat()
	if err != nil {
		panic(err)
	}
	inode := info.Sys().(*syscall.Stat_t).Ino
	if known := d.files[inode]; known != nil {
		f.Close()
		known.users++
		return known
	}
	d.files[inode] = &file{inode: inode, os: f, users: 1, durable: contents(f)}
	return d.files[inode]
}

// release forgets a file that nobody writes to and that is durable.
func (d *Disk) release(f *file) {
	if f == nil {
		return
	}
	if f.users--; f.users == 0 && !f.dirty {
		f.os.Close()
		delete(d.files, f.inode)
	}
}

// contents gives what a file holds; nothing, where it is no ordinary file.
func contents(f *os.File) []byte {
	info, err := f.Stat()
	if err != nil {
		panic(err)
	}
	all := make([]byte, info.Size())
	if _, err := f.ReadAt(all, 0); err != nil && info.Mode().IsRegular() {
		panic(err)
	}
	return all
}

// Close ends the use of the Disk, whose process is dead then. The end of the
// test does the same.
func (d *Disk) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.die()
	for _, f := range d.files {
		f.os.Close()
	}
	d.files = nil
}
