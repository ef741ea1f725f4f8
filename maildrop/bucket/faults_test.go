package bucket_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

type faults = func(n int, c buckettest.Call) buckettest.Fault

// TestDeliverFaults: what is acknowledged is there once and whole; what is not
// is not there, unless the store stayed away, and then it is whole.
func TestDeliverFaults(t *testing.T) {
	for name, opts := range forms {
		t.Run(name, func(t *testing.T) {
			table(t, func(t *testing.T, lasting bool, fault faults) int {
				b := newBox(t, opts)
				before := b.fill(2)
				b.begin(fault)
				receipt, err := b.Deliver(t.Context(), user, strings.NewReader(content(7)))
				calls := b.end()
				b.temporary("Deliver", err)
				found := b.stored()
				switch {
				case err == nil:
					b.want(found, append(before, receipt.UID), nil)
					if found[receipt.UID] != content(7) {
						t.Errorf("delivered is %.40q", found[receipt.UID])
					}
				case !lasting:
					b.want(found, before, nil)
				case len(found) > len(before)+1:
					t.Errorf("there are %d messages, want %d or one more", len(found), len(before))
				}
				return calls
			})
		})
	}
}

// TestDistributeFaults: the same for several recipients with quotas.
func TestDistributeFaults(t *testing.T) {
	table(t, func(t *testing.T, lasting bool, fault faults) int {
		b := newBox(t, bucket.Options{})
		b.fill(2)
		to := []maildrop.Recipient{{Maildrop: user, Quota: maildrop.Quota{Messages: 2}}, {Maildrop: "a"}, {Maildrop: "b", Quota: maildrop.Quota{Octets: 1 << 20}}}
		var stale atomic.Bool
		b.begin(func(n int, c buckettest.Call) buckettest.Fault {
			f := fault(n, c)
			if f == buckettest.Stale && c.Op == "list" {
				stale.Store(true)
			}
			return f
		})
		outcomes, err := b.Distribute(t.Context(), to, strings.NewReader(content(7)))
		calls := b.end()
		if err != nil {
			t.Fatalf("Distribute: %v", err)
		}
		for i, o := range outcomes {
			if i > 0 || !errors.Is(o.Err, maildrop.ErrOverQuota) {
				b.temporary("outcome", o.Err)
			}
			u, err := b.other.Usage(t.Context(), to[i].Maildrop)
			want := maildrop.Usage{}
			if o.Err == nil {
				want = maildrop.Usage{Octets: o.Octets, Messages: 1}
			}
			if i == 0 {
				want = maildrop.Usage{Octets: int64(len(content(0) + content(1))), Messages: 2}
			}
			if i == 0 && o.Err == nil && stale.Load() {
				// A stale listing has room for more than there is; Check finds
				// stores that give one.
				want.Octets, want.Messages = want.Octets+o.Octets, 3
			}
			if err != nil || u != want && (o.Err == nil || !lasting) {
				t.Errorf("outcome %d is %v, and %+v is there, error %v; want %+v", i, o.Err, u, err, want)
			}
		}
		return calls
	})
}

// TestSessionFaults: a login lists all or fails; a message is read whole, or
// the reader says that it is not; what is not marked stays; the lock keeps
// others out while it is held.
func TestSessionFaults(t *testing.T) {
	for name, opts := range map[string]bucket.Options{"strict": {}, "economy": {Economy: true}, "packed and sealed": forms["packed and sealed"]} {
		t.Run(name, func(t *testing.T) {
			table(t, func(t *testing.T, lasting bool, fault faults) int {
				b := newBox(t, opts)
				uids := b.fill(5)
				if m, err := b.Open(t.Context(), user); err != nil { // remembered, in economy
					t.Fatal(err)
				} else {
					m.Close()
				}
				uids = append(uids, b.fill(1)...)
				b.begin(fault)
				removed := b.session(uids, []int{0, 2, 5})
				calls := b.end()
				b.pass()
				gone := []string{uids[0], uids[2], uids[5]}
				switch removed {
				case nil:
					b.want(b.stored(), []string{uids[1], uids[3], uids[4]}, nil)
				default:
					b.temporary("session", removed)
					b.want(b.stored(), []string{uids[1], uids[3], uids[4]}, gone)
				}
				return calls
			})
		})
	}
}

