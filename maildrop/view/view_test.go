package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/memory"
)

// user is the maildrop of the tests.
const user = "user@example.org"

const day = 24 * time.Hour

// post is a memory store with a maildrop, and what the tests do with it.
type post struct {
	testing.TB
	*memory.Store
	count int
}

func newPost(t testing.TB) *post {
	p := &post{TB: t, Store: memory.New()}
	p.Create(user)
	return p
}

// put delivers messages with the UIDs 1, 2, 3 ...
func (p *post) put(n int) {
	p.Helper()
	for range n {
		p.count++
		uid := fmt.Sprint(p.count)
		if err := p.Add(user, uid, []byte("message "+uid+"\n")); err != nil {
			p.Fatal(err)
		}
	}
}

func (p *post) open(v maildrop.View) maildrop.Maildrop {
	p.Helper()
	return p.openIn(p.Store, v)
}

func (p *post) openIn(s maildrop.Store, v maildrop.View) maildrop.Maildrop {
	p.Helper()
	m, err := Open(p.Context(), s, user, v)
	if err != nil {
		p.Fatalf("Open with %+v: %v", v, err)
	}
	p.Cleanup(func() { m.Close() })
	return m
}

// refused opens and gives the error. The lock must be free afterwards.
func (p *post) refused(s maildrop.Store, v maildrop.View) error {
	p.Helper()
	m, err := Open(p.Context(), s, user, v)
	if err == nil {
		m.Close()
		p.Fatalf("Open with %+v succeeds", v)
	}
	p.open(maildrop.View{}).Close()
	return err
}

// wants checks what a login sees: each message with its own octets.
func (p *post) wants(why string, v maildrop.View, want ...string) {
	p.Helper()
	p.wantsIn(p.Store, why, v, want...)
}

func (p *post) wantsIn(s maildrop.Store, why string, v maildrop.View, want ...string) {
	p.Helper()
	m := p.openIn(s, v)
	defer m.Close()
	var got []string
	for i, msg := range m.Messages() {
		got = append(got, msg.UID)
		if text := "message " + msg.UID + "\r\n"; read(p, m, i) != text || msg.Size != int64(len(text)) {
			p.Errorf("%s: message %d, %s, is %q with size %d", why, i, msg.UID, read(p, m, i), msg.Size)
		}
	}
	if !slices.Equal(got, want) {
		p.Errorf("%s: %+v sees %q, want %q", why, v, got, want)
	}
}

// read gives a message, with CRLF.
func read(t testing.TB, m maildrop.Maildrop, i int) string {
	t.Helper()
	r, err := m.Open(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(content), "\n", "\r\n")
}

// remove removes messages in a session of its own.
func (p *post) remove(v maildrop.View, marked ...int) {
	p.Helper()
	m := p.open(v)
	defer m.Close()
	if err := m.Remove(p.Context(), marked); err != nil {
		p.Fatalf("Remove with %+v: %v", v, err)
	}
}

func (p *post) undelete(want int) {
	p.Helper()
	if n, err := p.Undelete(p.Context(), user, time.Time{}); n != want || err != nil {
		p.Errorf("Undelete: %d, %v; want %d", n, err, want)
	}
}

// only is a Store whose Maildrops are nothing more, or what wrap makes of them.
type only struct {
	maildrop.Store
	wrap func(m maildrop.Maildrop) maildrop.Maildrop
}

func (o only) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	m, err := o.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return o.wrap(m), nil
}

// bare is a Store that can do no more than it must.
func bare(s maildrop.Store) maildrop.Store {
	return only{s, func(m maildrop.Maildrop) maildrop.Maildrop { return struct{ maildrop.Maildrop }{m} }}
}

// clocked is a memory store as a clock sees it that goes wrong by some time.
func clocked(p *post, fast time.Duration) maildrop.Store {
	return only{p.Store, func(m maildrop.Maildrop) maildrop.Maildrop {
		l := late{m, m.(maildrop.Notes), m.(maildrop.Aside), slices.Clone(m.Messages())}
		for i := range l.list {
			l.list[i].Received = l.list[i].Received.Add(-fast)
		}
		return l
	}}
}

type late struct {
	maildrop.Maildrop
	maildrop.Notes
	maildrop.Aside
	list []maildrop.Message
}

func (l late) Messages() []maildrop.Message { return l.list }

func TestZeroView(t *testing.T) {
	p := newPost(t)
	p.put(2)
	var below maildrop.Maildrop
	s := only{p.Store, func(m maildrop.Maildrop) maildrop.Maildrop { below = m; return m }}
	if m := p.openIn(s, maildrop.View{}); m != below {
		t.Errorf("the Maildrop is a %T, want that of the store", m)
	}
	if _, err := Open(t.Context(), s, user, maildrop.View{Keep: true}); !errors.Is(err, maildrop.ErrInUse) {
		t.Errorf("Open of a maildrop in use: %v", err)
	}
}

func TestReadOnly(t *testing.T) {
	p := newPost(t)
	p.put(2)
	for _, v := range []maildrop.View{{ReadOnly: true}, {ReadOnly: true, Keep: true, Undo: day, Device: "phone"}} {
		m := p.open(v)
		if err := m.Remove(t.Context(), []int{1}); !errors.Is(err, maildrop.ErrReadOnly) {
			t.Errorf("Remove with %+v: %v, want ErrReadOnly", v, err)
		}
		if err := m.Remove(t.Context(), nil); err != nil {
			t.Errorf("Remove of nothing: %v", err)
		}
		m.Close()
		p.wants("read-only", v, "1", "2")
	}
	p.wantsIn(bare(p.Store), "a store that can do no more will do", maildrop.View{ReadOnly: true, Undo: day, Device: "x"}, "1", "2")
}

