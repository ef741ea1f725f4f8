package disktest

import (
	"os"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

// handle is an open file.
type handle struct {
	disk.File
	d    *Disk
	file *file // nil: it is open for reading only
}

// Read implements disk.File.
func (h *handle) Read(p []byte) (int, error) {
	if err := h.d.call("read", h.Name()); err != nil {
		return 0, err
	}
	defer h.d.mu.Unlock()
	return h.File.Read(p)
}

// ReadAt implements disk.File.
func (h *handle) ReadAt(p []byte, at int64) (int, error) {
	if err := h.d.call("read", h.Name()); err != nil {
		return 0, err
	}
	defer h.d.mu.Unlock()
	return h.File.ReadAt(p, at)
}

// Write implements disk.File.
func (h *handle) Write(p []byte) (n int, err error) {
	half := func() {
		h.file.dirty = true
		n, _ = h.File.Write(p[:len(p)/2])
	}
	if !h.d.fault.Short {
		half = nil
	}
	if err := h.d.callOr("write", h.Name(), half); err != nil {
		return n, err
	}
	defer h.d.mu.Unlock()
	h.file.dirty = true
	return h.File.Write(p)
}

// Seek implements disk.File.
func (h *handle) Seek(offset int64, whence int) (int64, error) {
	if err := h.d.call("seek", h.Name()); err != nil {
		return 0, err
	}
	defer h.d.mu.Unlock()
	return h.File.Seek(offset, whence)
}

// Close implements disk.File. The file is closed also where that fails.
func (h *handle) Close() error {
	closed := func() error {
		delete(h.d.open, h)
		h.d.release(h.file)
		return h.File.Close()
	}
	if err := h.d.callOr("close", h.Name(), func() { closed() }); err != nil {
		return err
	}
	defer h.d.mu.Unlock()
	return closed()
}

// Stat implements disk.File.
func (h *handle) Stat() (os.FileInfo, error) {
	if err := h.d.call("stat", h.Name()); err != nil {
		return nil, err
	}
	defer h.d.mu.Unlock()
	return h.File.Stat()
}

// Sync implements disk.File.
func (h *handle) Sync() error {
	if err := h.d.call("sync", h.Name()); err != nil {
		return err
	}
	defer h.d.mu.Unlock()
	if h.file != nil {
		h.file.durable, h.file.dirty = contents(h.file.os), false
	}
	return nil
}

// Truncate implements disk.File.
func (h *handle) Truncate(size int64) error {
	if err := h.d.call("truncate", h.Name()); err != nil {
		return err
	}
	defer h.d.mu.Unlock()
	h.file.dirty = true
	return h.File.Truncate(size)
}

// Lock implements disk.File.
func (h *handle) Lock() error {
	if err := h.d.call("lock", h.Name()); err != nil {
		return err
	}
	defer h.d.mu.Unlock()
	return h.File.Lock()
}

// LockRecord implements disk.File.
func (h *handle) LockRecord() error {
	if err := h.d.call("lock", h.Name()); err != nil {
		return err
	}
	defer h.d.mu.Unlock()
	return h.File.LockRecord()
}
