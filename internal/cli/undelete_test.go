package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/maildir"
)

// removedMail makes a configuration with a user, Anna, and sets messages of
// hers aside.
func removedMail(t *testing.T, config string) (file string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "poplin.toml")
	for name, text := range map[string]string{"poplin.toml": config + "[maildrops]\npath = \"mail/{user}\"\n", "users": "Anna:{PLAIN}x\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store, err := maildir.New(maildir.Options{Path: filepath.Join(dir, "mail/{user}")})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Create(t.Context(), "Anna"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := store.Deliver(t.Context(), "Anna", strings.NewReader(fmt.Sprintln("message", i))); err != nil {
			t.Fatal(err)
		}
	}
	m, err := store.Open(t.Context(), "Anna")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.(maildrop.Aside).SetAside(t.Context(), []int{0, 2}, time.Hour); err != nil {
		t.Fatal(err)
	}
	return file
}

// runs runs poplin and checks its exit code and words of what it says.
func runs(t *testing.T, code int, words string, args ...string) {
	t.Helper()
	var out strings.Builder
	if got := Run(t.Context(), args, strings.NewReader(""), &out, &out); got != code || !strings.Contains(out.String(), words) {
		t.Errorf("poplin %s: exit code %d, %q; want %d, %q", strings.Join(args, " "), got, &out, code, words)
	}
}

func TestUndelete(t *testing.T) {
	file := removedMail(t, "")
	runs(t, 1, "nobody: there is no such user", "undelete", "--config", file, "nobody")
	runs(t, 1, "--maildrop names the maildrop", "undelete", "--config", file, "nobody")
	runs(t, 1, "no Maildir at", "undelete", "--config", file, "nobody", "--maildrop", "gone")
	for _, since := range []string{"x", "0s", "-1h", "7days"} {
		runs(t, 2, "is no time such as", "undelete", "--config", file, "anna", "--since="+since)
	}
	time.Sleep(5 * time.Millisecond)
	runs(t, 0, "Anna: messages brought back: 0\n", "undelete", "--config", file, "anna", "--since", "1ms")
	runs(t, 0, "Anna: messages brought back: 2\n", "undelete", "--config", file, "ANNA", "--since", "1d")
	runs(t, 0, "Anna: messages brought back: 0\n", "undelete", "--config", file, "anna")
}

func TestUndeleteJSON(t *testing.T) {
	file := removedMail(t, "[users]\nsource = [\"pam\", \"file\"]\n")
	runs(t, 1, "no Maildir at", "undelete", "--config", file, "unknown")
	runs(t, 0, "{\n  \"maildrop\": \"Anna\",\n  \"messages\": 2\n}\n", "undelete", "--config", file, "anna", "--json")
}

func TestUndeleteOtherSource(t *testing.T) {
	file := removedMail(t, "[users]\nsource = [\"pam\"]\n")
	runs(t, 0, "Anna: messages brought back: 2\n", "undelete", "--config", file, "Anna")
}

func TestUndeleteInTheWay(t *testing.T) {
	file := removedMail(t, "")
	aside, err := filepath.Glob(filepath.Join(filepath.Dir(file), "mail/Anna/poplin.aside/*.new/*"))
	if err != nil || len(aside) != 2 {
		t.Fatalf("aside are %q, %v", aside, err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "mail/Anna/new", filepath.Base(aside[0])), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	runs(t, 1, "Anna: messages brought back: 1, and not all: ", "undelete", "--config", file, "anna")
}

func TestUndeleteWithoutMaildirs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "poplin.toml")
	runs(t, 1, "there is no configuration file", "undelete", "--config", file, "anna")
	if err := os.WriteFile(file, []byte("[maildrops]\nstore = \"memory\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	runs(t, 1, `maildrops.store is "memory"`, "undelete", "--config", file, "anna")
}

// busy is an Undeleter whose maildrop is in use for a time.
type busy struct{ until time.Time }

func (b busy) Undelete(context.Context, string, time.Time) (int, error) {
	if time.Now().Before(b.until) {
		return 0, maildrop.ErrInUse
	}
	return 4, nil
}

func TestUndeleteWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if n, err := undelete(t.Context(), busy{time.Now().Add(sessionWait / 2)}, "anna", time.Time{}); n != 4 || err != nil {
			t.Errorf("a session that ends: %d, %v", n, err)
		}
		if _, err := undelete(t.Context(), busy{time.Now().Add(2 * sessionWait)}, "anna", time.Time{}); !errors.Is(err, maildrop.ErrInUse) {
			t.Errorf("a session that does not end: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := undelete(ctx, busy{time.Now().Add(sessionWait)}, "anna", time.Time{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a context that ends: %v", err)
		}
	})
}

func TestUndeleteInUse(t *testing.T) {
	file := removedMail(t, "")
	synctest.Test(t, func(t *testing.T) {
		store, err := maildir.New(maildir.Options{Path: filepath.Join(filepath.Dir(file), "mail/{user}")})
		if err != nil {
			t.Fatal(err)
		}
		m, err := store.Open(t.Context(), "Anna")
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		runs(t, 1, "Anna: a mail program is logged in", "undelete", "--config", file, "anna")
	})
}
