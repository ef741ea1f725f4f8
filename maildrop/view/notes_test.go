package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// note gives the note of a device, as it is stored.
func (p *post) note(device string) []byte {
	p.Helper()
	m := p.open(maildrop.View{})
	defer m.Close()
	note, err := m.(maildrop.Notes).Note(p.Context(), (&drop{view: maildrop.View{Device: device}}).key())
	if err != nil {
		p.Fatal(err)
	}
	return note
}

func (p *post) setNote(device string, note []byte) {
	p.Helper()
	m := p.open(maildrop.View{})
	defer m.Close()
	if err := m.(maildrop.Notes).SetNote(p.Context(), (&drop{view: maildrop.View{Device: device}}).key(), note); err != nil {
		p.Fatal(err)
	}
}

func (p *post) wantNoted(why string, want int) {
	p.Helper()
	h, err := decode(p.note("phone"))
	if err != nil || len(h) != want {
		p.Errorf("%s: %d UIDs are noted, error %v; want %d", why, len(h), err, want)
	}
}

// TestForgotten: a note holds no UID of a message that is gone for good, and
// those of messages that can come back.
func TestForgotten(t *testing.T) {
	phone := maildrop.View{Device: "phone", Keep: true}
	p := newPost(t)
	p.put(6)
	p.remove(phone, 0, 1, 2)
	p.wantNoted("three were hidden", 3)
	p.remove(maildrop.View{}, 0)
	p.remove(maildrop.View{Undo: day}, 0)
	p.remove(phone, 0)
	p.wantNoted("one is gone, one aside, one hidden more", 3)
	p.undelete(1)
	p.wants("what was hidden and aside", phone, "5", "6")
	p.remove(maildrop.View{}, 0, 1, 2)
	p.remove(phone, 0)
	p.wantNoted("all but one are gone", 1)
}

// TestForgetsNothingUnsure: where it cannot be told what is kept aside,
// nothing is forgotten.
func TestForgetsNothingUnsure(t *testing.T) {
	phone := maildrop.View{Device: "phone", Keep: true}
	p := newPost(t)
	p.put(4)
	p.remove(phone, 0, 1)
	p.remove(maildrop.View{Undo: day}, 0)
	failing := only{p.Store, func(m maildrop.Maildrop) maildrop.Maildrop {
		return late{m, m.(maildrop.Notes), unsure{m.(maildrop.Aside)}, m.Messages()}
	}}
	m := p.openIn(failing, phone)
	if err := m.Remove(t.Context(), []int{0}); err != nil {
		t.Errorf("Remove: %v", err)
	}
	m.Close()
	p.undelete(1)
	p.wants("what came back", phone, "4")
}

type unsure struct{ maildrop.Aside }

func (unsure) Kept(context.Context) ([]string, error) { return nil, errors.New("disk fault") }

// TestStoreCannot: what a store cannot do is said at login.
func TestStoreCannot(t *testing.T) {
	p := newPost(t)
	p.put(1)
	for words, v := range map[string]maildrop.View{
		"use no keep":   {Keep: true},
		"and no recent": {Recent: day},
		"use no undo":   {Undo: day},
	} {
		if err := p.refused(bare(p.Store), v); !errors.Is(err, maildrop.ErrPermanent) || !strings.Contains(err.Error(), words) {
			t.Errorf("%+v: %v, want ErrPermanent with %q", v, err, words)
		}
	}
	p.wantsIn(bare(p.Store), "only a name", maildrop.View{Device: "phone"}, "1")
}

// TestDamagedNote: no damage of a note passes for a shorter one.
func TestDamagedNote(t *testing.T) {
	phone := maildrop.View{Device: "phone", Keep: true}
	p := newPost(t)
	p.put(4)
	p.remove(phone, 0, 1)
	good := p.note("phone")
	for at := range good {
		bad := slices.Clone(good)
		bad[at] ^= 0x40
		if h, err := decode(bad); err == nil {
			t.Errorf("damage of octet %d gives %d UIDs", at, len(h))
		}
		if h, err := decode(good[:at]); err == nil {
			t.Errorf("a cut at octet %d gives %d UIDs", at, len(h))
		}
	}
	for words, bad := range map[string][]byte{
		"it is damaged":               {},
		"it is of an unknown version": hidden{}.encodeAs("poplin view 2\n"),
		"it is out of order":          hidden{{2}, {1}}.encode(),
	} {
		p.setNote("phone", bad)
		err := p.refused(p.Store, phone)
		if !errors.Is(err, maildrop.ErrTemporary) || !strings.Contains(err.Error(), words+": restore it from a backup; or remove it") || !strings.Contains(err.Error(), `device "phone"`) {
			t.Errorf("%q: %v, want ErrTemporary that says %q and what to do", bad, err, words)
		}
		p.wants("another device", maildrop.View{Device: "tablet", Keep: true}, "1", "2", "3", "4")
	}
	p.setNote("phone", good)
	p.wants("restored", phone, "3", "4")
}

