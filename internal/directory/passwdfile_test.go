package directory

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3server"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func newFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, text)
	return path
}

func open(t *testing.T, text string) *PasswdFile {
	t.Helper()
	p, err := Open(newFile(t, text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func login(t *testing.T, p *PasswdFile, user, password string) (pop3server.Account, error) {
	t.Helper()
	return p.Password(t.Context(), pop3server.Login{Mechanism: "USER", Username: user, Password: password,
		Remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711}})
}

const fast = "{SHA256}YsG2Gha2NeH3g7gGAj05JVwWdxUvOv9bqx+MBqcqnc4=" // "tanstaaf l"

func TestPassword(t *testing.T) {
	p := open(t, "# users of the test\n\n"+
		"Anna:"+fast+"::::::\r\n"+
		"bert@example.org:{PLAIN}secret:1000:1000:Bert:/home/bert:/bin/sh:userdb_mail=maildir:~/Mail\n"+
		"locked:!"+fast+"\n"+
		"nologin:"+fast+"::::::nologin=y\n"+
		"near:"+fast+"::::::allow_nets=192.0.2.0/24,2001:db8::/32\n"+
		"far:"+fast+"::::::allow_nets=198.51.100.1,local\n"+
		"nobody:"+fast+"::::::allow_nets=local\n"+
		"empty:::::::\n"+
		"grüße:"+fast+"\n"+
		"last:"+fast)
	cases := []struct{ user, password, account string }{
		{"Anna", "tanstaaf l", "Anna"},
		{"anna", "tanstaaf l", "Anna"},
		{"ANNA", "tanstaaf l", "Anna"},
		{"anna", "Tanstaaf l", ""},
		{"anna", "tanstaaf l ", ""},
		{"anna", "", ""},
		{"anna ", "tanstaaf l", ""},
		{"ann", "tanstaaf l", ""},
		{"", "tanstaaf l", ""},
		{"# users of the test", "tanstaaf l", ""},
		{"../anna", "tanstaaf l", ""},
		{"\xff", "tanstaaf l", ""},
		{"BERT@Example.ORG", "secret", "bert@example.org"},
		{"bert", "secret", ""},
		{"locked", "tanstaaf l", ""},
		{"locked", "", ""},
		{"empty", "", ""},
		{"nologin", "tanstaaf l", ""},
		{"near", "tanstaaf l", "near"},
		{"far", "tanstaaf l", ""},
		{"nobody", "tanstaaf l", ""},
		{"GRÜSSE", "tanstaaf l", ""},
		{"GRÜßE", "tanstaaf l", "grüße"},
		{"last", "tanstaaf l", "last"},
		{"last", strings.Repeat("x", maxPassword+1), ""},
	}
	for _, c := range cases {
		account, err := login(t, p, c.user, c.password)
		if c.account == "" && !errors.Is(err, pop3server.ErrBadCredentials) || c.account != "" && err != nil {
			t.Errorf("%q with %q: %v, %v; want account %q", c.user, c.password, account, err, c.account)
		}
		if account.Name != c.account || account.Maildrop != c.account {
			t.Errorf("%q: account %+v, want %q", c.user, account, c.account)
		}
	}
}

func TestAPOP(t *testing.T) {
	p := open(t, "anna:{PLAIN}tanstaaf\nbert:"+fast+"\nfar:{PLAIN}tanstaaf::::::nologin\nempty:{PLAIN}\n")
	const timestamp = "<1896.697170952@dbc.mtview.ca.us>" // RFC 1939 section 7, APOP
	for _, c := range []struct {
		user, secret string
		ok           bool
	}{
		{"anna", "tanstaaf", true}, {"ANNA", "tanstaaf", true}, {"anna", "Tanstaaf", false}, {"anna", "-", false},
		{"bert", "tanstaaf l", false}, {"bert", "-", false}, {"nobody", "-", false}, {"far", "tanstaaf", false}, {"empty", "", false},
	} {
		account, err := p.APOP(t.Context(), pop3server.Login{Username: c.user}, timestamp, pop3.APOPDigest(timestamp, c.secret))
		if c.ok != (err == nil) || !c.ok && !errors.Is(err, pop3server.ErrBadCredentials) {
			t.Errorf("%s with %q: %v, %v", c.user, c.secret, account, err)
		}
	}
}

// TestUnknownUserCostsTheSame looks at what is worked through, not at time.
func TestUnknownUserCostsTheSame(t *testing.T) {
	p := open(t, "anna:"+fast+"\nlocked:!\n")
	calls := 0
	tab := p.table.Load()
	inner := tab.entries[0].secret.match
	tab.entries[0].secret.match = func(password string) bool { calls++; return inner(password) }
	for i, user := range []string{"anna", "nobody", "locked", "../x"} {
		account, err := login(t, p, user, "tanstaaf l")
		if calls != i+1 {
			t.Errorf("%s: %d hashes were checked, want one", user, calls-i)
		}
		if (err == nil) != (user == "anna") {
			t.Errorf("%s: %v, %v", user, account, err)
		}
	}
	if s := p.table.Load().decoy("x"); s.match == nil {
		t.Error("the decoy cannot be checked against")
	}
	if s := new(table).decoy("x"); s.memory != newMemory<<10 || s.match("") {
		t.Errorf("without users, the decoy takes %d octets", s.memory)
	}
}

// TestDecoySpread: a file of two schemes has decoys of both, each name its own.
func TestDecoySpread(t *testing.T) {
	p := open(t, "a:"+fast+"\nb:{PLAIN}x\nc:!\n")
	found := map[string]bool{}
	for _, name := range strings.Fields("k l m n o p q r s t u v w x y z aa bb cc dd ee ff gg hh") {
		s := p.table.Load().decoy(name)
		found[s.scheme] = true
		if again := p.table.Load().decoy(strings.ToUpper(name)); again != s {
			t.Errorf("%s has two decoys", name)
		}
	}
	if !found["SHA256"] || !found["PLAIN"] || len(found) != 2 {
		t.Errorf("decoys are of %v", found)
	}
}

func TestOpenRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Open(dir, nil); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("folder: %v", err)
	}
	pipe := filepath.Join(dir, "pipe") // without a writer: not waited on
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(pipe, nil); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("FIFO: %v", err)
	}
	path := newFile(t, "anna:"+fast)
	for _, mode := range []os.FileMode{0o604, 0o602, 0o644, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), "chmod o=") {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, nil); err != nil {
		t.Errorf("mode 0640: %v", err)
	}
}

