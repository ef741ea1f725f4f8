package maildroptest

import (
	"io"
	"slices"
	"sync"

	"github.com/poplin-mail/poplin/maildrop"
)

// refused checks that a maildrop that is open cannot be opened.
func (b *bench) refused(why string) {
	b.Helper()
	m, err := b.Store.Open(b.ctx, user)
	b.wants("Store.Open of a maildrop that is open", err, maildrop.ErrInUse, why)
	if err == nil {
		m.Close()
	}
}

func checkLock(b *bench) {
	b.create(user)
	b.put(user, "x")
	m := b.open(user)
	b.refused("until Close no other Open of it succeeds")
	b.refused("an Open that failed does not take the lock away from its holder")
	if err := m.Remove(b.ctx, []int{0}); err != nil {
		b.Errorf("Maildrop.Remove: %v", err)
	}
	b.refused("Remove does not give the lock back")
	b.close(m)
	b.close(b.open(user))
}

func checkLockRace(b *bench) {
	b.create(user)
	b.put(user, "x")
	var wg sync.WaitGroup
	results := make(chan maildrop.Maildrop, 16)
	for range cap(results) {
		wg.Go(func() {
			if m, err := b.Store.Open(b.ctx, user); err == nil {
				results <- m
			}
		})
	}
	wg.Wait()
	close(results)
	if n := len(results); n != 1 {
		b.Errorf("%d of %d Opens at the same time succeeded, want 1: until Close no other Open of it succeeds", n, cap(results))
	}
	for m := range results {
		b.close(m)
	}
}

func checkCloseTwice(b *bench) {
	b.create(user)
	b.put(user, "x")
	first := b.open(user)
	b.close(first)
	if err := first.Close(); err != nil {
		b.Errorf("second Close: %v; it may be called twice", err)
	}
	second := b.open(user)
	defer b.close(second)
	first.Close()
	b.refused("closing a Maildrop again does not give back the lock of another session")
}

func checkOthersNotLocked(b *bench) {
	const other = "other@example.org"
	b.create(user)
	b.create(other)
	b.put(user, "x")
	b.put(other, "y")
	m := b.open(user)
	defer b.close(m)
	b.expect("the lock is of one maildrop, not of all", other, "y")
}

func checkSnapshot(b *bench) {
	contents := numbered(4)
	b.create(user)
	b.put(user, contents[:2]...)
	m := b.open(user)
	before := slices.Clone(m.Messages())
	b.put(user, contents[2:]...)
	if !slices.Equal(before, m.Messages()) {
		b.Error("a delivery changed the list of an open Maildrop: mail that comes later shows when it is opened the next time")
	}
	b.expectOpen("an open Maildrop is as it stood when it was opened", m, contents[:2]...)
	b.close(m)
	b.expect("mail that came while the maildrop was open shows the next time, last", user, contents...)
}

func checkConcurrentMaildrops(b *bench) {
	var wg sync.WaitGroup
	for n := range 8 {
		name := "user" + string(rune('a'+n)) + "@example.org"
		b.create(name)
		wg.Go(func() {
			for round := range 5 {
				if err := b.session(name, round); err != nil {
					b.Errorf("sessions with different maildrops at the same time: %q: %v", name, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// session delivers a message, reads it and removes it.
func (b *bench) session(name string, round int) error {
	content := numbered(round + 2)[round+1] + name
	if err := b.deliver(name, []byte(content)); err != nil {
		return err
	}
	m, err := b.Store.Open(b.ctx, name)
	if err != nil {
		return err
	}
	defer m.Close()
	if list := m.Messages(); len(list) != 1 || list[0].Size != int64(len(wireForm(content))) {
		return errorf("it lists %v, want one message of %d octets", list, len(wireForm(content)))
	}
	r, err := m.Open(b.ctx, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || wireForm(string(got)) != wireForm(content) {
		return errorf("it holds %s (error %v), want %s", brief(string(got)), err, brief(content))
	}
	return m.Remove(b.ctx, []int{0})
}
