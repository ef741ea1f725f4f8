package maildir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// sizeName is the file that counts what a Maildir holds, in the form of
// Maildir++, which Courier, Exim and Dovecot share: a line with the quota, as
// in "1000000S,500C", and then a line for each change, "OCTETS MESSAGES", of
// which the sum is what there is. It exists where there is a quota. Programs
// that do not know it make it wrong; so it is counted anew where it says that
// a message does not fit, and when it has grown long.
const sizeName = "maildirsize"

const (
	maxSizes  = 5120             // octets of a maildirsize that is not counted anew
	freshness = 15 * time.Minute // how long a count stands that says there is no room
)

// Usage implements maildrop.Distributor. It counts all messages where the
// Maildir has had no quota yet.
func (s *Store) Usage(ctx context.Context, name string) (maildrop.Usage, error) {
	parts, err := s.begin(ctx, name)
	if err != nil {
		return maildrop.Usage{}, err
	}
	f, err := s.openFolder(parts, false)
	if err != nil {
		return maildrop.Usage{}, err
	}
	defer f.close()
	if c, err := f.readSizes(); err == nil {
		return c.usage, nil
	}
	u, err := f.tally()
	if err != nil {
		err = temporary("messages in "+f.name+" not counted", err)
	}
	return u, err
}

// sizes is what a maildirsize says.
type sizes struct {
	quota maildrop.Quota
	usage maildrop.Usage
	long  bool
	made  time.Time
}

var errSizes = errors.New("maildirsize cannot be used")

// readSizes reads the maildirsize. Whatever is wrong with it is mended by
// counting.
func (f *folder) readSizes() (sizes, error) {
	data, mark, err := f.readFile(sizeName, 4*maxSizes)
	if err != nil {
		return sizes{}, err
	}
	c, err := parseSizes(data)
	c.made = time.Unix(0, mark.mtime)
	return c, err
}

// mostSize bounds the numbers in a maildirsize. No disk holds as much, and as
// many of them as there is room for have a sum of 63 bits.
const mostSize = 1 << 49

// parseSizes parses a maildirsize.
func parseSizes(data []byte) (sizes, error) {
	c := sizes{long: len(data) > maxSizes}
	head, rest, found := bytes.Cut(data, []byte("\n"))
	if !found {
		return sizes{}, errSizes
	}
	for term := range strings.SplitSeq(string(head), ",") {
		if term == "" {
			continue
		}
		n, err := strconv.ParseInt(term[:len(term)-1], 10, 64)
		switch {
		case err != nil || n < 0:
			return sizes{}, errSizes
		case strings.HasSuffix(term, "S"):
			c.quota.Octets = n
		case strings.HasSuffix(term, "C"):
			c.quota.Messages = n
		}
	}
	for line := range bytes.Lines(rest) {
		fields := strings.Fields(string(line))
		if len(fields) != 2 {
			return sizes{}, errSizes
		}
		octets, err1 := strconv.ParseInt(fields[0], 10, 64)
		messages, err2 := strconv.ParseInt(fields[1], 10, 64)
		if err1 != nil || err2 != nil || max(octets, messages) > mostSize || min(octets, messages) < -mostSize {
			return sizes{}, errSizes
		}
		c.usage.Octets += octets
		c.usage.Messages += messages
	}
	if c.usage.Octets < 0 || c.usage.Messages < 0 {
		return sizes{}, errSizes
	}
	return c, nil
}

// admit tells whether there is room for a message of that many octets.
func (f *folder) admit(q maildrop.Quota, octets int64) error {
	if q == (maildrop.Quota{}) {
		return nil
	}
	c, err := f.readSizes()
	age := time.Since(c.made) // below zero: the clock was set back, or the file's time is made up
	old := err != nil || c.quota != q || c.long || !q.Admits(c.usage, octets) && (age > freshness || age < 0)
	if old {
		if c.usage, err = f.recount(q); err != nil {
			return temporary("messages in "+f.name+" not counted", err)
		}
	}
	if !q.Admits(c.usage, octets) {
		return fmt.Errorf("maildir: %s holds %d octets in %d messages: %w", f.name, c.usage.Octets, c.usage.Messages, maildrop.ErrOverQuota)
	}
	return nil
}

