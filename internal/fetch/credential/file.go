package credential

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// File gives what stands in a file, without its line end. A file that every
// user of the machine can read or change is refused.
func File(path string) Source {
	return source(func(context.Context) (string, error) {
		data, err := readFile(path)
		if err != nil {
			return "", err
		}
		secret := cut(string(data))
		return secret, check("the file "+path, secret)
	})
}

// readFile reads a regular file whose mode is safe. It refuses everything
// else: a FIFO would be waited on for ever, a device may not end.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // without it, opening a FIFO waits for a writer
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no file %s: write the password into it, and run `chmod 600 %s`", ErrMissing, path, path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat() // of the file that was opened: the name may lead elsewhere by now
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file but a folder, a pipe or a device: name a regular file", path)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s holds a password and is open to every user of this machine (mode %04o): run `chmod o= %s`", path, info.Mode().Perm(), path)
	}
	return io.ReadAll(io.LimitReader(f, maxSecret+3)) // room for a line end, and an octet too many
}
