package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// What ioctls of loop devices take (linux/loop.h).
const (
	loopGetFree   = 0x4C82
	loopAutoclear = 4
)

// freeTries bounds how many loop devices are tried that others take first.
const freeTries = 100

// loop makes a loop device on a file. The kernel takes it away when the last
// that has it open, or mounted, lets go of it.
func loop(file *os.File) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for range freeTries {
		number, err := unix.IoctlRetInt(int(control.Fd()), loopGetFree)
		if err != nil {
			return nil, fmt.Errorf("no loop device is free: %w", err)
		}
		device, err := os.OpenFile("/dev/loop"+strconv.Itoa(number), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		config := unix.LoopConfig{Fd: uint32(file.Fd())}
		config.Info.Flags = loopAutoclear
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		if err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("%s: %w", device.Name(), err)
		}
	}
	return nil, errors.New("others take every loop device that is free")
}

// Mount mounts the ext4 file system in a file.
func Mount(file *os.File, dir string, readOnly bool) error {
	device, err := loop(file)
	if err != nil {
		return err
	}
	defer device.Close()
	flags := uintptr(unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOSUID)
	if readOnly {
		flags |= unix.MS_RDONLY // the journal is replayed all the same
	}
	if err := unix.Mount(device.Name(), dir, "ext4", flags, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", device.Name(), err)
	}
	return nil
}

// Unmount undoes Mount. It waits for whoever still has a file open there: a
// child that was just started has those of this process, until its program
// begins.
func Unmount(dir string) error {
	err := unix.Unmount(dir, 0)
	for end := time.Now().Add(patience); errors.Is(err, unix.EBUSY) && time.Now().Before(end); err = unix.Unmount(dir, 0) {
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("unmounting %s: %w", dir, err), unix.Unmount(dir, unix.MNT_DETACH))
	}
	return err
}

// Format makes an empty ext4 of that size, in octets, with the options that
// mkfs.ext4 takes for any disk but for these: no background work of the kernel
// comes between what is looked at, and blocks are as large as on large disks.
func Format(ctx context.Context, dir string, size int64) ([]byte, error) {
	path := filepath.Join(dir, "empty.ext4")
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer os.Remove(path)
	err = errors.Join(file.Truncate(size), file.Close())
	if err != nil {
		return nil, err
	}
	mkfs := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-b", "4096", "-N", "8192",
		"-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", path)
	if out, err := mkfs.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mkfs.ext4: %w\n%s", err, out)
	}
	return os.ReadFile(path)
}

// Copy is a disk in memory, for images.
type Copy struct {
	Image []byte // what a file system on File finds
	File  *os.File
}

// NewCopy makes one of that size.
func NewCopy(size int) (*Copy, error) {
	fd, err := unix.MemfdCreate("image", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	c := &Copy{File: os.NewFile(uintptr(fd), "image")}
	if err = c.File.Truncate(int64(size)); err == nil {
		c.Image, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		c.File.Close()
		return nil, err
	}
	return c, nil
}

// Close frees the memory.
func (c *Copy) Close() error { return errors.Join(unix.Munmap(c.Image), c.File.Close()) }

// Apart moves this process to a mount table of its own, so that what it mounts
// is seen by it and its children alone, and goes with the last of them. A
// program calls it first of all: it starts the program anew.
func Apart() error {
	const done = "POPLIN_POWERLOSS_APART"
	if os.Getenv(done) != "" {
		return nil
	}
	// Exec ends all threads but the one that calls it, whose table counts.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("a mount table of its own, which takes root: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("a mount table of its own: %w", err)
	}
	return fmt.Errorf("starting anew: %w", unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), done+"=1")))
}

// Kernel gives the version of the kernel, whose file system is tried.
func Kernel() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}
