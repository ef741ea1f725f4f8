package maildir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// manner is how calls fail.
type manner struct {
	name string
	// fail makes the fault for the k-th call.
	fail func(k int) func(call int, op, name string) error
}

// manners: the k-th call fails, as on a bad or a full disk; or it is the first
// of those that never happen, as after kill -9.
var manners = []manner{
	{"EIO", func(k int) func(int, string, string) error {
		return func(call int, _, _ string) error { return at(call == k, unix.EIO) }
	}},
	{"ENOSPC", func(k int) func(int, string, string) error {
		return func(call int, _, _ string) error { return at(call == k, unix.ENOSPC) }
	}},
	{"EDQUOT", func(k int) func(int, string, string) error {
		return func(call int, _, _ string) error { return at(call == k, unix.EDQUOT) }
	}},
	{"short", func(k int) func(int, string, string) error {
		return func(call int, op, _ string) error { return at(call == k && op == "write", errShort) }
	}},
	{"killed", func(k int) func(int, string, string) error {
		return func(call int, _, _ string) error { return at(call >= k, unix.EIO) }
	}},
}

func at(now bool, err error) error {
	if now {
		return err
	}
	return nil
}

// documented checks the row of a scenario in docs/reliability.md.
func documented(t *testing.T, manner string, sites int) {
	t.Helper()
	page, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(strings.TrimSuffix(t.Name(), "/"+manner)) + "` \\| .* \\| " + strconv.Itoa(sites) + " \\|$")
	if !row.Match(page) {
		t.Errorf("docs/reliability.md does not say that %s has %d sites", t.Name(), sites)
	}
}

// everyCall runs f with a fault at the k-th call for every k, until none
// happens any more.
func everyCall(t *testing.T, f func(t *testing.T, killed bool, fail func(call int, op, name string) error) (calls int)) {
	for _, m := range manners {
		t.Run(m.name, func(t *testing.T) {
			for k := 1; ; k++ {
				calls := 0
				t.Run(fmt.Sprint(k), func(t *testing.T) { calls = f(t, m.name == "killed", m.fail(k)) })
				if calls < k {
					if k < 5 {
						t.Errorf("only %d calls were made to fail", k)
					}
					t.Logf("sites: %d", k-1)
					documented(t, m.name, k-1)
					return
				}
			}
		})
	}
}

// leaks checks that every descriptor was closed.
func (b *box) leaks() {
	b.Helper()
	if n := len(b.hook.opened); n != 0 {
		b.Errorf("%d descriptors are still open; calls were %q", n, b.hook.log)
	}
}

// TestDeliverFaults: with an error nothing was delivered, and nothing is left;
// without one the message is there, whole.
func TestDeliverFaults(t *testing.T) {
	content := strings.Repeat("0123456789\n", 10_000)
	everyCall(t, func(t *testing.T, killed bool, fail func(int, string, string) error) int {
		b := newBox(t, Options{Hostname: "host"})
		b.hook.reset(fail)
		receipt, err := b.Deliver(t.Context(), user, strings.NewReader(content))
		calls := b.hook.calls
		b.leaks()
		b.hook.reset(nil)
		left, _ := os.ReadDir(filepath.Join(b.path, "tmp"))
		files := b.files()
		switch {
		case err == nil:
			stored, readErr := os.ReadFile(filepath.Join(b.path, "new", receipt.UID))
			if readErr != nil || string(stored) != content {
				t.Errorf("delivered, but new/ holds %d octets of it, error %v", len(stored), readErr)
			}
		case !errors.Is(err, maildrop.ErrTemporary):
			t.Errorf("error %v, want ErrTemporary", err)
		case killed:
			for _, name := range files { // linked, not yet acknowledged
				if stored, _ := os.ReadFile(filepath.Join(b.path, name)); string(stored) != content {
					t.Errorf("%s holds part of a message", name)
				}
			}
		case len(files) != 0:
			t.Errorf("error %v, but there are files %q", err, files)
		case len(left) != 0 && b.hook.count("unlink") > 0:
			t.Errorf("error %v, and tmp/ holds %v", err, left)
		}
		return calls
	})
}

// fill makes the Maildir of the tests of faults.
func fill(b *box) []string {
	b.write("new/1700000000.M1P1.host", "a\n")
	b.write("cur/1700000001.M1P1.host:2,S", "bb")
	b.write("new/1700000002.M1P1.host", "")
	b.write("cur/1700000003.M1P1.host:2,", "dddd\r\n")
	return []string{"1700000000.M1P1.host", "1700000001.M1P1.host", "1700000002.M1P1.host", "1700000003.M1P1.host"}
}

