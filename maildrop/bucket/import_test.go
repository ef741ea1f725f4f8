package bucket_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
)

// strange are messages as another store may have had them: unique-ids of any
// form, several of one moment, one that is older than those before it, one
// whose time is not known, and one of the future.
func strange(now time.Time) []maildrop.Message {
	day := now.Add(-48 * time.Hour).Truncate(time.Second)
	list := []maildrop.Message{
		{UID: "UID1-2", Received: day}, {UID: "UID2-2", Received: day}, {UID: strings.Repeat("~", 70), Received: day},
		{UID: ".", Received: day.Add(-time.Hour)}, {UID: "a/../b%2e", Received: day.Add(time.Hour)}, {UID: "!"},
		{UID: "01HF0000000000000000000000", Received: day.Add(time.Hour)}, {UID: "Z", Received: now.Add(24 * time.Hour)}, {UID: "z", Received: day.Add(2 * time.Hour)},
	}
	for i := range list {
		list[i].Size = int64(len(content(i)))
	}
	return list
}

// take takes messages in, but for those that leave says.
func (b *box) take(s *bucket.Store, list []maildrop.Message, leave func(i int) bool) (err error) {
	m, err := s.Open(b.Context(), user)
	if err != nil {
		return err
	}
	defer m.Close()
	i := m.(maildrop.Importer)
	in, err := i.Import(b.Context(), list)
	if err != nil {
		return err
	}
	here := uidsOf(m.Messages())
	for n := range list {
		if slices.Contains(here, list[n].UID) || leave(n) {
			continue
		}
		if err := in.Put(b.Context(), n, strings.NewReader(content(n))); err != nil {
			return err
		}
	}
	if err := i.Relist(b.Context()); err != nil {
		return err
	}
	if got := uidsOf(m.Messages()); len(got) < len(here) {
		b.Errorf("listed anew are %q, and %q were there before", got, here)
	}
	return nil
}

func none(int) bool { return false }

// TestImport: messages lie as they did elsewhere, with their unique-ids and
// times, also where some are taken in later than others; mail that is
// delivered comes behind them.
func TestImport(t *testing.T) {
	for name, opts := range forms {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t, opts)
				list := strange(time.Now())
				for n, leave := range []func(i int) bool{func(i int) bool { return i%3 != 1 }, func(i int) bool { return i == 0 || i == 3 }, none} {
					if err := b.take(b.Store, list, leave); err != nil {
						t.Fatalf("import %d: %v", n, err)
					}
				}
				began := time.Now()
				time.Sleep(time.Millisecond)
				last := b.fill(1)
				m := b.open(b.other)
				defer m.Close()
				got := m.Messages()
				if want := append(uidsOf(list), last...); !slices.Equal(uidsOf(got), want) {
					t.Fatalf("listed are %q, want %q", uidsOf(got), want)
				}
				for i, want := range list {
					if text, err := b.read(m, i); err != nil || text != content(i) || got[i].Size != want.Size {
						t.Errorf("message %q reads as %.40q, %d octets, error %v", want.UID, text, got[i].Size, err)
					}
					if want.Received.IsZero() {
						want.Received = began
					}
					if !got[i].Received.Equal(want.Received) {
						t.Errorf("message %q came %v, want %v", want.UID, got[i].Received, want.Received)
					}
				}
			})
		})
	}
}

// TestImportAside: what was taken in is set aside, and comes back, by its own
// unique-id.
func TestImportAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{})
		list := strange(time.Now())
		if err := b.take(b.Store, list, none); err != nil {
			t.Fatal(err)
		}
		m := b.open(b.Store)
		if err := m.(maildrop.Aside).SetAside(t.Context(), []int{2, 4}, time.Hour); err != nil {
			t.Fatal(err)
		}
		kept, err := m.(maildrop.Aside).Kept(t.Context())
		slices.Sort(kept)
		if err != nil || !slices.Equal(kept, []string{list[4].UID, list[2].UID}) {
			t.Errorf("kept are %q, %v", kept, err)
		}
		m.Close()
		if len(b.stored()) != len(list)-2 {
			t.Error("what is aside is listed")
		}
		if n, err := b.Undelete(t.Context(), user, time.Time{}); n != 2 || err != nil {
			t.Errorf("Undelete: %d, %v", n, err)
		}
		b.want(b.stored(), uidsOf(list), nil)
		// What is aside and comes again is there again.
		m = b.open(b.Store)
		if err := m.(maildrop.Aside).SetAside(t.Context(), []int{0, 3}, time.Hour); err != nil {
			t.Fatal(err)
		}
		m.Close()
		if err := b.take(b.Store, list[:2], none); err != nil {
			t.Fatal(err)
		}
		b.want(b.stored(), append(uidsOf(list[:3]), uidsOf(list[4:])...), nil)
	})
}