// session opens the maildrop, reads all, removes what is marked, and gives the
// error of what failed first.
func (b *box) session(uids []string, marked []int) error {
	b.Helper()
	m, err := b.Open(b.Context(), user)
	if err != nil {
		return err
	}
	defer m.Close()
	list := slices.Clone(m.Messages())
	if !slices.Equal(uidsOf(list), uids) {
		b.Errorf("listed are %q, want %q", uidsOf(list), uids)
	}
	for i := range list {
		text, err := b.read(m, i)
		if err == nil && text != content(i%5) {
			b.Errorf("message %d reads as %.40q, %d octets, without an error", i, text, len(text))
		}
		b.temporary("reading", err)
	}
	if bucket.Holds(m) {
		if other, err := b.other.Open(b.Context(), user); err == nil {
			other.Close()
			b.Error("another node opens the maildrop while the lock is held")
		}
	}
	err = m.Remove(b.Context(), marked)
	if !slices.Equal(list, m.Messages()) {
		b.Errorf("the list changed")
	}
	return err
}

// TestUnlockFaults: one fault does not keep the user out once he has left.
func TestUnlockFaults(t *testing.T) {
	table(t, func(t *testing.T, lasting bool, fault faults) int {
		b := newBox(t, bucket.Options{})
		uids := b.fill(2)
		failed := buckettest.None
		b.begin(func(n int, c buckettest.Call) buckettest.Fault {
			f := fault(n, c)
			if f != buckettest.None {
				failed = f
			}
			return f
		})
		m, err := b.Open(t.Context(), user)
		b.temporary("Open", err)
		if err == nil {
			m.Close()
		}
		calls := b.end()
		if lasting || failed == buckettest.Expired {
			b.pass()
		}
		b.want(b.stored(), uids, nil)
		return calls
	})
}

// TestAsideFaults: what is not marked stays in the maildrop, and what is
// marked can be brought back.
func TestAsideFaults(t *testing.T) {
	table(t, func(t *testing.T, lasting bool, fault faults) int {
		b := newBox(t, bucket.Options{})
		uids := b.fill(4)
		b.begin(fault)
		m, err := b.Open(t.Context(), user)
		if err == nil {
			err = m.(maildrop.Aside).SetAside(t.Context(), []int{0, 2}, 24*time.Hour)
			m.Close()
		}
		calls := b.end()
		b.temporary("SetAside", err)
		b.pass()
		found := b.stored()
		if err == nil {
			b.want(found, []string{uids[1], uids[3]}, nil)
		} else {
			b.want(found, []string{uids[1], uids[3]}, uids)
		}
		n, err := b.other.Undelete(t.Context(), user, time.Time{})
		if err != nil || n != len(uids)-len(found) {
			t.Errorf("Undelete: %d, error %v, want %d", n, err, len(uids)-len(found))
		}
		b.want(b.stored(), uids, nil)
		return calls
	})
}