func TestLineErrors(t *testing.T) {
	for line, want := range map[string]string{
		"no colon at all":                     "users:2: there is no colon",
		":" + fast:                            "users:2: the user has no name",
		"../x:" + fast:                        `users:2: the user's name begins with '.'`,
		"a/b:" + fast:                         "users:2: the user's name holds one of",
		" a:" + fast:                          "users:2: the user's name begins or ends with a blank",
		"a\x01b:" + fast:                      "users:2: the user's name holds a control character",
		"a\u202eb:" + fast:                    "users:2: the user's name holds a control character",
		"\xff:" + fast:                        "users:2: the user's name is not UTF-8",
		strings.Repeat("n", 201) + ":" + fast: "users:2: the user's name is longer than 200 octets",
		"FIRST:" + fast:                       "users:2: the user is on line 1 already",
		"x:secret":                            "users:2: the password has no {SCHEME}",
		"x:" + fast + "::::::allow_nets=here": "users:2: allow_nets is not a list of networks",
		"x:" + fast + ":" + strings.Repeat("y", maxLine): "users:2: the line is longer than",
	} {
		_, err := Open(newFile(t, "first:"+fast+"\n"+line+"\n"), nil)
		var le *LineError
		if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &le) || le.Line != 2 {
			t.Errorf("%.40q: error %v, want %q", line, err, want)
		}
	}
	_, err := Open(newFile(t, strings.Repeat("bad\n", 30)), nil)
	if err == nil || strings.Count(err.Error(), "\n") != 10 || !strings.Contains(err.Error(), "perhaps more") {
		t.Errorf("30 wrong lines: %v", err)
	}
}