// encodeAs is encode for another version.
func (h hidden) encodeAs(other string) []byte {
	note := bytes.Replace(h.encode(), []byte(magic), []byte(other), 1)
	return checksummed(note[:len(note)-4])
}

// sick is Notes that fail.
type sick struct {
	maildrop.Notes
	read, write bool
}

func (s sick) Note(ctx context.Context, key string) ([]byte, error) {
	if s.read {
		return nil, fmt.Errorf("disk fault: %w", maildrop.ErrTemporary)
	}
	return s.Notes.Note(ctx, key)
}

func (s sick) SetNote(ctx context.Context, key string, note []byte) error {
	if s.write {
		return errors.New("disk full")
	}
	return s.Notes.SetNote(ctx, key, note)
}

// TestNotesFail: what cannot be noted is not hidden, and what cannot be read
// lets nobody in.
func TestNotesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		phone := maildrop.View{Device: "phone", Keep: true, Recent: day}
		p := newPost(t)
		p.put(2)
		failing := func(read, write bool) maildrop.Store {
			return only{p.Store, func(m maildrop.Maildrop) maildrop.Maildrop {
				return late{m, sick{m.(maildrop.Notes), read, write}, m.(maildrop.Aside), m.Messages()}
			}}
		}
		if err := p.refused(failing(true, false), phone); !errors.Is(err, maildrop.ErrTemporary) || !strings.Contains(err.Error(), "disk fault") {
			t.Errorf("note cannot be read: %v", err)
		}
		p.wantsIn(failing(false, true), "nothing is to be noted", phone, "1", "2")
		m := p.openIn(failing(false, true), phone)
		if err := m.Remove(t.Context(), []int{0}); err == nil || !strings.Contains(err.Error(), "not hidden: disk full") {
			t.Errorf("Remove: %v", err)
		}
		m.Close()
		p.wants("hiding failed", phone, "1", "2")
		time.Sleep(2 * day)
		if err := p.refused(failing(false, true), phone); !errors.Is(err, maildrop.ErrTemporary) || !strings.Contains(err.Error(), "cannot be noted: disk full") {
			t.Errorf("what left the window cannot be noted: %v", err)
		}
		p.wants("it can", phone)
	})
}

func TestMisuse(t *testing.T) {
	for _, v := range []maildrop.View{{Keep: true}, {Device: "phone"}, {Undo: day}} {
		p := newPost(t)
		p.put(2)
		m := p.open(v)
		for _, i := range []int{-1, 2} {
			if _, err := m.Open(t.Context(), i); err == nil {
				t.Errorf("Open of message %d succeeds", i)
			}
		}
		if err := m.Remove(t.Context(), []int{-1, 1, 2}); err == nil || !strings.Contains(err.Error(), "index 2") {
			t.Errorf("Remove of messages -1 and 2: %v", err)
		}
		m.Close()
		if err := m.Remove(t.Context(), []int{0}); err == nil {
			t.Error("Remove after Close succeeds")
		}
		p.wants("the one between", v, "1")
	}
}

// FuzzDecode: whatever the octets, decode gives what encodes to them, or
// refuses. The checksum is made right, so that what is behind it is reached.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte(magic))
	f.Add([]byte(magic + "0123456789abcdef"))
	f.Add([]byte(magic + "0123456789abcdef0123456789abcdeg"))
	f.Add([]byte("poplin view 2\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		note := checksummed(slices.Clone(body))
		if h, err := decode(note); err == nil && !bytes.Equal(h.encode(), note) {
			t.Errorf("%q is read as %v, which is written as %q", note, h, h.encode())
		}
	})
}

// BenchmarkOpen: a login that sees 10 of 100,000 messages.
func BenchmarkOpen(b *testing.B) {
	p := newPost(b)
	p.put(100_000)
	v := maildrop.View{Device: "phone", Keep: true}
	m := p.open(v)
	marked := make([]int, len(m.Messages())-10)
	for i := range marked {
		marked[i] = i
	}
	if err := m.Remove(b.Context(), marked); err != nil {
		b.Fatal(err)
	}
	m.Close()
	b.ReportAllocs()
	for b.Loop() {
		m := p.open(v)
		if n := len(m.Messages()); n != 10 {
			b.Fatalf("%d messages are seen", n)
		}
		m.Close()
	}
}
