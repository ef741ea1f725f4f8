package maildir

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// namer makes names for messages: unique over hosts, processes, and clocks
// that are set back.
type namer struct {
	host  string
	count *atomic.Uint64
}

// maxHost keeps names short enough to be UIDs: at most 70 octets.
const maxHost = 14

// newNamer makes a namer for a host. Its name is written so that it can stand
// in a file's name, as is usual, and cut where it is long: the random part of
// names makes them unique.
func newNamer(host string) namer {
	var b strings.Builder
	for i := range len(host) {
		switch c := host[i]; {
		case c == '/':
			b.WriteString(`\057`)
		case c == ':':
			b.WriteString(`\072`)
		case c > 0x20 && c < 0x7F:
			b.WriteByte(c)
		default:
			b.WriteByte('_')
		}
	}
	name := b.String()
	return namer{host: name[:min(len(name), maxHost)], count: new(atomic.Uint64)}
}

// name makes one. Its parts are the usual ones: time, microseconds, process,
// counter, random octets, host.
func (n namer) name(now time.Time) string {
	var random [6]byte
	rand.Read(random[:])
	return fmt.Sprintf("%d.M%06dP%dQ%dR%s.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), n.count.Add(1),
		hex.EncodeToString(random[:]), n.host)
}

// Deliver implements maildrop.Deliverer: the message is written to tmp/, and
// synced, then linked into new/, and that synced. It takes no lock. The error
// wraps maildrop.ErrTemporary or maildrop.ErrPermanent, unless it comes from
// r or ctx.
func (s *Store) Deliver(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
	parts, err := s.begin(ctx, name)
	if err != nil {
		return maildrop.Receipt{}, err
	}
	f, err := s.open(parts)
	if err != nil {
		return maildrop.Receipt{}, err
	}
	defer f.close()
	tmp, err := s.sys.open(f.top, "tmp", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return maildrop.Receipt{}, explain(f.name+"/tmp", err)
	}
	defer s.sys.close(tmp)
	d := &delivery{folder: f, tmp: tmp}
	if err := d.create(s.names); err != nil {
		return maildrop.Receipt{}, temporary("no message can be made in "+f.name, err)
	}
	if err := d.finish(ctx, r); err != nil {
		s.sys.unlink(tmp, d.name)
		return maildrop.Receipt{}, err
	}
	// The message is delivered: what stays in tmp/ is swept some day.
	s.sys.unlink(tmp, d.name)
	return maildrop.Receipt{UID: d.name, Octets: d.size.Octets()}, nil
}

// delivery is one message on its way in.
type delivery struct {
	*folder
	tmp  int
	fd   int
	name string
	size maildrop.SizeCounter
}

// nameTries bounds how many names are tried that exist already.
const nameTries = 10

// create makes the file in tmp/.
func (d *delivery) create(names namer) (err error) {
	for range nameTries {
		d.name = names.name(time.Now())
		d.fd, err = d.sys.open(d.tmp, d.name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return err
}

// finish takes the file from empty to delivered. Whatever fails, nothing of
// it is in new/ then.
func (d *delivery) finish(ctx context.Context, r io.Reader) error {
	err := d.fill(ctx, r)
	if err == nil {
		if err = d.sys.fsync(d.fd); err != nil {
			err = temporary("message not stored in "+d.folder.name, err)
		}
	}
	if closeErr := d.sys.close(d.fd); err == nil && closeErr != nil {
		err = temporary("message not stored in "+d.folder.name, closeErr)
	}
	if err != nil {
		return err
	}
	if err := d.publish(); err != nil {
		return temporary("message not stored in "+d.folder.name, err)
	}
	return nil
}

// fill writes the message.
func (d *delivery) fill(ctx context.Context, r io.Reader) error {
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(*buf)
		d.size.Write((*buf)[:n])
		if err := writeAll(d.sys, d.fd, (*buf)[:n]); err != nil {
			return temporary("message not stored in "+d.folder.name, err)
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("maildir: message not taken: %w", err)
		}
	}
}

// publish puts the file into new/.
func (d *delivery) publish() error {
	to := d.dirs[inNew]
	err := d.sys.link(d.tmp, d.name, to, d.name)
	if noLinks(err) {
		// A file system without links. The name is no one else's, so nothing
		// is overwritten.
		err = d.sys.rename(d.tmp, d.name, to, d.name)
	}
	if err != nil {
		return err
	}
	if err := d.sys.fsync(to); err != nil {
		d.sys.unlink(to, d.name)
		return named("fsync", "new", err)
	}
	return nil
}
