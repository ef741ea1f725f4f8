package maildir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/poplin-mail/poplin/internal/wire"
	"github.com/poplin-mail/poplin/maildrop"
)

// strange are messages as another store may have had them.
func strange() []maildrop.Message {
	day := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	list := []maildrop.Message{
		{UID: "01HQTB5N000000000000000000", Received: day}, {UID: "UID2-2", Received: day}, {UID: strings.Repeat("~", 70), Received: day},
		{UID: ".", Received: day.Add(-time.Hour)}, {UID: "a/../b", Received: day.Add(time.Hour)}, {UID: "1:2,S", Received: day},
		{UID: "1709208000.M5P1Q1.host", Received: time.Unix(1709208000, 5000)}, // what its file can be named
		{UID: "1709208001.M5P1Q1.host", Received: day.Add(time.Hour)},          // says another time
		{UID: "z", Received: day.Add(2 * time.Hour)},
	}
	for i := range list {
		list[i].Size = int64(len(letter(i)))
	}
	return list
}

func letter(i int) string { return fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", i, strings.Repeat("x", i)) }

// take takes messages in, but for those that leave says.
func (b *box) take(list []maildrop.Message, leave func(i int) bool) error {
	m, err := b.Open(context.Background(), user)
	if err != nil {
		return err
	}
	defer m.Close()
	i := m.(maildrop.Importer)
	in, err := i.Import(context.Background(), list)
	if err != nil {
		return err
	}
	here := uidsOf(m.Messages())
	for n := range list {
		if slices.Contains(here, list[n].UID) || leave(n) {
			continue
		}
		if err := in.Put(context.Background(), n, strings.NewReader(letter(n))); err != nil {
			return err
		}
	}
	if err := i.Relist(context.Background()); err != nil {
		return err
	}
	return i.Settle(context.Background(), true)
}

func none(int) bool { return false }

// TestImport: messages lie as they did elsewhere, with their unique-ids and
// times, also where some are taken in later than others. Without the index the
// unique-ids are the same, and the order is that of the times.
func TestImport(t *testing.T) {
	b := newBox(t, Options{Hostname: "host"})
	list := strange()
	for n, leave := range []func(i int) bool{func(i int) bool { return i%3 != 1 }, func(i int) bool { return i == 0 || i == 3 }, none} {
		if err := b.take(list, leave); err != nil {
			t.Fatalf("import %d: %v", n, err)
		}
	}
	r, err := b.Deliver(t.Context(), user, strings.NewReader("new\n"))
	if err != nil {
		t.Fatal(err)
	}
	all := append(uidsOf(list), r.UID)
	b.wantUIDs("after the imports", all...)
	m := b.open()
	for i, msg := range m.Messages()[:len(list)] {
		text, err := read(t, m, i)
		if err != nil || text != strings.ReplaceAll(letter(i), "\r\n", "\n") || msg.Size != list[i].Size {
			t.Errorf("message %q is %.40q, %d octets, error %v", msg.UID, text, msg.Size, err)
		}
		if msg.Received.UnixMilli() != list[i].Received.UnixMilli() {
			t.Errorf("message %q came %v, want %v", msg.UID, msg.Received, list[i].Received)
		}
	}
	m.Close()
	files := b.files()
	if !slices.Contains(files, "new/1709208000.M5P1Q1.host") || slices.Contains(files, "new/1709208001.M5P1Q1.host") {
		t.Errorf("files are %q", files)
	}
	for _, name := range files[:len(files)-1] {
		info, err := os.Stat(filepath.Join(b.path, name))
		if err != nil || time.Since(info.ModTime()) < 24*time.Hour {
			t.Errorf("%s is of %v, error %v", name, info.ModTime(), err)
		}
	}
	if u, err := b.Expire(t.Context(), user, list[0].Received, true); err != nil || u.Messages != 1 {
		t.Errorf("older than the first are %+v, %v", u, err)
	}
	b.rename(files[0], strings.Replace(files[0], "new/", "cur/", 1)+":2,S") // by a mail program
	b.remove(indexName)
	byTime := slices.Clone(list)
	slices.SortStableFunc(byTime, func(a, b maildrop.Message) int { return a.Received.Compare(b.Received) })
	b.wantUIDs("without the index", append(uidsOf(byTime), r.UID)...)
}

// TestImportOrder: messages of one moment stay in order without the index, and
// so do all, whatever their times, between an import that broke off and the next.
func TestImportOrder(t *testing.T) {
	b := newBox(t, Options{Hostname: "host"})
	b.terms.tick, b.terms.settling, b.terms.young = 0, 0, 0
	var list []maildrop.Message
	for i := range 30 {
		list = append(list, maildrop.Message{UID: fmt.Sprintf("UID%d", i), Received: time.Unix(1700000000, 0), Size: int64(len(letter(i)))})
	}
	if err := b.take(list, none); err != nil {
		t.Fatal(err)
	}
	b.remove(indexName)
	b.wantUIDs("without the index", uidsOf(list)...)

	old := maildrop.Message{UID: "old", Received: time.Unix(1600000000, 0), Size: int64(len(letter(30)))}
	list = append(list, old)
	m := b.open()
	in, err := m.(maildrop.Importer).Import(t.Context(), list)
	if err == nil {
		err = in.Put(t.Context(), 30, strings.NewReader(letter(30)))
	}
	if err != nil {
		t.Fatal(err)
	}
	m.Close() // the process dies
	b.remove(indexName)
	time.Sleep(2 * time.Millisecond)
	b.wantUIDs("by another session", uidsOf(list)...)
	if err := b.take(list, none); err != nil {
		t.Fatal(err)
	}
	b.wantUIDs("after the next import", uidsOf(list)...)
}

// TestImportRefuses: what cannot be taken in as it should, and names that are
// taken.
func TestImportRefuses(t *testing.T) {
	b := newBox(t, Options{Hostname: "host"})
	b.write("new/1709208000.M5P1Q1.host", "a\n")
	m := b.open()
	i := m.(maildrop.Importer)
	for _, uid := range []string{"", "a b", "\x7f", "ä", strings.Repeat("x", 71)} {
		if _, err := i.Import(t.Context(), []maildrop.Message{{UID: uid}}); !errors.Is(err, maildrop.ErrPermanent) {
			t.Errorf("the unique-id %q: %v", uid, err)
		}
	}
	in, err := i.Import(t.Context(), []maildrop.Message{{UID: "x", Size: 3}, {UID: "1709208002.M5P1Q1.host", Size: 3, Received: time.Unix(1709208002, 5000)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "xx", "xx\r\n"} {
		if err := in.Put(t.Context(), 0, strings.NewReader(text)); !errors.Is(err, maildrop.ErrPermanent) {
			t.Errorf("%q for 3 octets: %v", text, err)
		}
	}
	if err := in.Put(t.Context(), 0, iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that breaks off: %v", err)
	}
	if err := in.Put(t.Context(), 2, strings.NewReader("x")); err == nil {
		t.Error("a message that is not in the list is taken")
	}
	b.write("new/1709208002.M5P1Q1.host", "somebody else's\n")
	if err := in.Put(t.Context(), 1, strings.NewReader("x\n")); !errors.Is(err, maildrop.ErrTemporary) {
		t.Errorf("the name of a file that is there: %v", err)
	}
	if err := i.Relist(t.Context()); err != nil || len(m.Messages()) != 2 {
		t.Errorf("there are %v, %v", m.Messages(), err)
	}
	if left, _ := os.ReadDir(filepath.Join(b.path, "tmp")); len(left) != 0 {
		t.Errorf("tmp/ holds %v", left)
	}
	for _, key := range []string{"view-a", "view-b"} {
		if err := i.SetNote(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
	}
	b.write("poplin.note-view-c.tmp", "")
	keys, err := i.NoteKeys(t.Context())
	slices.Sort(keys)
	if err != nil || !slices.Equal(keys, []string{"view-a", "view-b"}) {
		t.Errorf("notes %q, %v", keys, err)
	}
}

// TestImportFaults: whatever call fails, an import that follows ends it: each
// message is there once, whole, in its place, and nothing else has gone.
func TestImportFaults(t *testing.T) {
	everyCall(t, func(t *testing.T, killed bool, fail func(int, string, string) error) int {
		b := newBox(t, Options{Hostname: "host"})
		b.terms.tick, b.terms.young = time.Hour, time.Hour // on any machine
		list := strange()[:4]
		b.write("new/1600000000.M1P1.host", "a\n")
		b.list()
		kept := false // what is in tmp/, for want of a call that removes it
		b.hook.reset(func(call int, op, name string) error {
			err := fail(call, op, name)
			kept = kept || err != nil && op == "unlink"
			return err
		})
		err := b.take(list, func(i int) bool { return i == 1 })
		calls := b.hook.calls
		b.leaks()
		b.hook.reset(nil)
		if err != nil && !errors.Is(err, maildrop.ErrTemporary) && !errors.Is(err, maildrop.ErrPermanent) {
			t.Errorf("error %v", err)
		}
		if err := b.take(list, none); err != nil {
			t.Fatalf("the import after it: %v", err)
		}
		b.wantUIDs("after both", append([]string{"1600000000.M1P1.host"}, uidsOf(list)...)...)
		m := b.open()
		for i := range list {
			if text, err := read(t, m, i+1); err != nil || wireOf(text) != letter(i) {
				t.Errorf("message %d reads as %q, error %v", i, text, err)
			}
		}
		if left, _ := os.ReadDir(filepath.Join(b.path, "tmp")); len(left) != 0 && !killed && !kept {
			t.Errorf("tmp/ holds %v", left)
		}
		return calls
	})
}

// TestPowerLossImport: what was taken in survives power loss, with its
// unique-id.
func TestPowerLossImport(t *testing.T) {
	b := newPowerBox(t)
	b.deliver("The first.\n", powerUsers[0])
	m, err := b.Open(t.Context(), powerUsers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	in, err := m.(maildrop.Importer).Import(t.Context(), []maildrop.Message{{UID: "UID1", Size: 13, Received: time.Unix(1700000000, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Put(t.Context(), 0, strings.NewReader("The second.\r\n")); err != nil {
		t.Fatal(err)
	}
	b.there[powerUsers[0]+" The second.\n"] = true
	b.fail()
	left := t.TempDir()
	b.crash(left, func() bool { return false })
	s, err := New(Options{Path: left + "/{domain}/{local}"})
	if err != nil {
		t.Fatal(err)
	}
	after, err := s.Open(t.Context(), powerUsers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if unsettled, err := after.(*session).unsettled(); !unsettled || err != nil {
		t.Errorf("after power loss the maildrop is settled, error %v", err)
	}
	if uids := uidsOf(after.Messages()); len(uids) != 2 || !slices.Contains(uids, "UID1") {
		t.Errorf("after power loss the unique-ids are %q", uids)
	}
}

func wireOf(text string) string {
	var b bytes.Buffer
	w := wire.NewCRLFWriter(&b)
	io.WriteString(w, text)
	w.Finish()
	return b.String()
}

// FuzzLineReader: the file has the same form on the wire as what it is made
// of, however that comes, and no CRLF without need.
func FuzzLineReader(f *testing.F) {
	for _, text := range []string{"", "a\r\nb\r\n", "\r\r\n", "\r\r\r\n\r\n", "\r", "a\r", "\n", "\r\n\r", "a\nb"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		whole, err := io.ReadAll(&lineReader{r: strings.NewReader(text), buf: make([]byte, 32)})
		if err != nil {
			t.Fatal(err)
		}
		split, err := io.ReadAll(&lineReader{r: iotest.OneByteReader(strings.NewReader(text)), buf: make([]byte, 32)})
		if err != nil || string(split) != string(whole) {
			t.Errorf("%q is %q, and %q octet by octet, error %v", text, whole, split, err)
		}
		if got := wireOf(string(whole)); got != wireOf(text) {
			t.Errorf("%q is written %q, and read %q", text, whole, got)
		}
		if !strings.Contains(text, "\r\r\n") && strings.Contains(string(whole), "\r\n") {
			t.Errorf("%q is written %q", text, whole)
		}
	})
}

// TestImportTakesNoPaths: what stands in poplin.uidl, or in the list of another
// server, and cannot be the name of a file is none: no message goes anywhere but
// into the Maildir, and each is seen there.
func TestImportTakesNoPaths(t *testing.T) {
	for _, base := range []string{"../../berta/new/x", "../cur/x", "/x", ".x", "..", "x:2,S", "x\x00"} {
		for name, list := range map[string]string{uidlName: string(encodeUIDL([]pair{{base, "u1"}, {"good", "u2"}})),
			"dovecot-uidlist": "3 V1 N9\n1 Pu1 :" + base + "\n2 Pu2 :good\n"} {
			if base == "x:2,S" && name != uidlName {
				continue // there it is the name of a file with flags
			}
			b := newBox(t, Options{Hostname: "host", UIDL: "dovecot"})
			if err := b.Create(t.Context(), "berta"); err != nil {
				t.Fatal(err)
			}
			b.foreign(name, list)
			taken := []maildrop.Message{{UID: "u1", Size: int64(len(letter(0)))}, {UID: "u2", Size: int64(len(letter(1)))}}
			if err := b.take(taken, none); err != nil {
				t.Errorf("%s with %q: %v", name, base, err)
			}
			b.wantUIDs(fmt.Sprintf("%s with %q", name, base), "u1", "u2")
			if all, err := filepath.Glob(filepath.Join(b.path, "../berta/new/*")); len(all) != 0 || err != nil {
				t.Errorf("%s with %q: another user has %q, error %v", name, base, all, err)
			}
			if files := b.files(); len(files) != 2 || !slices.Contains(files, "new/good") {
				t.Errorf("%s with %q: files are %q", name, base, files)
			}
		}
	}
}
