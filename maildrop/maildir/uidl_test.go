package maildir

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/maildrop"
)

// dovecotList is in the form that Dovecot 2.3.19 writes, with fields that
// other set-ups have.
const dovecotList = `3 V1795472266 N6 Gf7082d028abb046b9016000083ecc375
1 W17 :1700000000.M1P1.host
2 W17 S12 :1700000001.M1P1.host:2,S
3 Pkept-uid W17 :1700000002.M1P1.host
`

func (b *box) foreign(name, content string) {
	b.Helper()
	if err := os.WriteFile(filepath.Join(b.path, name), []byte(content), 0o600); err != nil {
		b.Fatal(err)
	}
}

func TestTakeOver(t *testing.T) {
	for _, c := range []struct {
		name string
		opts Options
		file string
		list string
		want []string
	}{
		{"dovecot", Options{UIDL: "dovecot"}, "dovecot-uidlist", dovecotList,
			[]string{"000000016b04bb8a", "000000026b04bb8a", "kept-uid", "1700000003.M1P1.host"}},
		{"dovecot, another format", Options{UIDL: "dovecot", UIDLFormat: "%v.%u-%012Xu.x"}, "dovecot-uidlist", dovecotList,
			[]string{"1795472266.1-000000000001.x", "1795472266.2-000000000002.x", "kept-uid", "1700000003.M1P1.host"}},
		{"dovecot, file names", Options{UIDL: "dovecot", UIDLFormat: "%f"}, "dovecot-uidlist", dovecotList,
			[]string{"1700000000.M1P1.host", "1700000001.M1P1.host", "kept-uid", "1700000003.M1P1.host"}},
		{"dovecot, version 1", Options{UIDL: "dovecot"}, "dovecot-uidlist", "1 77 3\n1 1700000000.M1P1.host:2,S\n2 1700000003.M1P1.host\n",
			[]string{"000000010000004d", "1700000001.M1P1.host", "1700000002.M1P1.host", "000000020000004d"}},
		{"dovecot, listed twice", Options{UIDL: "dovecot"}, "dovecot-uidlist", "3 V77 N3\n1 :1700000000.M1P1.host\n2 :1700000000.M1P1.host:2,S\n",
			[]string{"000000020000004d", "1700000001.M1P1.host", "1700000002.M1P1.host", "1700000003.M1P1.host"}},
		{"courier", Options{UIDL: "courier"}, "courierpop3dsizelist",
			"/2 4 77\n1700000000.M1P1.host 3 1:77\n1700000001.M1P1.host:2,S 4 2:76\n1700000002.M1P1.host 0 0:0\n1700000003.M1P1.host 4 3:0\n",
			[]string{"UID1-77", "UID2-76", "1700000002.M1P1.host", "UID3"}},
		{"courier, version 3", Options{UIDL: "courier"}, "courierpop3dsizelist", "/3 4 77\n1700000000.M1P1.host 3 1:77:0\n1700000003.M1P1.host 3 2:77:1\n",
			[]string{"UID1-77", "1700000001.M1P1.host", "1700000002.M1P1.host", "UID2-77"}},
		{"courier, version 1", Options{UIDL: "courier"}, "courierpop3dsizelist", "/1 4\n1700000000.M1P1.host 3 1\n",
			[]string{"UID1", "1700000001.M1P1.host", "1700000002.M1P1.host", "1700000003.M1P1.host"}},
		{"courier, sizes only", Options{UIDL: "courier"}, "courierpop3dsizelist", "1700000000.M1P1.host 3\n",
			[]string{"1700000000.M1P1.host", "1700000001.M1P1.host", "1700000002.M1P1.host", "1700000003.M1P1.host"}},
		{"courier, empty", Options{UIDL: "courier"}, "courierpop3dsizelist", "",
			[]string{"1700000000.M1P1.host", "1700000001.M1P1.host", "1700000002.M1P1.host", "1700000003.M1P1.host"}},
		{"none there", Options{UIDL: "courier"}, "other", "",
			[]string{"1700000000.M1P1.host", "1700000001.M1P1.host", "1700000002.M1P1.host", "1700000003.M1P1.host"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t, c.opts)
			fill(b)
			b.foreign(c.file, c.list)
			b.wantUIDs("first login", c.want...)
			b.wantUIDs("second login", c.want...)
			if left, _ := os.ReadFile(filepath.Join(b.path, c.file)); string(left) != c.list {
				t.Errorf("the other server's list was changed: %q", left)
			}
			// The other server goes on: no UID that a client saw changes.
			b.foreign("dovecot-uidlist", "3 V1 N9\n8 :1700000000.M1P1.host\n9 :1700000003.M1P1.host\n")
			b.foreign("courierpop3dsizelist", "/2 9 1\n1700000000.M1P1.host 3 8:1\n1700000003.M1P1.host 3 9:1\n")
			b.write("new/1700000009.M1P1.host", "x")
			want := append(slices.Clone(c.want), "1700000009.M1P1.host")
			b.wantUIDs("after the other list changed", want...)
			b.remove(indexName)
			b.wantUIDs("without the index", want...)
			b.uidl = source{}
			b.wantUIDs("without the option", want...)
		})
	}
}

