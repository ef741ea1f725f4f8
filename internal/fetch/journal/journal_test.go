package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

var at = time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)

// all has a record of each kind.
var all = []Record{
	Intent{Key{"a", 0}, "maildir:/m x", "00ff", 120, "abcd", "note \"quoted\"\\", Fact{100, "beef", false}},
	Done{Key{"a", 0}, "maildir:/m x", Fact{100, "beef", false}, at},
	Intent{Key{"a", 1}, "mbox:/m", "01ff", 5, "abce", "", Fact{-1, "", true}},
	Undone{Key{"a", 1}, "mbox:/m"},
	Failed{Key{`"b`, 0}, "mbox:/m", "too\nlarge", at, false},
	Failed{Key{`"b`, 0}, "mbox:/m", "larger", at, false},
	Failed{Key{"c", 0}, "", "-ERR no", at, false},
	Forgiven{Key{"c", 0}},
	Done{Key{"d", 0}, "mbox:/m", Fact{7, "cafe", true}, at},
	Marked{Key{"d", 0}},
	Gone{Key{"d", 0}, at},
	Done{Key{"e", 0}, "mbox:/m", Fact{7, "cafe", false}, at},
	Gone{Key{"e", 0}, at},
	Back{Key{"e", 0}},
	Sized{Key{"e", 0}, 9},
	Done{Key{"f", 0}, "mbox:/m", Fact{7, "", false}, at},
	Renewed{Key{"f", 0}},
	Done{Key{"g", 0}, "maildir:/m x", Fact{7, "aaaa", false}, at},
	Moved{Key{"g", 0}, Key{"h", 2}},
	Intent{Key{"i", 0}, "mbox:/m", "02ff", 5, "abce", "12", Fact{4, "", false}},
	Failed{Key{"j", 0}, "mbox:/m", "ugly", at, false},
	Failed{Key{"j", 0}, "mbox:/m", "full", at, true}, // counted apart
	Failed{Key{"j", 0}, "mbox:/m", "full", at, true},
	Intent{Key{"k", 0}, "smtp:x", "03ff", 5, "abce", "", Fact{4, "", false}},
	Broken{Failed{Key{"k", 0}, "smtp:x", "EOF", at, false}},
}

// want is what they come to.
const want = `a 0: done maildir:/m x, {100 beef false}
a 1: {0  false}
"b 0: {0  false}, failed {mbox:/m larger 2 2026-11-28 10:00:00 +0000 UTC false}
c 0: {0  false}
d 0: done mbox:/m, {7 cafe true}, marked, gone 2026-11-28 10:00:00 +0000 UTC
e 0: done mbox:/m, {9 cafe false}
f 0: {0  false}, generation 1
h 2: done maildir:/m x, {7 aaaa false}
i 0: {0  false}, intent {{i 0} mbox:/m 02ff 5 abce 12 {4  false}}
j 0: {0  false}, failed {mbox:/m full 2 2026-11-28 10:00:00 +0000 UTC true}
k 0: {0  false}, failed {smtp:x EOF 1 2026-11-28 10:00:00 +0000 UTC false}, intent {{k 0} smtp:x 03ff 5 abce  {4  false}}
`

// told writes down what a journal knows.
func told(j *Journal) string {
	var lines []string
	j.View(func(e *Entry) {
		var b strings.Builder
		fmt.Fprintf(&b, "%s %d:", e.UID, e.Index)
		for _, t := range []string{"maildir:/m x", "mbox:/m"} {
			if e.Done(t) {
				fmt.Fprintf(&b, " done %s,", t)
			}
		}
		fmt.Fprintf(&b, " %v", e.Fact)
		for _, f := range e.Failures {
			fmt.Fprintf(&b, ", failed %v", f)
		}
		if e.Generation > 0 {
			fmt.Fprintf(&b, ", generation %d", e.Generation)
		}
		for _, i := range e.Intents {
			fmt.Fprintf(&b, ", intent %v", i)
		}
		if e.Marked {
			b.WriteString(", marked")
		}
		if !e.Gone.IsZero() {
			fmt.Fprintf(&b, ", gone %v", e.Gone)
		}
		lines = append(lines, b.String()+"\n")
	})
	slices.SortFunc(lines, func(a, b string) int {
		return strings.Compare(strings.TrimPrefix(a, `"`), strings.TrimPrefix(b, `"`))
	})
	return strings.Join(lines, "")
}

