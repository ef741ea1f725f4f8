package maildir

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// world drives a Maildir at random, as Poplin and other programs do, and
// keeps what the contract needs remembered.
type world struct {
	*box
	rng   *rand.Rand
	made  int
	uid   map[identity]string // of every file that was listed
	order []string            // UIDs of the last login
	// index tells whether an intact index connects the logins.
	index bool
}

// naive is one message, as a reader without an index sees it.
type naive struct {
	identity
	content string
}

// survey reads the whole Maildir, in the simplest way there is.
func (w *world) survey() map[identity]naive {
	w.Helper()
	found := make(map[identity]naive)
	for _, file := range w.files() {
		dir, name, _ := strings.Cut(file, "/")
		if name[0] == '.' {
			continue
		}
		path := filepath.Join(w.path, dir, name)
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			w.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			w.Fatal(err)
		}
		base, _, _ := strings.Cut(name, ":")
		id := identity{base, st.Ino}
		found[id] = naive{id, string(content)}
	}
	return found
}

// content makes some nasty octets.
func (w *world) content() string {
	pieces := []string{"a", "\n", "\r\n", "\r", ".", "\n.", "\x00\xff", strings.Repeat("x", 2000), "Subject: y\n\n"}
	var b strings.Builder
	for range w.rng.IntN(12) {
		b.WriteString(pieces[w.rng.IntN(len(pieces))])
	}
	return b.String()
}

// pick gives one file, if there is any.
func (w *world) pick() (string, bool) {
	files := w.files()
	if len(files) == 0 {
		return "", false
	}
	return files[w.rng.IntN(len(files))], true
}

// flagged gives a name in cur/ for a file, with flags at random.
func (w *world) flagged(file string) string {
	_, name, _ := strings.Cut(file, "/")
	return "cur/" + baseOf(name) + ":2," + []string{"", "S", "RS", "FT", "a,b"}[w.rng.IntN(5)]
}

// step does one thing.
func (w *world) step() {
	file, some := w.pick()
	switch op := w.rng.IntN(20); {
	case op < 5:
		w.made++
		w.write(fmt.Sprintf("new/%d.M%dP1.host", 1700000000+w.rng.IntN(50), w.made), w.content())
	case op < 6:
		if _, err := w.Deliver(w.Context(), user, strings.NewReader(w.content())); err != nil {
			w.Fatal(err)
		}
	case op < 7:
		w.made++
		w.write(fmt.Sprintf("new/odd name %d %s", w.made, strings.Repeat("y", w.rng.IntN(100))), w.content())
	case op < 8:
		os.WriteFile(filepath.Join(w.path, "cur", ".hidden"), []byte("x"), 0o600)
	case !some:
	case op < 12: // flags, or a move; not over another file
		to := w.flagged(file)
		if _, err := os.Lstat(filepath.Join(w.path, to)); err != nil {
			w.rename(file, to)
		}
	case op < 13:
		w.remove(file)
	case op < 14:
		w.write(file, w.content())
	case op < 15: // another file under the same name
		to := w.flagged(file)
		if _, err := os.Lstat(filepath.Join(w.path, to)); err != nil {
			w.write(to, w.content())
		}
	case op < 16:
		to := w.flagged(file)
		if _, err := os.Lstat(filepath.Join(w.path, to)); err != nil {
			w.link(file, to)
		}
	case op < 17:
		if w.rng.IntN(2) == 0 {
			os.Remove(filepath.Join(w.path, indexName))
		} else {
			w.foreign(indexName, w.content())
		}
		w.index = false
	case op < 18:
		time.Sleep(2 * usual.tick) // directories settle
	default:
		w.session()
	}
}

// session logs in, checks everything, and perhaps removes something.
func (w *world) session() {
	w.Helper()
	want := w.survey()
	m := w.open()
	defer m.Close()
	w.compare(m, want)
	var marked []int
	for i := range m.Messages() {
		if w.rng.IntN(6) == 0 {
			marked = append(marked, i)
		}
	}
	if w.rng.IntN(3) > 0 {
		return
	}
	if file, some := w.pick(); some && w.rng.IntN(2) == 0 {
		to := w.flagged(file)
		if _, err := os.Lstat(filepath.Join(w.path, to)); err != nil {
			w.rename(file, to)
		}
	}
	if err := m.Remove(w.Context(), marked); err != nil {
		w.Fatalf("Remove: %v", err)
	}
	left := w.survey()
	ses := m.(*session)
	for i, r := range ses.records() {
		id := identity{r.base(), r.ino}
		if _, there := left[id]; there == slices.Contains(marked, i) {
			w.Errorf("message %d of %v, marked %v: there after Remove: %v", i, id, marked, there)
		}
	}
}