// TestTakenOverIsReserved: a UID that was taken over is not given to another
// message whose name happens to be the same.
func TestTakenOverIsReserved(t *testing.T) {
	b := newBox(t, Options{UIDL: "courier"})
	b.foreign("courierpop3dsizelist", "/2 3 77\nold 3 1:77\nalso-old 4 2:77\nbad+name 3 0:0\ntoo"+strings.Repeat("o", 70)+"-long 3 0:0\n")
	for _, name := range []string{"old", "UID1-77", "UID2-77", "bad+name", "too" + strings.Repeat("o", 70) + "-long"} {
		b.write("new/"+name, "x")
	}
	list := b.uids()
	slices.Sort(list)
	if len(slices.Compact(slices.Clone(list))) != 5 || !slices.Contains(list, "UID1-77") || slices.Contains(list, "UID2-77") || !slices.Contains(list, "bad+2Bname") {
		t.Errorf("UIDs are %q, want five, UID1-77 and bad+2Bname among them, UID2-77 not", list)
	}
}

// TestDamage: what is damaged is named, with what to do; never are all UIDs
// new ones.
func TestDamage(t *testing.T) {
	refused := func(t *testing.T, b *box, words ...string) {
		t.Helper()
		m, err := b.Open(t.Context(), user)
		if err == nil {
			t.Fatalf("Open succeeds, with UIDs %q", uidsOf(m.Messages()))
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("error %q does not hold %q", err, word)
			}
		}
		if !errors.Is(err, maildrop.ErrPermanent) {
			t.Errorf("error %q, want ErrPermanent", err)
		}
		b.leaks()
	}
	for _, list := range []string{
		"", "\n", "2 V1 N2\n", "3 N2\n", "3 Vx N2\n", "1 77\n", "3 V99999999999 N1\n", dovecotList[:len(dovecotList)-1], dovecotList[:len(dovecotList)-40],
		"3 V1 N1\nx :a\n", "3 V1 N1\n1 a\n", "3 V1 N1\n1 :\n", "3 V1 N1\n0 :a\n", "3 V1 N1\n2 :a\n1 :b\n", "3 V1 N1\n\n", "\x00\x00\x00\x00\n",
	} {
		b := newBox(t, Options{UIDL: "dovecot"})
		fill(b)
		b.hook.reset(nil)
		b.foreign("dovecot-uidlist", list)
		refused(t, b, "dovecot-uidlist", "repair it, or remove it")
		b.foreign("dovecot-uidlist", dovecotList)
		if got := b.uids(); got[0] != "000000016b04bb8a" {
			t.Errorf("after repair UIDs are %q", got)
		}
	}
	for _, list := range []string{
		"/", "/\n", "/9 1 1\n", "/x\n", "x\n", "/2 1 1\nx\n", "/2 1 1\nx 1\n", "/2 1 1\nx 1 2\n", "/2 1 1\nx y 1:1\n", "/2 1 1\nx 1 1:y\n", "/3 1 1\nx 1 1:1\n", "/2 1 1\n 1 1:1\n", "/2 1 1\nx 1 1:1",
	} {
		b := newBox(t, Options{UIDL: "courier"})
		b.hook.reset(nil)
		b.foreign("courierpop3dsizelist", list)
		refused(t, b, "courierpop3dsizelist", "repair it, or remove it")
	}
	taken := func() *box {
		b := newBox(t, Options{UIDL: "dovecot"})
		fill(b)
		b.foreign("dovecot-uidlist", dovecotList)
		b.list()
		b.hook.reset(nil)
		return b
	}
	good, err := os.ReadFile(filepath.Join(taken().path, uidlName))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{
		nil, good[:len(good)-1], good[:20], good[1:], slices.Concat(good, []byte("x\n")),
		encodeUIDL([]pair{{"a", "b\nc"}}), []byte("other 1\nend 00000000\n"),
	} {
		b := taken()
		b.foreign(uidlName, string(bad))
		refused(t, b, uidlName, "restore it from a backup")
	}
	for at := range good {
		bad := slices.Clone(good)
		bad[at] ^= 0x20
		if _, err := decodeUIDL(bad); err == nil {
			t.Errorf("damage of octet %d is not found", at)
		}
	}
	b := taken()
	b.remove(uidlName)
	refused(t, b, uidlName, "is missing", "restore it from a backup")
	b.remove(indexName)
	if got := b.uids(); got[0] != "000000016b04bb8a" {
		t.Errorf("taken over again, UIDs are %q", got)
	}
}