func open(t testing.TB, dir string) *Journal {
	t.Helper()
	j, err := Open(disk.OS{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// TestRecords: what is written is known, also by the next who opens it, and
// after it was written anew.
func TestRecords(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	key := j.Key()
	for _, r := range all {
		if err := j.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if got := told(j); got != want {
		t.Errorf("it knows\n%swant\n%s", got, want)
	}
	j.Close()
	for _, what := range []string{"opened again", "written anew", "opened behind that"} {
		j = open(t, dir)
		if what == "written anew" {
			if err := j.rewrite(); err != nil {
				t.Fatal(err)
			}
			if err := j.Write(Marked{Key{"d", 0}}); err != nil {
				t.Fatal(err)
			}
		}
		want := want
		if what == "opened behind that" { // of which nothing is known is not there
			want = strings.Replace(strings.Replace(want, "a 1: {0  false}\n", "", 1), "c 0: {0  false}\n", "", 1)
		}
		if got := told(j); got != want || !bytes.Equal(key, j.Key()) {
			t.Errorf("%s it knows\n%swant\n%s", what, got, want)
		}
		j.Close()
	}
	info, err := os.Stat(filepath.Join(dir, fileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, error %v", info.Mode(), err)
	}
}

// TestDamage: a journal that is cut anywhere knows what its whole frames said;
// one that is changed anywhere but in its last frame is refused, and left as it
// is.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	j := open(t, dir)
	var ends []int
	var states []string
	note := func() {
		info, _ := os.Stat(path)
		ends, states = append(ends, int(info.Size())), append(states, told(j))
	}
	note()
	for _, r := range all[:6] {
		if err := j.Write(r); err != nil {
			t.Fatal(err)
		}
		note()
	}
	j.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(content []byte) (string, error) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := Open(disk.OS{}, dir)
		if err != nil {
			if left, _ := os.ReadFile(path); !bytes.Equal(left, content) {
				t.Error("a journal that was refused was changed")
			}
			return "", err
		}
		defer j.Close()
		if err := j.Write(Marked{Key{"z", 0}}); err != nil { // it goes on
			t.Fatal(err)
		}
		return strings.Replace(told(j), "z 0: {0  false}, marked\n", "", 1), nil
	}
	for cut := range whole {
		got, err := try(whole[:cut])
		last, _ := slices.BinarySearch(ends, cut+1)
		switch last--; {
		case last < 0 && !errors.As(err, new(*DamagedError)):
			t.Fatalf("cut at %d: error %v", cut, err)
		case last >= 0 && (err != nil || got != states[last]):
			t.Fatalf("cut at %d it knows\n%serror %v, want\n%s", cut, got, err, states[last])
		}
	}
	lastFrame := ends[len(ends)-2]
	for i := range whole {
		for _, flip := range []byte{1, 0x80, whole[i]} { // the last makes it 0
			content := bytes.Clone(whole)
			content[i] ^= flip
			got, err := try(content)
			switch {
			case i < lastFrame && !errors.As(err, new(*DamagedError)):
				t.Fatalf("octet %d changed by %x: it knows\n%serror %v", i, flip, got, err)
			case i >= lastFrame && (err != nil || got != states[len(states)-2]):
				t.Fatalf("octet %d changed by %x: it knows\n%serror %v", i, flip, got, err)
			}
		}
	}
	// A frame is missing, stands twice, or comes from elsewhere.
	for name, content := range map[string][]byte{
		"missing": slices.Concat(whole[:ends[1]], whole[ends[2]:]),
		"twice":   slices.Concat(whole[:ends[2]], whole[ends[1]:]),
		"empty":   nil,
	} {
		if got, err := try(content); !errors.As(err, new(*DamagedError)) {
			t.Errorf("a frame is %s: it knows\n%serror %v", name, got, err)
		}
	}
	if _, err := try(slices.Concat(whole, make([]byte, 4096))); err != nil {
		t.Errorf("zeros behind the end, as after a power loss: %v", err)
	}
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	if _, err := Open(disk.OS{}, dir); !errors.Is(err, ErrInUse) {
		t.Errorf("the second Open: %v", err)
	}
	j.Close()
	open(t, dir)
}

// TestForget: what is gone for long is forgotten, and a long file becomes short.
func TestForget(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	var records []Record
	for i := range 2000 {
		k := Key{fmt.Sprint(i), 0}
		records = append(records, Done{k, "mbox:/m", Fact{1, "", false}, at}, Marked{k}, Gone{k, at.Add(time.Duration(i) * time.Hour)})
	}
	if err := j.Write(records...); err != nil {
		t.Fatal(err)
	}
	if err := j.Forget(at.Add(1990 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	j.Close()
	j = open(t, dir)
	if n := strings.Count(told(j), "\n"); n != 10 || j.size > 2000 {
		t.Errorf("%d messages are known in %d octets", n, j.size)
	}
}

// TestTargets: more targets than there is room for are seen beforehand.
func TestTargets(t *testing.T) {
	j := open(t, t.TempDir())
	for i := range MaxTargets {
		if err := j.Write(Done{Key{"a", 0}, fmt.Sprint(i), Fact{}, at}); err != nil {
			t.Fatal(err)
		}
	}
	if !j.Room([]string{"3", "4"}) || j.Room([]string{"3", "x"}) {
		t.Error("Room is wrong")
	}
	j.Look(Key{"a", 0}, func(e *Entry) {
		if !e.Done("0") || !e.Done("63") || e.Done("x") {
			t.Error("Done is wrong")
		}
	})
}

func FuzzOpen(f *testing.F) {
	j := open(f, f.TempDir())
	for _, r := range all {
		j.Write(r)
	}
	seed, _ := os.ReadFile(j.path())
	f.Add(seed)
	f.Add(seed[:100])
	f.Add([]byte("@0 99999999999999999999 0\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fileName), content, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := Open(disk.OS{}, dir)
		if err != nil {
			return
		}
		first := told(j)
		j.Close()
		if j, err = Open(disk.OS{}, dir); err != nil || told(j) != first {
			t.Errorf("it cannot be opened again, or knows something else: %v", err)
		}
		if err == nil {
			j.Close()
		}
	})
}
