package directory

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3server"
)

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
		file, err := Open(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		p := over(t, Options{}, file)
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
	file, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := over(t, Options{}, file)
	write(t, path, "anna:{PLAIN}two\n")
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	file.file.looked = time.Time{}
	if _, err := login(t, p, "anna", "two"); err != nil {
		t.Errorf("the change went unseen: %v", err)
	}
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
		tab, err := parseTable("users", data)
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
		for _, s := range tab.secrets {
			if s.locked() {
				t.Error("a locked password is among the secrets")
			}
		}
	})
}
