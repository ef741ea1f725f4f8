package maildroptest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/memory"
)

// noted is maildrop.Notes with replaceable methods.
type noted struct {
	maildrop.Notes
	get func(key string) ([]byte, error)
	set func(key string, note []byte) error
}

func (n noted) Note(_ context.Context, key string) ([]byte, error)       { return n.get(key) }
func (n noted) SetNote(_ context.Context, key string, note []byte) error { return n.set(key, note) }

// kept is maildrop.Aside with another Kept.
type kept struct {
	maildrop.Aside
	uids []string
}

func (k kept) Kept(context.Context) ([]string, error) { return k.uids, nil }

// undeletes makes a fault of Undelete.
type undeletes struct {
	*memory.Store
	undelete func(ctx context.Context, name string, since time.Time) (int, error)
}

func (u undeletes) Undelete(ctx context.Context, name string, since time.Time) (int, error) {
	return u.undelete(ctx, name, since)
}

// table makes Notes of a map.
func table(notes map[string][]byte) noted {
	return noted{
		get: func(key string) ([]byte, error) { return notes[key], nil },
		set: func(key string, note []byte) error { notes[key] = append([]byte{}, note...); return nil },
	}
}

var viewFaults = []fault{
	{"notes end with the session", "Notes", "in the session before", drops(func(d *drop) { d.Notes = table(make(map[string][]byte)) })},
	{"notes of all maildrops in one place", "Notes", "in another maildrop", func(h *Harness, s *memory.Store) {
		one := table(make(map[string][]byte))
		h.Store = hooked{s, func(d *drop) { d.Notes = one }}
	}},
	{"keeps the caller's note", "Notes", "in this session", drops(func(d *drop) {
		notes := make(map[string][]byte)
		d.Notes = noted{
			get: func(key string) ([]byte, error) { return notes[key], nil },
			set: func(key string, note []byte) error { notes[key] = note; return nil },
		}
	})},
	{"an empty note is none", "Notes", `Note("b")`, drops(func(d *drop) {
		inner := d.Notes
		d.Notes = noted{
			get: func(key string) ([]byte, error) {
				note, err := inner.Note(context.Background(), key)
				if len(note) == 0 {
					note = nil
				}
				return note, err
			},
			set: func(key string, note []byte) error { return inner.SetNote(context.Background(), key, note) },
		}
	})},
	{"any key", "NoteKeys", `SetNote("../a")`, drops(func(d *drop) { d.Notes = table(make(map[string][]byte)) })},
	{"notes behind Close", "NoteKeys", "after Close", drops(func(d *drop) {
		one := table(make(map[string][]byte))
		inner := d.Notes
		d.Notes = noted{
			get: func(key string) ([]byte, error) { return inner.Note(context.Background(), key) },
			set: func(key string, note []byte) error {
				if maildrop.ValidKey(key) {
					return one.set(key, note)
				}
				return inner.SetNote(context.Background(), key, note)
			},
		}
	})},
	{"SetAside removes", "SetAside", "three were set aside", drops(func(d *drop) {
		d.setAside = func(ctx context.Context, marked []int, _ time.Duration) error { return d.remove(ctx, marked) }
	})},
	{"SetAside keeps a message", "SetAside", "no others", drops(func(d *drop) {
		inner := d.Aside
		d.setAside = func(ctx context.Context, marked []int, period time.Duration) error {
			return inner.SetAside(ctx, marked[1:], period)
		}
	})},
	{"Kept gives none", "SetAside", "Kept is", drops(func(d *drop) { d.Aside = kept{Aside: d.Aside} })},
	{"other UIDs", "SetAside", "the UID that they had", func(h *Harness, s *memory.Store) {
		back := false
		h.Store = undeletes{s, func(ctx context.Context, name string, since time.Time) (int, error) {
			back = true
			return s.Undelete(ctx, name, since)
		}}
		inner := hooked{s, func(d *drop) {
			for i := range d.list {
				if back {
					d.list[i].UID += "-again"
				}
			}
		}}
		u := h.Store.(undeletes)
		h.Store = both{inner, u}
	}},
	{"Remove sets aside", "RemoveIsFinal", "removed for good", drops(func(d *drop) {
		d.remove = func(ctx context.Context, marked []int) error { return d.setAside(ctx, marked, longTime) }
	})},
	{"no since", "UndeleteSince", "before since", func(h *Harness, s *memory.Store) {
		h.Store = undeletes{s, func(ctx context.Context, name string, _ time.Time) (int, error) {
			return s.Undelete(ctx, name, time.Time{})
		}}
	}},
	{"no period", "AsideExpires", "whose time is up", drops(func(d *drop) {
		inner := d.Aside
		d.setAside = func(ctx context.Context, marked []int, _ time.Duration) error {
			return inner.SetAside(ctx, marked, longTime)
		}
	})},
	{"Undelete brings one", "AsideExpires", "the time of one of three", func(h *Harness, s *memory.Store) {
		h.Store = undeletes{s, func(ctx context.Context, name string, since time.Time) (int, error) {
			n, err := s.Undelete(ctx, name, since)
			return min(n, 1), err
		}}
	}},
	{"Undelete without the lock", "UndeleteLock", "in use", func(h *Harness, s *memory.Store) {
		h.Store = undeletes{s, func(context.Context, string, time.Time) (int, error) { return 0, nil }}
	}},
}

// both opens by one Store and undeletes by another.
type both struct {
	maildrop.Store
	maildrop.Undeleter
}

// plain hides what a Store can do besides.
type plain struct{ maildrop.Store }

// TestViewsMissing: a Harness that promises more than there is says so.
func TestViewsMissing(t *testing.T) {
	without := func(testing.TB) Harness {
		s := memory.New()
		s.Create(user)
		return Harness{Store: opens(func(ctx context.Context, name string) (maildrop.Maildrop, error) {
			m, err := s.Open(ctx, name)
			return struct{ maildrop.Maildrop }{m}, err
		}), Deliverer: s, Views: true}
	}
	for name, words := range map[string]string{"Notes": "no maildrop.Notes", "SetAside": "no maildrop.Aside"} {
		at := slices.IndexFunc(viewChecks, func(c check) bool { return c.name == name })
		if got := failures(viewChecks[at], without); len(got) != 1 || !strings.Contains(got[0], words) {
			t.Errorf("%s says %q, want %q", name, got, words)
		}
	}
	at := slices.IndexFunc(viewChecks, func(c check) bool { return c.name == "RemoveIsFinal" })
	got := failures(viewChecks[at], func(t testing.TB) Harness {
		h := sound(t)
		h.Store = plain{h.Store}
		return h
	})
	if len(got) != 1 || !strings.Contains(got[0], "no maildrop.Undeleter") {
		t.Errorf("without an Undeleter: %q", got)
	}
}