// TestIndexDamage: an index that is damaged, in any octet or at any length,
// changes nothing.
func TestIndexDamage(t *testing.T) {
	b := newBox(t, Options{})
	want := fill(b)
	list := b.list()
	good, err := os.ReadFile(filepath.Join(b.path, indexName))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := decodeIndex(good); !ok {
		t.Fatal("the index that was written is not read")
	}
	for at := range good {
		bad := slices.Clone(good)
		bad[at] ^= 1
		if _, ok := decodeIndex(bad); ok {
			t.Errorf("damage of octet %d is not found", at)
		}
		if _, ok := decodeIndex(good[:at]); ok {
			t.Errorf("a cut at octet %d is not found", at)
		}
	}
	for _, bad := range []string{"", "x", string(good[:len(good)/2]), strings.Repeat("\xff", 1000)} {
		b.foreign(indexName, bad)
		if got := b.list(); !slices.Equal(got, list) {
			t.Errorf("with a damaged index there are %v, want %v", got, list)
		}
	}
	b.wantUIDs("at last", want...)
}

// TestForgedIndex: the owner of a Maildir can write an index himself. Names
// that lead out of it, and UIDs that would break the protocol, are not taken.
func TestForgedIndex(t *testing.T) {
	sound := record{entry: entry{inNew, "a"}, ino: 1, octets: 1, size: 1, uid: "u"}
	for what, change := range map[string]func(r *record){
		"a path":          func(r *record) { r.name = "../../x" },
		"a hidden name":   func(r *record) { r.name = ".x" },
		"a NUL":           func(r *record) { r.name = "x\x00" },
		"no name":         func(r *record) { r.name = "" },
		"another folder":  func(r *record) { r.place = 2 },
		"a UID with CRLF": func(r *record) { r.uid = "x\r\ny" },
		"a negative size": func(r *record) { r.size = -1 },
		"a used UID":      func(r *record) { r.uid = "other" },
	} {
		r := sound
		change(&r)
		other := record{entry: entry{inNew, "b"}, uid: "other"}
		x := index{catalog: newCatalog([]record{other, r})}
		if _, ok := decodeIndex(x.encode()); ok {
			t.Errorf("an index with %s is taken", what)
		}
		if _, ok := decodeIndex(encodeOld(&x, []record{other, r})); ok {
			t.Errorf("an old index with %s is taken", what)
		}
		x.catalog = newCatalog([]record{other})
		data := x.encode()
		data = append(data, x.encodeEntry(&delta{added: []record{r}}, binary.BigEndian.Uint32(data[len(indexMagic):]))...)
		if x, ok := decodeIndex(data); ok && x.count > 1 {
			t.Errorf("a journal with %s is taken", what)
		}
	}
	x := index{catalog: newCatalog([]record{sound})}
	if _, ok := decodeIndex(x.encode()); !ok {
		t.Error("an index that is sound is not taken")
	}
}

// TestIndexNotWritten: a full disk keeps nobody from his mail.
func TestIndexNotWritten(t *testing.T) {
	b := newBox(t, Options{})
	want := fill(b)
	var log strings.Builder
	b.log = slog.New(slog.NewTextHandler(&log, nil))
	b.hook.reset(func(_ int, op, _ string) error { return at(op == "write", errors.New("disk full")) })
	b.wantUIDs("without room for the index", want...)
	if !strings.Contains(log.String(), "index not written") || !strings.Contains(log.String(), "disk full") {
		t.Errorf("logged is %q", log.String())
	}
	if _, err := os.Stat(filepath.Join(b.path, indexName+".tmp")); err == nil {
		t.Error("half an index was left behind")
	}
}
