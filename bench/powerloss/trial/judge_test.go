package trial

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/poplin-mail/poplin/bench/powerloss/disk"
)

// TestJudge: message 1 of user 0 was acknowledged at 10; a QUIT that removes it
// was sent at 20, and answered at 30.
func TestJudge(t *testing.T) {
	file := func(change func(*found)) []found {
		f := found{user: 0, id: 1, whole: true, known: true}
		change(&f)
		return []found{f}
	}
	here := file(func(*found) {})
	aside := file(func(f *found) { f.aside = true })
	torn := file(func(f *found) { f.whole = false })
	for name, c := range map[string]struct {
		files  []found
		moment int
		undo   bool
		want   Counts
	}{
		"nothing was promised":      {nil, 9, false, Counts{}},
		"there early":               {here, 9, false, Counts{}},
		"there":                     {here, 10, false, Counts{Checks: 1}},
		"lost at once":              {nil, 10, false, Counts{Checks: 1, Lost: 1}},
		"lost later":                {nil, 19, false, Counts{Checks: 1, Lost: 1}},
		"gone before QUIT":          {nil, 20, false, Counts{Checks: 1, Lost: 1}},
		"gone after QUIT":           {nil, 21, false, Counts{Checks: 1}},
		"not gone yet":              {here, 29, false, Counts{Checks: 1}},
		"gone":                      {nil, 30, false, Counts{Checks: 1}},
		"back":                      {here, 30, false, Counts{Checks: 1, Returned: 1}},
		"aside too early":           {aside, 20, true, Counts{Checks: 1, Lost: 1}},
		"aside":                     {aside, 30, true, Counts{Checks: 1}},
		"back from aside":           {here, 30, true, Counts{Checks: 1, Returned: 1}},
		"neither there nor aside":   {nil, 30, true, Counts{Checks: 1, Lost: 1}},
		"neither, QUIT unanswered":  {nil, 25, true, Counts{Checks: 1, Lost: 1}},
		"twice":                     {append(here, here...), 10, false, Counts{Checks: 1, Double: 1}},
		"there and aside":           {append(here, aside...), 25, true, Counts{Checks: 1, Double: 1}},
		"torn":                      {torn, 10, false, Counts{Checks: 1, Torn: 1}},
		"torn though not promised":  {torn, 9, false, Counts{Torn: 1}},
		"empty":                     {file(func(f *found) { *f = found{} }), 10, false, Counts{Checks: 1, Torn: 1, Lost: 1}},
		"of somebody else":          {file(func(f *found) { f.user = 1 }), 9, false, Counts{Stray: 1}},
		"of somebody else, aside":   {file(func(f *found) { f.user, f.aside = 1, true }), 9, true, Counts{Stray: 1}},
		"message that was not sent": {file(func(f *found) { f.id = 2 }), 9, false, Counts{Stray: 1}},
	} {
		b := newBooks(disk.NewLog(nil))
		b.sending([]int{0})
		key := copyKey{0, 1}
		b.answered(key, 10, "250 2.0.0 taken")
		b.quitting([]copyKey{key}, 20)
		b.quitting([]copyKey{key}, 25)
		b.quit([]copyKey{key}, 30)
		got, faults := b.judge(c.files, c.moment, c.undo)
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if len(faults) != got.faults() {
			t.Errorf("%s: the faults are %q", name, faults)
		}
	}
}

func TestBooks(t *testing.T) {
	b := newBooks(disk.NewLog(nil))
	id := b.sending([]int{1, 2})
	b.answered(copyKey{1, id}, 5, "250 2.0.0 taken")
	b.answered(copyKey{2, id}, 6, "452 4.2.2 full")
	b.quitting([]copyKey{{1, id}}, 7)
	b.quit([]copyKey{{1, id}}, 8)
	if b.count != (Counts{Acknowledged: 1, Refused: 1, Removed: 1}) || b.refusal != "452 4.2.2 full" {
		t.Errorf("the books say %+v, refusal %q", b.count, b.refusal)
	}
	b.quit(nil, 9)
	if !slices.Equal(b.acks, []int{5}) || !slices.Equal(b.quits, []int{8}) {
		t.Errorf("acknowledgements came at %d and %d", b.acks, b.quits)
	}
	if c, _ := b.judge(nil, 100, false); c != (Counts{Checks: 1}) {
		t.Errorf("what was refused is missed: %+v", c)
	}
}

func TestVerdict(t *testing.T) {
	shown := Counts{Acknowledged: 1, Removed: 1, Checks: 1, Served: 1}
	if err := (&Result{Counts: shown}).Verdict(); err != nil {
		t.Error(err)
	}
	for _, harm := range []Counts{{Lost: 1}, {Torn: 1}, {Returned: 1}, {Double: 1}, {Stray: 1}, {Broken: 1}, {Acknowledged: -1}, {Removed: -1}, {Checks: -1}, {Served: -1}} {
		harm.add(shown)
		if (&Result{Counts: harm}).Verdict() == nil {
			t.Errorf("%+v is no fault", harm)
		}
	}
}

func TestLetter(t *testing.T) {
	numbers := rand.New(rand.NewPCG(1, 2))
	for id := range uint64(50) {
		letter := newLetter(id, numbers)
		if bytes.Contains(letter, []byte("\n.")) {
			t.Fatal("a line begins with a dot")
		}
		stored := append([]byte("Return-Path: <sender@example.org>\n"), letter...)
		for _, form := range [][]byte{stored, bytes.ReplaceAll(stored, []byte("\n"), []byte("\r\n"))} {
			if got, whole, ok := readLetter(form); got != id || !whole || !ok {
				t.Fatalf("message %d is read as %d, whole %t, known %t", id, got, whole, ok)
			}
		}
		for cut := 0; cut < len(stored); cut += 1 + len(stored)/50 {
			if _, whole, _ := readLetter(stored[:cut]); whole {
				t.Fatalf("the first %d octets of message %d are taken for the whole", cut, id)
			}
		}
		changed := bytes.Clone(stored)
		changed[len(changed)-2] ^= 1
		if _, whole, ok := readLetter(changed); whole || !ok {
			t.Fatal("a changed message is taken for whole")
		}
		if !bytes.HasSuffix(sent(letter), []byte("\r\n.\r\n")) {
			t.Fatal("no dot ends the message")
		}
	}
}

func TestReadMaildirs(t *testing.T) {
	mail := t.TempDir()
	letter := newLetter(7, rand.New(rand.NewPCG(1, 2)))
	for user, name := range []string{"new/a", "cur/b:2,S", "poplin.aside/1.2.new/c", "tmp/d"} {
		path := filepath.Join(maildropDir(mail, user), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, letter, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readMaildirs(mail)
	want := []found{
		{user: 0, name: "new/a", id: 7, whole: true, known: true},
		{user: 1, name: "cur/b:2,S", id: 7, whole: true, known: true},
		{user: 2, name: "poplin.aside/1.2.new/c", aside: true, id: 7, whole: true, known: true},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("found %+v, error %v", got, err)
	}
}