// TestKeep: DELE hides from the device that said it, for ever, and from no
// other; numbers are of what is seen.
func TestKeep(t *testing.T) {
	phone, tablet := maildrop.View{Device: "phone", Keep: true}, maildrop.View{Device: "tablet", Keep: true}
	p := newPost(t)
	p.put(5)
	p.remove(phone, 0, 2)
	p.wants("hidden", phone, "2", "4", "5")
	p.remove(phone, 1)
	p.wants("hidden, by its number among those seen", phone, "2", "5")
	p.wants("another device", tablet, "1", "2", "3", "4", "5")
	p.wants("no device", maildrop.View{}, "1", "2", "3", "4", "5")
	p.wants("keep was switched off", maildrop.View{Device: "phone"}, "2", "5")
	p.wants("keep became undo", maildrop.View{Device: "phone", Undo: day}, "2", "5")
	p.remove(maildrop.View{Device: "phone"}, 1)
	p.wants("without keep it removes, by the same numbers", maildrop.View{}, "1", "2", "3", "4")
	p.put(1)
	p.wants("new mail", phone, "2", "6")
	p.remove(maildrop.View{Keep: true}, 0)
	p.wants("a login without a device keeps too", maildrop.View{Keep: true}, "2", "3", "4", "6")
	p.wants("and does not share with a device", tablet, "1", "2", "3", "4", "6")
}

func TestKeepTwice(t *testing.T) {
	phone := maildrop.View{Device: "phone", Keep: true}
	p := newPost(t)
	p.put(3)
	m := p.open(phone)
	for _, i := range []int{0, 2} {
		if err := m.Remove(t.Context(), []int{i}); err != nil {
			t.Fatal(err)
		}
		if len(m.Messages()) != 3 {
			t.Error("the list changed in the session")
		}
	}
	m.Close()
	p.wants("hidden in two steps", phone, "2")
}

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

// TestRecent: a message is seen until it is older than the window, and never
// again, whatever window or clock says later.
func TestRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		month := maildrop.View{Device: "phone", Recent: 30 * day}
		year := maildrop.View{Device: "phone", Recent: 365 * day}
		p := newPost(t)
		p.put(1)
		time.Sleep(20 * day)
		p.put(1)
		p.wants("both are recent", month, "1", "2")
		m := p.open(month)
		time.Sleep(11 * day)
		if n := len(m.Messages()); n != 2 || read(t, m, 0) != "message 1\r\n" {
			t.Errorf("%d messages in the session that began before", n)
		}
		m.Close()
		p.put(1)
		p.wants("one is older", month, "2", "3")
		p.wants("a wider window", year, "2", "3")
		p.wants("no window", maildrop.View{Device: "phone"}, "2", "3")
		p.wantsIn(clocked(p, -60*day), "the clock went back", month, "2", "3")
		p.wants("another device", maildrop.View{Device: "tablet", Recent: 365 * day}, "1", "2", "3")
		p.wants("no device", maildrop.View{}, "1", "2", "3")
		p.remove(maildrop.View{Device: "phone", Recent: 30 * day, Keep: true}, 1)
		p.wants("window and keep", month, "2")
		p.remove(month, 0)
		p.wants("a window removes", maildrop.View{}, "1", "3")
	})
}

// TestClockForward: a clock that is far ahead for a day, even longer than the
// window, hides what was there, and no mail that comes later.
func TestClockForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		week := maildrop.View{Device: "phone", Recent: 7 * day}
		p := newPost(t)
		p.put(2)
		p.wantsIn(clocked(p, 365*day), "a year ahead", week)
		p.wants("set right again: what was hidden stays so", week)
		time.Sleep(time.Second)
		p.put(1)
		p.wants("new mail", week, "3")
		time.Sleep(6 * day)
		p.put(1)
		p.wants("new mail", week, "3", "4")
		p.wantsIn(clocked(p, -365*day), "received a year ahead", week, "3", "4")
		p.put(1)
		p.wants("no mail is hidden by it", week, "3", "4", "5")
	})
}

// TestUnknownAge: a message whose age is unknown is no old one.
func TestUnknownAge(t *testing.T) {
	p := newPost(t)
	p.put(1)
	s := only{p.Store, func(m maildrop.Maildrop) maildrop.Maildrop {
		list := slices.Clone(m.Messages())
		list[0].Received = time.Time{}
		return late{m, m.(maildrop.Notes), m.(maildrop.Aside), list}
	}}
	p.wantsIn(s, "unknown age", maildrop.View{Recent: time.Hour}, "1")
}

// TestUndo: deletes can be undone, and with Keep there are none.
func TestUndo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fortnight := maildrop.View{Device: "phone", Undo: 14 * day}
		p := newPost(t)
		for range 4 {
			p.put(1)
			time.Sleep(time.Second)
		}
		p.remove(maildrop.View{Device: "phone", Keep: true}, 0)
		p.remove(fortnight, 0, 2)
		p.wants("removed", fortnight, "3")
		p.undelete(2)
		p.wants("undone", fortnight, "2", "3", "4")
		p.remove(fortnight, 2)
		time.Sleep(15 * day)
		p.undelete(0)
		p.remove(maildrop.View{Device: "phone", Undo: 14 * day, Keep: true}, 0)
		p.undelete(0)
		p.wants("nothing was removed with keep", maildrop.View{}, "1", "2", "3")
	})
}

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