// TestReloadOnChange: the file is looked at again after a second, and not
// before; a broken one keeps the users that are known and is logged once.
func TestReloadOnChange(t *testing.T) {
	path := newFile(t, "anna:{PLAIN}one\n")
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		p, err := Open(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		ok := func(password string, want bool) {
			t.Helper()
			if _, err := login(t, p, "anna", password); (err == nil) != want {
				t.Errorf("password %q: %v, want success %v", password, err, want)
			}
		}
		ok("one", true)
		write(t, path, "anna:{PLAIN}two\n") // same size
		ok("one", true)
		time.Sleep(statEvery)
		ok("two", true)
		ok("one", false)

		write(t, path, "anna:{PLAIN}three\nbroken hunter2\n")
		for range 5 {
			time.Sleep(statEvery)
			ok("two", true)
		}
		if n := strings.Count(log.String(), "users:2: there is no colon"); n != 1 {
			t.Errorf("the broken line was logged %d times:\n%s", n, &log)
		}
		if err := p.Reload(); err == nil || !strings.Contains(err.Error(), "users:2") {
			t.Errorf("Reload: %v", err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(statEvery)
		ok("two", true)
		write(t, path, "anna:{PLAIN}four\n")
		time.Sleep(statEvery)
		ok("four", true)
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		time.Sleep(statEvery)
		ok("four", true)
		if !strings.Contains(log.String(), "chmod o=") || strings.Contains(log.String(), "hunter2") {
			t.Errorf("log:\n%s", &log)
		}
	})
}

// TestUnsettledFileIsReadAgain: a change within one tick of the file's clock
// leaves size and time as they were.
func TestUnsettledFileIsReadAgain(t *testing.T) {
	path := newFile(t, "anna:{PLAIN}one\n")
	at := time.Now().Add(-settleTime / 2)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	p, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "anna:{PLAIN}two\n")
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	p.looked = time.Time{}
	if _, err := login(t, p, "anna", "two"); err != nil {
		t.Errorf("the change went unseen: %v", err)
	}
}

func TestPasswordContext(t *testing.T) {
	p := open(t, "anna:"+fast)
	leave, err := p.gate.enter(t.Context(), hashMemory)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Password(ctx, pop3server.Login{Username: "anna", Password: "tanstaaf l"})
	if !errors.Is(err, context.Canceled) || errors.Is(err, pop3server.ErrBadCredentials) {
		t.Errorf("a login that waits when its context ends: %v", err)
	}
	leave()
	if _, err := login(t, p, "anna", "tanstaaf l"); err != nil {
		t.Errorf("after the gate opened: %v", err)
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(100)
		g.share = 30
		first, _ := g.enter(t.Context(), 0) // counts for 30
		big := make(chan func())
		small := make(chan func())
		go func() { leave, _ := g.enter(t.Context(), 1000); big <- leave }() // the whole of it
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.enter(ctx, 40); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("overtook one that waits: %v", err)
		}
		go func() { leave, _ := g.enter(t.Context(), 40); small <- leave }()
		synctest.Wait()
		first()
		leaveBig := <-big
		select {
		case <-small:
			t.Fatal("two are in that need 140 of 100")
		default:
		}
		leaveBig()
		(<-small)()
		if g.free != 100 || len(g.queue) != 0 {
			t.Errorf("free %d, waiting %d after all left", g.free, len(g.queue))
		}
	})
}

// FuzzParseTable: whatever the file holds, every user that is accepted has a
// name that may be part of a path, and an error quotes nothing of the file.
func FuzzParseTable(f *testing.F) {
	for _, v := range vectors {
		f.Add([]byte("anna:" + v.field + "\n"))
	}
	for _, seed := range []string{"", "\n\r\n#x\n", "a:{PLAIN}b:1:2:g:h:s:nologin allow_nets=::/0", ":::::::::", "a\x00:{PLAIN}", "a:{PLAIN.HEX}zz\r"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tab, err := parseTable("users", data, seedOfTests)
		if err != nil {
			for _, field := range strings.FieldsFunc(string(data), func(r rune) bool { return strings.ContainsRune(":\n{}", r) }) {
				if len(field) > 40 && strings.Contains(err.Error(), field) {
					t.Errorf("the error quotes %q: %v", field, err)
				}
			}
			return
		}
		for i := range tab.entries {
			e := &tab.entries[i]
			if err := CheckName(e.name); err != nil || strings.Contains(e.name, "/") {
				t.Errorf("name %q: %v", e.name, err)
			}
			if tab.find(e.name) != e {
				t.Errorf("%q is not found", e.name)
			}
		}
		if !slices.IsSorted(tab.decoys) {
			t.Error("decoys out of order")
		}
	})
}
