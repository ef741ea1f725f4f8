package maildir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// names are as the programs make them, oldest first, with their times.
var names = []struct {
	by, name  string
	sec, usec int64
}{
	{"qmail", "1700000000.12345.mail.example.org", 1700000000, 0},
	{"Postfix 3.7", "1700000001.Vfd01Ic0a3bM123456.mail.example.org", 1700000001, 123456},
	{"Exim 4.96", "1700000002.H234567P4711.mail.example.org", 1700000002, 234567},
	{"Dovecot 2.3", "1700000003.M345678P4711.mail,S=1234,W=1260:2,RS", 1700000003, 345678},
	{"mutt 2.2", "1700000004.R7712345678901234567.mail.example.org:2,S", 1700000004, 0},
	{"mutt 1.5", "1700000005.4711_1.mail.example.org:2,", 1700000005, 0},
	{"maildrop 3", "1700000006.M56P77V000000000000FD01I000000000003F2A1_0.mail.example.org,S=77", 1700000006, 56},
	{"Dovecot keywords", "1700000007.M7P7.mail:2,FSab", 1700000007, 7},
	{"; and ! are no separators", "1700000008.M8P8;a!b.mail;2,S:2,S", 1700000008, 8},
	{"escaped slash and colon", `1700000009.M9P9.a\057b\072c`, 1700000009, 9},
}

func TestNamesOfOthers(t *testing.T) {
	b := newBox(t, Options{})
	var want []string
	for i, n := range slices.Backward(names) {
		dir := []string{"new/", "cur/"}[i%2]
		b.write(dir+n.name, strings.Repeat("x", i))
	}
	for _, n := range names {
		base, _, _ := strings.Cut(n.name, ":")
		want = append(want, base)
	}
	for i, m := range b.list() {
		n := names[i]
		if m.UID != nameUID(want[i]) || len(want[i]) <= 70 && m.UID != want[i] {
			t.Errorf("%s: UID %q, want %q", n.by, m.UID, want[i])
		}
		if at := time.Unix(n.sec, n.usec*1000); !m.Received.Equal(at) {
			t.Errorf("%s: received %v, want %v", n.by, m.Received, at)
		}
	}
	// New/ -> cur/ and flags change nothing, with the index and without.
	before := b.uids()
	for _, file := range b.files() {
		_, name, _ := strings.Cut(file, "/")
		b.rename(file, "cur/"+baseOf(name)+":2,ST")
	}
	b.wantUIDs("after flags changed", before...)
	b.remove(indexName)
	b.wantUIDs("after the index was lost", before...)
}