// TestImportRefuses: what cannot be taken in as it should.
func TestImportRefuses(t *testing.T) {
	b := newBox(t, bucket.Options{})
	m := b.open(b.Store)
	defer m.Close()
	i := m.(maildrop.Importer)
	for _, uid := range []string{"", "a b", "\x7f", "ä", strings.Repeat("x", 71)} {
		if _, err := i.Import(t.Context(), []maildrop.Message{{UID: uid}}); !errors.Is(err, maildrop.ErrPermanent) {
			t.Errorf("the unique-id %q: %v", uid, err)
		}
	}
	in, err := i.Import(t.Context(), []maildrop.Message{{UID: "x", Size: 3}})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "xx", "xx\r\n"} {
		if err := in.Put(t.Context(), 0, strings.NewReader(text)); !errors.Is(err, maildrop.ErrPermanent) {
			t.Errorf("%q for 3 octets: %v", text, err)
		}
	}
	if err := in.Put(t.Context(), 1, strings.NewReader("x")); err == nil {
		t.Error("a message that is not in the list is taken")
	}
	if err := i.Relist(t.Context()); err != nil || len(m.Messages()) != 0 {
		t.Errorf("there are %v, %v", m.Messages(), err)
	}
	if keys, err := i.NoteKeys(t.Context()); err != nil || len(keys) != 0 {
		t.Errorf("notes %q, %v", keys, err)
	}
	for _, key := range []string{"view-a", "view-b"} {
		if err := i.SetNote(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
	}
	if keys, err := i.NoteKeys(t.Context()); err != nil || !slices.Equal(keys, []string{"view-a", "view-b"}) {
		t.Errorf("notes %q, %v", keys, err)
	}
}

// TestImportEconomy: a Relist takes the lock where Open did not, and nodes that
// remember the maildrop see what was taken in.
func TestImportEconomy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{Economy: true})
		b.fill(1)
		m := b.open(b.Store)
		if len(m.Messages()) != 1 {
			t.Error("the message is not there")
		}
		if err := m.(maildrop.Importer).Relist(t.Context()); err != nil {
			t.Fatal(err)
		}
		if other, err := b.other.Open(t.Context(), user); !errors.Is(err, maildrop.ErrInUse) {
			t.Errorf("another node: %v", err)
			if err == nil {
				other.Close()
			}
		}
		m.Close()
		list := []maildrop.Message{{UID: "x", Size: int64(len(content(0)))}}
		if err := b.take(b.other, list, none); err != nil {
			t.Fatal(err)
		}
		m = b.open(b.Store)
		defer m.Close()
		if n := len(m.Messages()); n != 2 {
			t.Errorf("a node that remembers lists %d messages, want 2", n)
		}
	})
}

// TestImportFaults: whatever call fails, an import that follows ends it: each
// message is there once, whole, in its place, and nothing else has gone.
func TestImportFaults(t *testing.T) {
	for _, name := range []string{"plain", "packed and sealed"} {
		t.Run(name, func(t *testing.T) {
			table(t, func(t *testing.T, lasting bool, fault faults) int {
				b := newBox(t, forms[name])
				list := strange(time.Now())[:5]
				native := b.fill(1)
				b.begin(fault)
				err := b.take(b.Store, list, func(i int) bool { return i == 1 })
				calls := b.end()
				b.temporary("import", err)
				b.pass()
				b.want(b.stored(), native, uidsOf(list))
				if err := b.take(b.Store, list, none); err != nil {
					t.Fatalf("the import after it: %v", err)
				}
				m := b.open(b.other)
				defer m.Close()
				if got, want := uidsOf(m.Messages()), append(uidsOf(list), native...); !slices.Equal(got, want) {
					t.Errorf("listed are %q, want %q", got, want)
				}
				for i := range list {
					if text, err := b.read(m, i); err != nil || text != content(i) {
						t.Errorf("message %d reads as %.40q, error %v", i, text, err)
					}
				}
				return calls
			})
		})
	}
}

// TestImportMany: thousands of one moment, of which every other one was there
// before, find room.
func TestImportMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{})
		var list []maildrop.Message
		for i := range 3000 {
			list = append(list, maildrop.Message{UID: fmt.Sprintf("UID%d-1", i), Received: time.Unix(1700000000, 0), Size: 3})
		}
		for odd := range 2 {
			m := b.open(b.Store)
			in, err := m.(maildrop.Importer).Import(t.Context(), list)
			if err != nil {
				t.Fatal(err)
			}
			for i := 1 - odd; i < len(list); i += 2 {
				if err := in.Put(t.Context(), i, strings.NewReader("x\n")); err != nil {
					t.Fatal(err)
				}
			}
			m.Close()
		}
		m := b.open(b.other)
		defer m.Close()
		if got := uidsOf(m.Messages()); !slices.Equal(got, uidsOf(list)) {
			t.Errorf("%d messages are listed, or in another order", len(got))
		}
	})
}