// account notes that mail came, or went. A fault makes the count wrong until
// it is made anew.
func (f *folder) account(octets, messages int64) {
	if messages == 0 {
		return
	}
	fd, err := f.sys.open(f.top, sizeName, unix.O_WRONLY|unix.O_APPEND)
	if err != nil {
		return // there is no quota
	}
	defer f.sys.close(fd)
	var st unix.Stat_t
	if f.sys.fstat(fd, &st) != nil || !regular(&st) || st.Size >= 4*maxSizes {
		return
	}
	line := fmt.Appendf(nil, "%d %d\n", octets, messages)
	if n, err := f.sys.write(fd, line); err != nil || n < len(line) {
		f.countAnew() // half a line and the next one would make another number
	}
}

// countAnew has the next delivery count what there is.
func (f *folder) countAnew() {
	var st unix.Stat_t
	if f.sys.lstat(f.top, sizeName, &st) == nil {
		f.sys.unlink(f.top, sizeName)
	}
}

// recount counts what there is, and writes it down. Where that fails the next
// delivery counts again.
func (f *folder) recount(q maildrop.Quota) (maildrop.Usage, error) {
	u, err := f.tally()
	if err != nil {
		return u, err
	}
	f.writeSizes(q, u)
	return u, nil
}

// writeSizes makes a new maildirsize. It is written in tmp/, where the sweep
// finds it if the process is killed meanwhile.
func (f *folder) writeSizes(q maildrop.Quota, u maildrop.Usage) {
	tmp, err := f.sys.open(f.top, "tmp", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return
	}
	defer f.sys.close(tmp)
	temp := fmt.Sprintf("%s.%d.%d", sizeName, os.Getpid(), time.Now().UnixNano())
	fd, err := f.sys.open(tmp, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return
	}
	err = writeAll(f.sys, fd, fmt.Appendf(nil, "%dS,%dC\n%d %d\n", q.Octets, q.Messages, u.Octets, u.Messages))
	if closeErr := f.sys.close(fd); err == nil {
		err = closeErr
	}
	if err == nil {
		err = f.sys.rename(tmp, temp, f.top, sizeName)
	}
	if err != nil {
		f.sys.unlink(tmp, temp)
	}
}

// tally looks at every message. Folders of Maildir++, beside new/ and cur/,
// count too.
func (f *folder) tally() (u maildrop.Usage, err error) {
	for _, dir := range f.dirs {
		if err := f.countIn(dir, &u); err != nil {
			return u, err
		}
	}
	names, err := f.allNames(f.top)
	if err != nil {
		return u, err
	}
	for _, name := range names {
		if len(name) < 2 || name[0] != '.' || name == ".." {
			continue
		}
		for _, p := range []place{inNew, inCur} {
			if err := f.countFolder(name, p, &u); err != nil && !missing(err) && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
				return u, err
			}
		}
	}
	return u, nil
}

// countFolder counts what is in one place of a folder of Maildir++.
func (f *folder) countFolder(name string, p place, u *maildrop.Usage) error {
	sub, err := f.sys.open(f.top, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.sys.close(sub)
	dir, err := f.sys.open(sub, p.String(), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.sys.close(dir)
	return f.countIn(dir, u)
}

// countIn counts the messages in a directory.
func (f *folder) countIn(dir int, u *maildrop.Usage) error {
	names, err := f.names(dir)
	for _, name := range names {
		var st unix.Stat_t
		if err := f.sys.lstat(dir, name, &st); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		if regular(&st) {
			u.Octets += st.Size
			u.Messages++
		}
	}
	return err
}
