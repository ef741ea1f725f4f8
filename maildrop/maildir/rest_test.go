package maildir

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/maildroptest"
)

// restless is a Store whose sessions rest before each call.
type restless struct{ *Store }

func (s restless) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	m, err := s.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return resting{m.(*session)}, nil
}

type resting struct{ *session }

func (r resting) rested() *session {
	r.Rest()
	return r.session
}

func (r resting) Messages() []maildrop.Message { return r.rested().Messages() }
func (r resting) Close() error                 { return r.rested().Close() }

func (r resting) Open(ctx context.Context, i int) (io.ReadCloser, error) {
	return r.rested().Open(ctx, i)
}

func (r resting) Remove(ctx context.Context, marked []int) error {
	return r.rested().Remove(ctx, marked)
}

// TestContractAtRest: the contract holds for sessions that rest all the time.
func TestContractAtRest(t *testing.T) {
	maildroptest.Run(t, func(t testing.TB) maildroptest.Harness {
		h := newHarness(t)
		h.Store = restless{h.Store.(*Store)}
		return h
	})
}

// TestRestHolds: of a session that rests only the lock is open, whatever it
// did before.
func TestRestHolds(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	b.hook.reset(nil)
	m := b.open().(*session)
	wantOnlyLock := func(after string) {
		t.Helper()
		m.Rest()
		if len(b.hook.opened) != 1 || !b.hook.opened[m.locked] {
			t.Errorf("after %s it holds %d descriptors", after, len(b.hook.opened))
		}
		if _, err := b.Open(t.Context(), user); !errors.Is(err, maildrop.ErrInUse) {
			t.Errorf("after %s another login gets %v, want ErrInUse", after, err)
		}
	}
	wantOnlyLock("login")
	for i, want := range []string{"a\n", "bb", "", "dddd\r\n"} {
		if got, err := read(t, m, i); got != want || err != nil {
			t.Errorf("message %d reads as %q, %v", i, got, err)
		}
		wantOnlyLock("reading")
	}
	b.rename("cur/1700000001.M1P1.host:2,S", "cur/1700000001.M1P1.host:2,FS")
	if err := m.Remove(t.Context(), []int{1, 2}); err != nil {
		t.Error(err)
	}
	wantOnlyLock("removing")
	m.Close()
	m.Rest()
	if len(b.hook.opened) != 0 {
		t.Errorf("closed, it holds %d descriptors", len(b.hook.opened))
	}
	if _, err := m.Open(t.Context(), 0); err != errClosed {
		t.Errorf("closed, it gives %v", err)
	}
}

// TestRestReplaced: what is at the path of the Maildir when a session needs it
// again is the Maildir of the login, or is not touched.
func TestRestReplaced(t *testing.T) {
	moved := func(b *box) string { return b.path + ".moved" }
	away := func(b *box) {
		if err := os.Rename(b.path, moved(b)); err != nil {
			b.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		act  func(b *box)
		want error
	}{
		{"nothing", func(b *box) {}, nil},
		{"moved and moved back", func(b *box) {
			away(b)
			if err := os.Rename(moved(b), b.path); err != nil {
				b.Fatal(err)
			}
		}, nil},
		{"moved", away, maildrop.ErrTemporary},
		{"another Maildir", func(b *box) {
			away(b)
			if err := b.Create(b.Context(), user); err != nil {
				b.Fatal(err)
			}
			fill(b)
			b.write(lockName, "")
		}, maildrop.ErrTemporary},
		{"a copy by links", func(b *box) {
			away(b)
			if err := b.Create(b.Context(), user); err != nil {
				b.Fatal(err)
			}
			for _, name := range []string{lockName, "new/1700000000.M1P1.host", "cur/1700000001.M1P1.host:2,S",
				"new/1700000002.M1P1.host", "cur/1700000003.M1P1.host:2,"} {
				if err := os.Link(filepath.Join(moved(b), name), filepath.Join(b.path, name)); err != nil {
					b.Fatal(err)
				}
			}
		}, maildrop.ErrTemporary},
		{"a symbolic link to it", func(b *box) {
			away(b)
			if err := os.Symlink(moved(b), b.path); err != nil {
				b.Fatal(err)
			}
		}, maildrop.ErrPermanent},
		{"without its lock", func(b *box) { b.remove(lockName) }, maildrop.ErrTemporary},
		{"with another lock", func(b *box) { b.write(lockName, "") }, maildrop.ErrTemporary},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t, Options{})
			fill(b)
			b.hook.reset(nil)
			m := b.open().(*session)
			m.Rest()
			tt.act(b)
			_, err := read(t, m, 0)
			if !errors.Is(err, tt.want) {
				t.Errorf("Open: %v, want %v", err, tt.want)
			}
			m.Rest()
			if _, err := m.Note(t.Context(), "key"); !errors.Is(err, tt.want) {
				t.Errorf("Note: %v, want %v", err, tt.want)
			}
			m.Rest()
			err = m.Remove(t.Context(), []int{0, 1, 2, 3})
			if !errors.Is(err, tt.want) {
				t.Errorf("Remove: %v, want %v", err, tt.want)
			}
			if _, err := os.Stat(filepath.Join(b.path, "new")); err == nil {
				if n := len(b.files()); n != 4 && tt.want != nil || n != 0 && tt.want == nil {
					t.Errorf("%d messages are left", n)
				}
			}
			m.Close()
			b.leaks()
		})
	}
}

// TestNoDescriptorForTheIndex: a login that finds no descriptor fails, and does
// not take the index for one that is lost.
func TestNoDescriptorForTheIndex(t *testing.T) {
	b := newBox(t, Options{IndexCache: -1})
	b.terms.settling = 1
	want := fill(b)
	settle()
	b.list()
	for _, errno := range []error{unix.EMFILE, unix.ENFILE} {
		b.hook.reset(func(_ int, op, name string) error {
			if op == "open" && name == indexName {
				return errno
			}
			return nil
		})
		if _, err := b.Open(t.Context(), user); !errors.Is(err, maildrop.ErrTemporary) || !errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, err)
		}
		if b.hook.count("read") != 0 {
			t.Errorf("%v: calls were %q", errno, b.hook.log)
		}
		b.leaks()
		b.hook.reset(nil)
	}
	b.wantUIDs("with descriptors", want...)
	if b.hook.count("readDir") != 0 {
		t.Errorf("the index is lost: calls were %q", b.hook.log)
	}
}