// TestImportBetween: what is taken in later than its neighbours lies between
// them, however near to each other they are.
func TestImportBetween(t *testing.T) {
	b := newBox(t, bucket.Options{})
	now := time.Now().Add(-time.Hour)
	var list []maildrop.Message
	for _, uid := range strings.Split("a b c d e f g h i", " ") {
		list = append(list, maildrop.Message{UID: uid, Received: now, Size: int64(len(content(0)))})
	}
	list[4].Received = now.Add(time.Minute) // above those behind it
	for _, some := range []string{"ai", "aei", "acegi", "abcdefghi"} {
		part := slices.DeleteFunc(slices.Clone(list), func(m maildrop.Message) bool { return !strings.Contains(some, m.UID) })
		m := b.open(b.Store)
		in, err := m.(maildrop.Importer).Import(t.Context(), part)
		if err != nil {
			t.Fatal(err)
		}
		for i := range part {
			if err := in.Put(t.Context(), i, strings.NewReader(content(0))); err != nil {
				t.Fatal(err)
			}
		}
		m.Close()
		m = b.open(b.other)
		if got := uidsOf(m.Messages()); !slices.Equal(got, uidsOf(part)) {
			t.Errorf("listed are %q, want %q", got, uidsOf(part))
		}
		m.Close()
	}
}

// TestForeignDoubles: two messages of one unique-id keep everybody out, and a
// message that is sealed does not open under another unique-id.
func TestForeignDoubles(t *testing.T) {
	b := newBox(t, bucket.Options{Keys: []bucket.Key{{1}}})
	uids := b.fill(1)
	if err := b.take(b.Store, []maildrop.Message{{UID: "x", Size: int64(len(content(0)))}}, none); err != nil {
		t.Fatal(err)
	}
	m := b.open(b.other)
	key := bucket.ObjectKey(m, slices.Index(uidsOf(m.Messages()), "x"))
	m.Close()
	name, prefix, _ := b.Place(user)
	id, rest := key[:len("m/")+26], key[len("m/")+26:]
	under := func(uid string) string {
		return strings.Replace(rest, ".u"+base64.RawURLEncoding.EncodeToString([]byte("x")), ".u"+base64.RawURLEncoding.EncodeToString([]byte(uid)), 1)
	}
	o, err := b.gateway.Get(t.Context(), name, prefix+key, bucket.How{})
	if err != nil {
		t.Fatal(err)
	}
	object, _ := io.ReadAll(o.Body)
	put := func(key string) {
		t.Helper()
		if err := b.gateway.Put(t.Context(), name, prefix+key, bytes.NewReader(object), int64(len(object))); err != nil {
			t.Fatal(err)
		}
	}
	for _, double := range []string{"m/01HF0000000000000000000000" + rest, "m/01HF0000000000000000000000" + under(uids[0])} {
		put(double)
		if m, err := b.Open(t.Context(), user); !errors.Is(err, maildrop.ErrPermanent) {
			t.Errorf("with %q: %v, want ErrPermanent", double, err)
			if err == nil {
				m.Close()
			}
		}
		b.gateway.Delete(t.Context(), name, []string{prefix + double})
	}
	b.gateway.Delete(t.Context(), name, []string{prefix + key})
	put(id + under("y"))
	m = b.open(b.other)
	defer m.Close()
	if _, err := b.read(m, slices.Index(uidsOf(m.Messages()), "y")); err == nil {
		t.Error("a sealed message opens under another unique-id")
	}
}

// TestAsideTwinExpires: of a message that is stored twice, both objects go when
// the time is up for which it is kept aside.
func TestAsideTwinExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{Keys: []bucket.Key{{1}}})
		list := []maildrop.Message{{UID: "x", Size: int64(len(content(0)))}}
		if err := b.take(b.Store, list, none); err != nil {
			t.Fatal(err)
		}
		name, prefix, _ := b.Place(user)
		key, object := b.object(user)
		b.gateway.Delete(t.Context(), name, []string{key})
		if err := b.take(b.Store, list, none); err != nil {
			t.Fatal(err)
		}
		if err := b.gateway.Put(t.Context(), name, key, bytes.NewReader(object), int64(len(object))); err != nil {
			t.Fatal(err)
		}
		b.settle(true)
		b.fill(1)
		setAside := func(left int) {
			t.Helper()
			m := b.open(b.other)
			defer m.Close()
			if err := m.(maildrop.Aside).SetAside(t.Context(), []int{0}, time.Hour); err != nil {
				t.Fatal(err)
			}
			if n := len(b.objects.Keys(name, prefix+"m/")); n != left {
				t.Errorf("%d objects are left, want %d", n, left)
			}
		}
		setAside(3)
		time.Sleep(2 * time.Hour)
		setAside(1)
	})
}