// TestOtherNames: UIDs of names that are none, and an order where they hold
// no time.
func TestOtherNames(t *testing.T) {
	b := newBox(t, Options{})
	for i, name := range []string{"plain.eml", strings.Repeat("l", 71), "with blank", "h\xc3\xa9", "12.x", "-1700000000.x", ":2,S", "99999999999999999999.x"} {
		b.write("new/"+name, "x")
		at := time.Unix(1600000000+int64(i), 0)
		if err := os.Chtimes(filepath.Join(b.path, "new", name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	list := b.list()
	hash := nameUID("with blank")
	if got := uidsOf(list); got[0] != "plain.eml" || got[2] != hash || got[4] != "12.x" || got[5] != "-1700000000.x" || got[7] != "99999999999999999999.x" {
		t.Errorf("UIDs are %q, want the names, hashes where they cannot be UIDs, in the order of the files' times", got)
	}
	for i, m := range list {
		if !validUID(m.UID) {
			t.Errorf("UID %q is not valid", m.UID)
		}
		if m.Received.Unix() != 1600000000+int64(i) {
			t.Errorf("message %d received %v, want the file's time", i, m.Received)
		}
	}
	b.remove(indexName)
	b.wantUIDs("without the index", uidsOf(list)...)
}

// TestOrder: known messages keep their numbers, new ones come last even where
// their names are old.
func TestOrder(t *testing.T) {
	b := newBox(t, Options{})
	b.write("new/1700000005.M1P1.host", "x")
	b.write("new/1700000006.M1P1.host", "x")
	b.wantUIDs("first", "1700000005.M1P1.host", "1700000006.M1P1.host")
	b.write("cur/1700000001.M1P1.host:2,S", "x")
	b.write("new/1700000009.M2P1.host", "x")
	b.write("new/1700000009.M1P1.host", "x")
	want := []string{"1700000005.M1P1.host", "1700000006.M1P1.host", "1700000001.M1P1.host", "1700000009.M1P1.host", "1700000009.M2P1.host"}
	b.wantUIDs("with new ones", want...)
	b.remove("new/1700000006.M1P1.host")
	b.wantUIDs("without one", slices.Delete(want, 1, 2)...)
}

// TestNoMessages: only regular files that are not hidden are messages.
func TestNoMessages(t *testing.T) {
	b := newBox(t, Options{})
	b.write("new/1700000000.M1P1.host", "x")
	b.write("cur/.hidden", "x")
	new, cur := filepath.Join(b.path, "new"), filepath.Join(b.path, "cur")
	for _, err := range []error{
		unix.Mkfifo(new+"/1700000001.fifo", 0o600),
		os.Mkdir(new+"/1700000002.folder", 0o700),
		os.Symlink("/etc/passwd", cur+"/1700000003.link:2,S"),
		os.Symlink("1700000000.M1P1.host", new+"/1700000004.link"),
		os.Symlink("nowhere", cur+"/1700000005.link"),
		unix.Mknod(cur+"/1700000006.socket", unix.S_IFSOCK|0o600, 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b.wantUIDs("among other things", "1700000000.M1P1.host")
	// The same, when one takes a message's place after it was looked at.
	for _, e := range []entry{{inNew, "1700000001.fifo"}, {inNew, "1700000002.folder"}, {inCur, "1700000003.link:2,S"}, {inCur, "1700000006.socket"}} {
		f, err := b.openFolder([]string{user}, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.measure(t.Context(), e); !goneOrOther(err) {
			t.Errorf("%s: error %v, want one that says it is no message", e.name, err)
		}
		f.close()
	}
}

// TestTwoNames: a file with two names is one message, while a program moves
// it by link and unlink, and all its names are removed.
func TestTwoNames(t *testing.T) {
	b := newBox(t, Options{})
	b.write("new/1700000000.M1P1.host", "x")
	b.write("new/1700000001.M1P1.host", "y")
	b.link("new/1700000000.M1P1.host", "cur/1700000000.M1P1.host:2,S")
	b.link("new/1700000001.M1P1.host", "tmp/other")
	b.wantUIDs("one file with two names", "1700000000.M1P1.host", "1700000001.M1P1.host")
	m := b.open()
	if err := m.Remove(t.Context(), []int{0, 1}); err != nil {
		t.Fatal(err)
	}
	m.Close()
	if files := b.files(); len(files) != 0 {
		t.Errorf("after Remove there is %q", files)
	}
}

// TestOneNameTwice: two files with one name are two messages with two UIDs,
// which they keep when one goes.
func TestOneNameTwice(t *testing.T) {
	b := newBox(t, Options{})
	b.write("new/1700000000.M1P1.host", "first")
	b.write("cur/1700000000.M1P1.host:2,S", "second one")
	list := b.list()
	if len(list) != 2 || list[0].UID == list[1].UID {
		t.Fatalf("listed are %v, want two messages", list)
	}
	m := b.open()
	first, _ := read(t, m, 0)
	if err := m.Remove(t.Context(), []int{0}); err != nil {
		t.Fatal(err)
	}
	m.Close()
	left := b.list()
	if len(left) != 1 || left[0] != list[1] {
		t.Errorf("after %q was removed there is %v, want %v", first, left, list[1:])
	}
	if second, err := read(t, b.open(), 0); err != nil || second == first {
		t.Errorf("the message that stayed is %q, error %v", second, err)
	}
}

func TestSizesOnceRead(t *testing.T) {
	b := newBox(t, Options{})
	b.write("cur/1700000000.M1P1.host,S=1,W=2:2,S", "a\nb\nc")
	b.write("new/1700000001.M1P1.host,S=99", "")
	big := strings.Repeat("0123456789abcde\n", 20_000)
	b.write("new/1700000002.M1P1.host", big)
	want := []int64{9, 0, int64(len(big)) + 20_000}
	for range 2 {
		for i, m := range b.list() {
			if m.Size != want[i] {
				t.Errorf("size of %s is %d, want %d: that of the file, not of its name", m.UID, m.Size, want[i])
			}
		}
	}
	// "A second login reads no message."
	b.hook.reset(nil)
	if b.list(); b.hook.count("open 17") != 0 || b.hook.count("readDir") == 0 {
		t.Errorf("second login, at once: calls were %q, want a listing and no message opened", b.hook.log)
	}
	b.rename("new/1700000002.M1P1.host", "cur/1700000002.M1P1.host:2,S")
	b.hook.reset(nil)
	if b.list(); b.hook.count("open 17") != 0 {
		t.Errorf("login after a move: calls were %q, want no message opened", b.hook.log)
	}
}

// TestPollReadsNoDirectory: an unchanged Maildir is known by the times of
// new/ and cur/, once these are old enough to be believed.
func TestPollReadsNoDirectory(t *testing.T) {
	b := newBox(t, Options{})
	b.terms.settling = 2 * usual.tick
	want := fill(b)
	b.list()
	b.hook.reset(nil)
	if b.list(); b.hook.count("readDir") == 0 {
		t.Error("a directory that changed just now was not read again: a change in the same clock tick would be missed")
	}
	time.Sleep(3 * usual.tick)
	b.list()
	b.hook.reset(nil)
	b.wantUIDs("unchanged", want...)
	if b.hook.count("readDir") != 0 || b.hook.count("lstat 17") != 0 || b.hook.count("open 17") != 0 {
		t.Errorf("unchanged Maildir: calls were %q", b.hook.log)
	}
	b.write("new/1700000009.M1P1.host", "x")
	b.wantUIDs("changed", append(want, "1700000009.M1P1.host")...)
	b.remove("cur/" + "1700000001.M1P1.host:2,S")
	b.wantUIDs("changed again", append(slices.Delete(want, 1, 2), "1700000009.M1P1.host")...)
}
