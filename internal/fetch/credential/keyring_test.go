package credential

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zalando/go-keyring"
)

// withDesktop pretends that there is a desktop.
func withDesktop(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
}

func TestKeyring(t *testing.T) {
	withDesktop(t)
	keyring.MockInit()
	ctx := t.Context()
	work, home := Keyring{Account: "work"}, Keyring{Account: "home"}

	_, err := work.Secret(ctx)
	refused(t, err, "poplin fetch login work")
	if !errors.Is(err, ErrMissing) {
		t.Errorf("%v is no ErrMissing", err)
	}
	if err := work.Set(ctx, secret); err != nil {
		t.Fatal(err)
	}
	if err := home.Set(ctx, "other"); err != nil {
		t.Fatal(err)
	}
	if got, err := work.Secret(ctx); got != secret || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, _ := keyring.Get("poplin", "work"); got != secret {
		t.Errorf("service poplin, user work: got %q", got)
	}
	refused(t, work.Set(ctx, secret+"\n"), "more than one line")
	refused(t, work.Set(ctx, ""), "is empty")
	if got, err := work.Secret(ctx); got != secret || err != nil {
		t.Errorf("a refused Set changed it: %q, %v", got, err)
	}
	if err := work.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	if err := work.Delete(ctx); !errors.Is(err, ErrMissing) {
		t.Errorf("deleted twice: %v", err)
	}
	if got, err := home.Secret(ctx); got != "other" || err != nil {
		t.Errorf("the other account: %q, %v", got, err)
	}
	if err := keyring.Set("poplin", "work", ""); err != nil {
		t.Fatal(err)
	}
	_, err = work.Secret(ctx)
	refused(t, err, "the keyring's entry for work is empty")
}

func TestKeyringFails(t *testing.T) {
	withDesktop(t)
	keyring.MockInitWithError(errors.New("the collection is locked"))
	defer keyring.MockInit()
	k := Keyring{Account: "work"}
	_, err := k.Secret(t.Context())
	refused(t, err, "the collection is locked")
	refused(t, k.Set(t.Context(), secret), "the collection is locked")
	refused(t, k.Delete(t.Context()), "the collection is locked")
	if errors.Is(err, ErrMissing) {
		t.Error("a locked keyring is no missing password")
	}
}

// broken is a keyring with a fault.
type broken struct{ do func() }

func (b broken) Get(string, string) (string, error) { b.do(); return secret, nil }
func (b broken) Set(string, string, string) error   { b.do(); return nil }
func (b broken) Delete(string, string) error        { b.do(); return nil }

func TestKeyringPanics(t *testing.T) {
	k := Keyring{Account: "work", ring: broken{func() { panic(secret) }}}
	_, err := k.Secret(t.Context())
	refused(t, err, "makes no sense")
}

func TestKeyringHangs(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	k := Keyring{Account: "work", ring: broken{func() { <-release }}, timeout: time.Millisecond}
	got, err := k.Secret(t.Context())
	refused(t, err, "did not answer within 1ms")
	if got != "" {
		t.Errorf("got %q", got)
	}
	k.timeout = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := k.Secret(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the context ended: %v", err)
	}
}

func TestKeyringIsNotAskedInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		called := false
		k := Keyring{Account: "work", ring: broken{func() { called = true }}}
		_, err := k.Secret(ctx)
		synctest.Wait()
		if !errors.Is(err, context.Canceled) || called {
			t.Errorf("with an ended context: %v, called %v", err, called)
		}
	})
}

// Without a session nothing is asked: the library would start a D-Bus daemon.
func TestKeyringWithoutDesktop(t *testing.T) {
	folder := t.TempDir()
	for _, address := range []string{"", "autolaunch:"} {
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
		err := session(folder)
		refused(t, err, "use password_file or password_command")
		refused(t, Keyring{Account: "work"}.explain(err), "use password_file or password_command")
	}
	withDesktop(t)
	if err := session(folder); err != nil {
		t.Errorf("with a session: %v", err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	if err := os.WriteFile(filepath.Join(folder, "bus"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := session(folder); err != nil {
		t.Errorf("with a bus in the user's folder: %v", err)
	}
}
