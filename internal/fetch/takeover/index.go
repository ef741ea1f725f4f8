package takeover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
)

const (
	maxDepth    = 8         // of folders within a Maildir
	maxMessages = 5_000_000 // of an Index; some 150 octets of memory each
)

// Index is the mail that a person has already, known by its headers. The zero
// value is empty.
type Index struct {
	// Messages is how many there are, and Unknown how many of these cannot
	// be told from others: no Message-ID and not even a date, a header of
	// more than 256 KiB, or a file that cannot be read.
	Messages, Unknown int

	byHash map[[16]byte][]*local
}

// Add adds the mail of a Maildir with all folders in it, or of an mbox. No
// link is followed within it. What is being delivered meanwhile may be in the
// index or not.
func (x *Index) Add(ctx context.Context, name string) error {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		err = x.addMaildir(ctx, name)
	default:
		err = x.addMbox(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// errNoMail says that a folder or file is none that holds mail.
var errNoMail = errors.New("neither a Maildir, which has the folders new and cur, nor an mbox, which begins with From and a blank")

func (x *Index) addMaildir(ctx context.Context, name string) error {
	root, err := os.OpenRoot(name)
	if err != nil {
		return err
	}
	defer root.Close()
	maildirs := 0
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && name != ".": // a mail program removed it meanwhile
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir() && path.Base(name) == "tmp", d.IsDir() && depth(name) > maxDepth:
			return fs.SkipDir
		case d.IsDir() && path.Base(name) == "cur":
			maildirs++
		case d.Type().IsRegular() && inMaildir(name):
			return x.addFile(root, name)
		}
		return nil
	})
	if err == nil && maildirs == 0 {
		return errNoMail
	}
	return err
}

func depth(name string) (n int) {
	for ; name != "."; name = path.Dir(name) {
		n++
	}
	return n
}

// inMaildir reports whether a file lies where a Maildir has its messages.
func inMaildir(name string) bool {
	folder := path.Base(path.Dir(name))
	return folder == "new" || folder == "cur"
}

// addFile adds a message of a Maildir. One that is gone or cannot be read says
// nothing about the others.
func (x *Index) addFile(root *os.Root, name string) error {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var m measurer
	if err == nil {
		if err = regular(f); err == nil {
			err = eachLine(f, m.line)
			f.Close()
		}
	}
	if err != nil {
		m = measurer{}
	}
	return x.add(&m)
}

func (x *Index) add(m *measurer) error {
	if x.Messages++; x.Messages > maxMessages {
		return fmt.Errorf("more than %d messages", maxMessages)
	}
	l, ok := m.local()
	if !ok {
		x.Unknown++
		return nil
	}
	if x.byHash == nil {
		x.byHash = map[[16]byte][]*local{}
	}
	x.byHash[l.hash] = append(x.byHash[l.hash], &l)
	return nil
}

// addMbox splits at each "From " behind a blank line. The blank line belongs to
// the mbox and not to the message.
func (x *Index) addMbox(ctx context.Context, name string) error {
	f, err := openRegular(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var m *measurer
	var stop error
	blank := true // is the line before
	err = eachLine(&interruptible{ctx, f}, func(b []byte, start bool) {
		isFrom := start && blank && bytes.HasPrefix(b, []byte("From "))
		blank = start && isBlank(b)
		switch {
		case stop != nil:
		case isFrom && m != nil:
			stop = x.add(m.withoutBlank())
			m = &measurer{}
		case isFrom:
			m = &measurer{}
		case m == nil:
			stop = errNoMail
		default:
			m.line(b, start)
		}
	})
	switch {
	case err != nil:
		return err
	case stop != nil || m == nil:
		return stop
	case blank:
		m.withoutBlank()
	}
	return x.add(m)
}

// withoutBlank takes off the blank line behind a message of an mbox.
func (m *measurer) withoutBlank() *measurer {
	if m.body.crlf > 0 {
		m.body.crlf -= 2
		m.body.lf--
	}
	return m
}

// interruptible is a reader that a context ends.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}
