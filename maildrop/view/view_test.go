package view

import (
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