// TestAsideExpiryFaults: what was kept aside for long enough goes for good, and
// never comes back on the way.
func TestAsideExpiryFaults(t *testing.T) {
	table(t, func(t *testing.T, lasting bool, fault faults) int {
		b := newBox(t, bucket.Options{})
		uids := b.fill(4)
		setAside := func(s *bucket.Store, i int, period time.Duration) error {
			m, err := s.Open(t.Context(), user)
			if err != nil {
				return err
			}
			defer m.Close()
			return m.(maildrop.Aside).SetAside(t.Context(), []int{i}, period)
		}
		if err := setAside(b.other, 0, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		b.begin(fault)
		err := setAside(b.Store, 0, time.Hour)
		calls := b.end()
		b.temporary("SetAside", err)
		b.pass()
		found := b.stored()
		b.want(found, uids[2:], uids[1:2])
		if n, err := b.other.Undelete(t.Context(), user, time.Time{}); err != nil || n != 3-len(found) {
			t.Errorf("Undelete: %d, %v, want %d", n, err, 3-len(found))
		}
		b.want(b.stored(), uids[1:], nil)
		return calls
	})
}

// TestUndeleteFaults: what is aside comes back, or stays aside.
func TestUndeleteFaults(t *testing.T) {
	table(t, func(t *testing.T, lasting bool, fault faults) int {
		b := newBox(t, bucket.Options{})
		uids := b.fill(4)
		m, err := b.other.Open(t.Context(), user)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.(maildrop.Aside).SetAside(t.Context(), []int{0, 2}, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		m.Close()
		b.begin(fault)
		n, err := b.Undelete(t.Context(), user, time.Time{})
		calls := b.end()
		if !errors.Is(err, maildrop.ErrInUse) { // an old listing shows an old lock
			b.temporary("Undelete", err)
		}
		b.pass()
		found := b.stored()
		if err == nil {
			b.want(found, uids, nil)
		} else {
			b.want(found, []string{uids[1], uids[3]}, uids)
		}
		if !lasting && len(found) != 2+n {
			t.Errorf("Undelete says %d, and %d came back", n, len(found)-2)
		}
		if _, err := b.other.Undelete(t.Context(), user, time.Time{}); err != nil {
			t.Errorf("Undelete after a fault: %v", err)
		}
		b.want(b.stored(), uids, nil)
		return calls
	})
}

// TestExpireFaults: what is young stays.
func TestExpireFaults(t *testing.T) {
	table(t, func(t *testing.T, lasting bool, fault faults) int {
		b := newBox(t, bucket.Options{})
		old := b.fill(2)
		time.Sleep(time.Hour)
		young := b.fill(2)
		b.begin(fault)
		u, err := b.Expire(t.Context(), user, time.Now().Add(-time.Minute), false)
		calls := b.end()
		b.temporary("Expire", err)
		b.pass()
		if err == nil && u.Messages != 2 {
			t.Errorf("Expire removes %+v, want 2 messages", u)
		}
		if err == nil {
			old = nil
		}
		b.want(b.stored(), young, old)
		return calls
	})
}

// TestNoteFaults: a note is the old one or the new one, and never a part.
func TestNoteFaults(t *testing.T) {
	table(t, func(t *testing.T, lasting bool, fault faults) int {
		b := newBox(t, bucket.Options{})
		set := func(s *bucket.Store, note string) error {
			m, err := s.Open(t.Context(), user)
			if err != nil {
				return err
			}
			defer m.Close()
			return m.(maildrop.Notes).SetNote(t.Context(), "device", []byte(note))
		}
		get := func(s *bucket.Store) (string, error) {
			m, err := s.Open(t.Context(), user)
			if err != nil {
				return "", err
			}
			defer m.Close()
			note, err := m.(maildrop.Notes).Note(t.Context(), "device")
			return string(note), err
		}
		if err := set(b.other, "the old note"); err != nil {
			t.Fatal(err)
		}
		b.begin(fault)
		setErr := set(b.Store, "the new note")
		if setErr == nil {
			if note, err := get(b.Store); err == nil && note != "the new note" {
				t.Errorf("note reads as %q without an error", note)
			}
		}
		calls := b.end()
		b.pass()
		note, err := get(b.other)
		if err != nil || note != "the new note" && (setErr == nil || note != "the old note") {
			t.Errorf("SetNote: %v; then the note is %q, error %v", setErr, note, err)
		}
		return calls
	})
}
