package takeover

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestIndexOdd(t *testing.T) {
	dir := maildirOf(t, number(1))
	outside := filepath.Join(t.TempDir(), "letter")
	if err := os.WriteFile(outside, []byte(number(2)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "tmp/half"), []byte(number(3)), 0o600),
		os.WriteFile(filepath.Join(dir, "dovecot.index"), []byte(number(4)), 0o600),
		os.Symlink(outside, filepath.Join(dir, "cur/link")),
		os.Symlink(dir, filepath.Join(dir, ".Link")),
		syscall.Mkfifo(filepath.Join(dir, "new/pipe"), 0o600),
		os.Mkdir(filepath.Join(dir, "cur/folder"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if x := indexOf(t, dir); x.Messages != 1 || x.Unknown != 0 {
		t.Errorf("%+v", x)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("Hello\n\nFrom here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var x Index
	for _, name := range []string{filepath.Join(dir, "cur/folder"), filepath.Join(dir, "none"), text, filepath.Join(dir, "new/pipe")} {
		if err := x.Add(t.Context(), name); err == nil {
			t.Errorf("%s is taken for mail", name)
		}
	}
	if err := x.Add(t.Context(), empty); err != nil || x.Messages != 0 {
		t.Errorf("an empty mbox: %v, %+v", err, x)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{dir, mboxOf(t, number(1))} {
		if err := x.Add(over, name); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	}
}

// An mbox is split where its messages begin, and no length is off by the line
// between them.
func TestMbox(t *testing.T) {
	last := strings.TrimSuffix(number(4), "\n")
	name := filepath.Join(t.TempDir(), "mbox")
	text := "From a\n" + number(1) + "\nFrom b\r\n" + strings.ReplaceAll(number(2), "\n", "\r\n") + "\r\nFrom c\n" +
		number(3)[:strings.Index(number(3), "\n\n")+1] + "\nFrom d\n" + last
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	x := indexOf(t, name)
	if x.Messages != 4 || x.Unknown != 0 {
		t.Errorf("%+v", x)
	}
	for n, want := range map[int]int64{1: 102, 2: 102, 3: 0, 4: 100} {
		for _, l := range x.byHash[HeaderHash([]byte(number(n)))] {
			if l.body.crlf != want {
				t.Errorf("letter %d has a body of %d octets, not %d", n, l.body.crlf, want)
			}
		}
	}
}

// The line behind the last message is no part of it, and > may have been put
// before each From.
func TestMboxLast(t *testing.T) {
	x := indexOf(t, mboxOf(t, number(1)))
	for _, l := range x.byHash[HeaderHash([]byte(number(1)))] {
		if l.body != (length{crlf: 106, lf: 99, quoted: 4}) {
			t.Errorf("%+v", l.body)
		}
	}
	if len(x.byHash) != 1 {
		t.Errorf("%+v", x)
	}
}

func FuzzMbox(f *testing.F) {
	f.Add("From a\n" + number(1) + "\nFrom b\n" + number(2) + "\n")
	f.Add("From ")
	f.Fuzz(func(t *testing.T, text string) {
		name := filepath.Join(t.TempDir(), "mbox")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var x Index
		if err := x.Add(t.Context(), name); err != nil && x.Messages > 0 {
			t.Errorf("%d messages, and %v", x.Messages, err)
		}
		if most := strings.Count(text, "From "); x.Messages > most || x.Unknown > x.Messages {
			t.Errorf("%d messages, %d unknown", x.Messages, x.Unknown)
		}
		for _, locals := range x.byHash {
			for _, l := range locals {
				if l.body.lf < 0 || l.body.crlf < l.body.lf || l.body.crlf > 2*int64(len(text)) {
					t.Errorf("length %+v of %d octets", l.body, len(text))
				}
			}
		}
	})
}
