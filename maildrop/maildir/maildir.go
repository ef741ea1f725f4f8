// Package maildir serves Maildirs: the storage that Postfix, Exim, Dovecot,
// qmail, mutt and many more share. It implements package maildrop's contract.
//
// New makes a Store over a path template, Store.Open opens a user's Maildir,
// Store.Deliver puts a message into one.
//
// Other programs deliver, move files from new/ to cur/, rename flags and
// delete at any time. This package reads what they wrote, and disturbs none
// of them: it renames no message and sets no flag. It removes the messages
// that a session marked, known by the name before the ":" and by the inode
// noted at login. It writes this into a Maildir, beside new/ and cur/:
//
//   - poplin.lock, the session lock: it is never deleted.
//   - poplin.index, which remembers sizes, UIDs and order. It is a cache, safe
//     to delete, never trusted over the directory. See below.
//   - poplin.uidl, UIDs taken over from another server or store. It is no
//     cache: see Options.UIDL.
//   - poplin.note-KEY, notes of views: what is hidden from a device. They are
//     no caches either.
//   - poplin.aside/, messages that were removed and can be brought back, in a
//     folder for each removal, under the names that they had.
//   - maildirsize, where there is a quota: see Maildir++.
//   - a temporary file while one of these files is written.
//
// UIDs. A message's UID is the name of its file before the ":", where that is
// 1 to 70 octets of 0x21 to 0x7E, and otherwise a hash of it. So it outlives
// the index, flags and the move to cur/. Two different files with one such
// name, which no sane program makes, are told apart by a hash with the inode
// in it; only for them can the loss of the index change a UID.
//
// A file that is rewritten under its name, as some filters do, keeps its UID.
//
// The index. A Maildir in which nothing changed is known by inode, mtime and
// ctime of new/ and cur/, and is not read. Where something changed, the folder
// that did is listed, and files are looked at whose name and inode are not
// known. One that is written to in place, which no delivery does, changes no
// folder: it is found out when it is retrieved, and refused, and the next
// session lists it as it is.
package maildir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

var (
	_ maildrop.Store       = (*Store)(nil)
	_ maildrop.Distributor = (*Store)(nil)
)

// Options says where Maildirs are and how they are served. Path must be set;
// the zero value of every other field is the safe choice.
type Options struct {
	// Path is the Maildir of a user: a path with {user} (the whole name),
	// {local} (what stands before the last "@") or {domain} (what stands
	// behind it) in it, as in "/var/mail/{user}" or
	// "/srv/mail/{domain}/{local}/Maildir". The Maildir is that folder
	// itself: new/, cur/ and tmp/ are in it.
	//
	// The part before the first folder with a placeholder is the root, which
	// may hold symbolic links. Below it none is followed, and no name leads
	// out of it. A folder's name holds one placeholder at most: with two,
	// different names could give one path.
	Path string

	// Create makes a Maildir that is missing when it is opened or delivered
	// to. When false that is an error, so that a disk that is not mounted
	// does not look like a maildrop without messages: clients then forget
	// what they have and download it again later. The root itself is made by
	// Store.Create alone.
	Create bool

	// UIDL takes over the UIDs of another server, so that clients download
	// nothing twice: "dovecot" reads dovecot-uidlist, "courier" reads
	// courierpop3dsizelist, "" reads neither. That happens once, the first
	// time that a Maildir is opened. What was found then is kept in
	// poplin.uidl, and later messages have UIDs of Poplin's own form, even
	// where the other server goes on. A poplin.uidl is used whatever UIDL
	// says.
	UIDL string

	// UIDLFormat is the server's pop3_uidl_format where UIDL is "dovecot":
	// %u (the message's IMAP UID), %v (the UIDVALIDITY), %f (the file name),
	// with Dovecot's modifiers, such as %08Xu. Empty means Dovecot's default,
	// DefaultUIDLFormat.
	UIDLFormat string

	// Hostname is the name of this host in the names of delivered files.
	// Empty means os.Hostname.
	Hostname string

	// IndexCache is how many octets of memory hold indices of the Maildirs that
	// were opened last, so that a poll of one that has not changed reads
	// nothing: about 64 for each message. 0 means 64 MiB, below 0 none.
	IndexCache int

	// Logger hears of faults that no client sees, such as an index that
	// cannot be written. Nil discards them.
	Logger *slog.Logger
}

// Store serves Maildirs. Make it with New.
type Store struct {
	path    *template
	create  bool
	uidl    source
	names   func(now time.Time) string
	log     *slog.Logger
	sys     system
	cache   *cache
	watches *watches
	closed  atomic.Bool

	terms terms // the usual ones, but in tests
}

// errClosed answers a call that came after Close.
var errClosed = errors.New("maildir: closed")

// New makes a Store. The error says what is wrong with the options; the disk
// is not touched before the first Open.
func New(opts Options) (*Store, error) {
	path, err := parseTemplate(opts.Path)
	if err != nil {
		return nil, err
	}
	uidl, err := parseSource(opts.UIDL, opts.UIDLFormat)
	if err != nil {
		return nil, err
	}
	host := opts.Hostname
	if host == "" {
		if host, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("maildir: no host name for the names of messages, set Options.Hostname: %w", err)
		}
	}
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	watches := newWatches(newNotifier())
	return &Store{
		path:    path,
		create:  opts.Create,
		uidl:    uidl,
		names:   newNamer(host).name,
		log:     log,
		sys:     kernel{},
		cache:   newCache(cmp.Or(opts.IndexCache, defaultCache), watches),
		watches: watches,

		terms: usual,
	}, nil
}

// Close makes every later Open, Create and Deliver fail. Maildrops that are
// open stay so.
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}

// Create makes the Maildir of that name, and the folders above it where they
// are missing, all durably. A Maildir that exists stays as it is.
func (s *Store) Create(ctx context.Context, name string) error {
	parts, err := s.begin(ctx, name)
	if err != nil {
		return err
	}
	if err := s.makeRoot(); err != nil {
		return err
	}
	f, err := s.openFolder(parts, true)
	if err != nil {
		return err
	}
	f.close()
	return nil
}

// begin checks what every operation on a maildrop starts with, and gives the
// components of its path below the root.
func (s *Store) begin(ctx context.Context, name string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.closed.Load() {
		return nil, errClosed
	}
	return s.path.expand(name)
}

// temporary makes an error that wraps maildrop.ErrTemporary.
func temporary(what string, err error) error {
	return fmt.Errorf("maildir: %s: %w: %w", what, err, maildrop.ErrTemporary)
}

// permanent makes an error that wraps maildrop.ErrPermanent.
func permanent(what string, err error) error {
	return fmt.Errorf("maildir: %s: %w: %w", what, err, maildrop.ErrPermanent)
}
