package maildir

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// publication puts a delivered file into the new/ of one recipient.
type publication struct {
	*folder
	own     bool // the folder is to be closed here
	to      *maildrop.Recipient
	outcome *maildrop.Outcome
}

// link gives the file of d its name in new/.
func (p *publication) link(ctx context.Context, d *delivery) {
	if p.outcome.Err = p.admit(p.to.Quota, d.octets); p.outcome.Err != nil {
		return
	}
	to := p.dirs[inNew]
	err := p.sys.link(d.tmp, d.name, to, d.name)
	switch {
	case p.folder == d.folder && noLinks(err):
		// A file system without links. The name is no one else's, so nothing
		// is overwritten.
		err = p.sys.rename(d.tmp, d.name, to, d.name)
		d.moved = err == nil
	case noLinks(err) || errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EMLINK):
		err = p.copy(ctx, d)
	}
	if err != nil {
		p.outcome.Err = temporary("message not stored in "+p.folder.name, err)
	}
}

// copy puts a copy of the file of d into new/, for want of a link.
func (p *publication) copy(ctx context.Context, d *delivery) (err error) {
	own := &delivery{folder: p.folder, name: d.name}
	if own.tmp, err = p.sys.open(p.top, "tmp", unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return err
	}
	if err := own.open(); err != nil {
		p.sys.close(own.tmp)
		return err
	}
	defer own.discard()
	fd, err := p.sys.open(d.tmp, d.name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	source := &file{sys: p.sys, fd: fd, name: d.name}
	defer source.Close()
	if err := own.fill(ctx, source); err != nil {
		return err
	}
	if err := own.finish(); err != nil {
		return err
	}
	err = p.sys.link(own.tmp, own.name, p.dirs[inNew], own.name)
	if noLinks(err) {
		err = p.sys.rename(own.tmp, own.name, p.dirs[inNew], own.name)
		own.moved = err == nil
	}
	return err
}

// sync makes the file's name durable. What is not is taken back.
func (p *publication) sync(d *delivery) {
	if p.outcome.Err != nil {
		return
	}
	if err := p.sys.fsync(p.dirs[inNew]); err != nil {
		p.sys.unlink(p.dirs[inNew], d.name)
		p.outcome.Err = temporary("message not stored in "+p.folder.name, named("fsync", "new", err))
		return
	}
	p.outcome.Receipt = maildrop.Receipt{UID: d.name, Octets: d.size.Octets()}
	p.account(d.octets, 1)
}

// syncAll ends publications.
func syncAll(all []*publication, d *delivery) {
	for _, p := range all {
		p.sync(d)
		if p.own {
			p.folder.close()
		}
	}
}