// compare checks a login against what a naive reader found.
func (w *world) compare(m maildrop.Maildrop, want map[identity]naive) {
	w.Helper()
	list, records := m.Messages(), m.(*session).records()
	if len(list) != len(want) {
		w.Errorf("%d messages are listed, want %d", len(list), len(want))
	}
	bases := make(map[string]int)
	for id := range want {
		bases[id.base]++
	}
	used := make(map[string]bool)
	for i, msg := range list {
		id := identity{records[i].base(), records[i].ino}
		n, found := want[id]
		if !found {
			w.Errorf("message %d, %v, is none that a naive reader finds", i, id)
			continue
		}
		if size, _ := maildrop.Size(strings.NewReader(n.content)); size != msg.Size {
			w.Errorf("size of %v is %d, want %d", id, msg.Size, size)
		}
		if got, err := read(w, m, i); err != nil || got != n.content {
			w.Errorf("%v reads as %.40q, error %v; want %.40q", id, got, err, n.content)
		}
		if used[msg.UID] || !validUID(msg.UID) {
			w.Errorf("UID %q is used twice, or is none", msg.UID)
		}
		used[msg.UID] = true
		if had := w.uid[id]; w.index && had != "" && had != msg.UID {
			w.Errorf("UID of %v was %q and is %q", id, had, msg.UID)
		}
		if bases[id.base] == 1 && !strings.HasPrefix(msg.UID, "poplin-") && msg.UID != id.base {
			w.Errorf("UID of %v is %q", id, msg.UID)
		}
		if !w.index && bases[id.base] == 1 && msg.UID != nameUID(id.base) {
			w.Errorf("UID of %v is %q without an index, want %q", id, msg.UID, nameUID(id.base))
		}
	}
	if w.index {
		var kept []string
		for _, uid := range w.order {
			if used[uid] {
				kept = append(kept, uid)
			}
		}
		if got := uidsOf(list); !slices.Equal(got[:min(len(kept), len(got))], kept) {
			w.Errorf("order is %q, want %q first, as before", got, kept)
		}
	}
	w.uid = make(map[identity]string)
	for i := range list {
		w.uid[identity{records[i].base(), records[i].ino}] = list[i].UID
	}
	w.order, w.index = uidsOf(list), true
}

// TestAgainstNaiveReader does random things to Maildirs, and compares each
// login with a reader that knows no index. A failure prints its seed.
func TestAgainstNaiveReader(t *testing.T) {
	for n := range 20 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%d-seed-%#x", n, seed), func(t *testing.T) {
			t.Parallel()
			b := newBox(t, Options{})
			b.terms.settling = usual.tick + usual.tick/2
			w := &world{box: b, rng: rand.New(rand.NewPCG(seed, 0))}
			for range 120 {
				w.step()
				if t.Failed() {
					return
				}
			}
			w.session()
		})
	}
}

// TestNeverFewer: while another program renames files as fast as it can, each
// login lists them all.
func TestNeverFewer(t *testing.T) {
	b := newBox(t, Options{})
	const count = 60
	paths := make([]string, count)
	for i := range paths {
		paths[i] = fmt.Sprintf("new/%d.M1P1.host", 1700000000+i)
		b.write(paths[i], "x")
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			i := n * 7 % count
			to := fmt.Sprintf("cur/%s:2,%s", filepath.Base(baseOf(paths[i])), []string{"", "S", "RS"}[n/count%3])
			if os.Rename(filepath.Join(b.path, paths[i]), filepath.Join(b.path, to)) == nil {
				paths[i] = to
			}
			time.Sleep(50 * time.Microsecond)
		}
	}()
	for range 60 {
		os.Remove(filepath.Join(b.path, indexName))
		m, err := b.Open(t.Context(), user)
		if err != nil {
			continue // refused, which loses nothing
		}
		if n := len(m.Messages()); n != count {
			t.Errorf("%d messages are listed, want %d", n, count)
		}
		m.Close()
	}
	close(stop)
	<-done
}