// TestOpenFaults: Open gives all messages, or an error; never fewer.
func TestOpenFaults(t *testing.T) {
	for _, warm := range []bool{false, true} {
		t.Run(fmt.Sprintf("index=%v", warm), func(t *testing.T) {
			everyCall(t, func(t *testing.T, killed bool, fail func(int, string, string) error) int {
				b := newBox(t, Options{})
				b.terms.tick, b.terms.young = time.Hour, time.Hour // on any machine
				want := fill(b)
				if warm {
					b.list()
				}
				b.hook.reset(fail)
				m, err := b.Open(t.Context(), user)
				if err == nil {
					if got := uidsOf(m.Messages()); !slices.Equal(got, want) {
						t.Errorf("listed are %q, want %q", got, want)
					}
					m.Close()
				} else if !errors.Is(err, maildrop.ErrTemporary) {
					t.Errorf("error %v, want ErrTemporary", err)
				}
				calls := b.hook.calls
				b.leaks()
				b.hook.reset(nil)
				b.wantUIDs("after the fault", want...)
				return calls
			})
		})
	}
}

// TestRemoveFaults: what is not marked stays; without an error what is marked
// is gone.
func TestRemoveFaults(t *testing.T) {
	everyCall(t, func(t *testing.T, killed bool, fail func(int, string, string) error) int {
		b := newBox(t, Options{})
		b.terms.tick, b.terms.young = time.Hour, time.Hour
		want := fill(b)
		m := b.open()
		b.rename("new/1700000002.M1P1.host", "cur/1700000002.M1P1.host:2,S")
		m.(*session).Rest()
		b.hook.reset(fail)
		err := m.Remove(t.Context(), []int{0, 1, 2})
		calls := b.hook.calls
		m.(*session).Rest()
		b.leaks()
		b.hook.reset(nil)
		m.Close()
		got := b.uids()
		if !slices.Contains(got, want[3]) {
			t.Errorf("the message that was not marked is gone: %q", got)
		}
		for _, uid := range got {
			if !slices.Contains(want, uid) {
				t.Errorf("there is a new message %q", uid)
			}
		}
		switch {
		case err == nil && len(got) != 1:
			t.Errorf("no error, but there are %q", got)
		case err != nil && !errors.Is(err, maildrop.ErrTemporary):
			t.Errorf("error %v, want ErrTemporary", err)
		case err != nil && !killed && len(got) == 3:
			t.Errorf("error %v, and there are %q: one fault keeps one message, or all where the folders are not opened", err, got)
		}
		return calls
	})
}

// TestTakeOverFaults: whatever fails when UIDs are taken over, no client ever
// sees others.
func TestTakeOverFaults(t *testing.T) {
	everyCall(t, func(t *testing.T, killed bool, fail func(int, string, string) error) int {
		b := newBox(t, Options{UIDL: "courier"})
		b.terms.tick, b.terms.young = time.Hour, time.Hour
		fill(b)
		list := "/2 9 77\n1700000000.M1P1.host 3 1:77\n1700000001.M1P1.host:2,S 4 2:77\n1700000002.M1P1.host 0 3:77\n1700000003.M1P1.host 6 4:77\n"
		if err := os.WriteFile(filepath.Join(b.path, "courierpop3dsizelist"), []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
		want := []string{"UID1-77", "UID2-77", "UID3-77", "UID4-77"}
		b.hook.reset(fail)
		if m, err := b.Open(t.Context(), user); err == nil {
			if got := uidsOf(m.Messages()); !slices.Equal(got, want) {
				t.Errorf("UIDs are %q, want %q", got, want)
			}
			m.Close()
		}
		calls := b.hook.calls
		b.leaks()
		b.hook.reset(nil)
		b.wantUIDs("after the fault", want...)
		b.remove("courierpop3dsizelist")
		b.wantUIDs("without the list that they come from", want...)
		return calls
	})
}

// TestCreateFaults: Create that failed can be tried again.
func TestCreateFaults(t *testing.T) {
	everyCall(t, func(t *testing.T, killed bool, fail func(int, string, string) error) int {
		b := newBox(t, Options{})
		b.hook.reset(fail)
		b.Store.path.root += "/a/b"
		err := b.Create(t.Context(), user)
		calls := b.hook.calls
		b.leaks()
		b.hook.reset(nil)
		if err == nil {
			b.wantUIDs("Create made it")
		} else if !errors.Is(err, maildrop.ErrTemporary) {
			t.Errorf("error %v, want ErrTemporary", err)
		}
		if err := b.Create(t.Context(), user); err != nil {
			t.Errorf("Create after a fault: %v", err)
		}
		b.wantUIDs("Create after a fault")
		return calls
	})
}
