package credential

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/zalando/go-keyring"
)

// Service is the name under which the keyring holds Poplin's entries.
const Service = "poplin"

// Keyring is the entry of one account in the keyring of the desktop: the
// Secret Service, which GNOME Keyring, KWallet and KeePassXC implement, by
// D-Bus; or macOS's keychain.
type Keyring struct {
	Account string // the name of the account

	ring    ring          // nil stands for the desktop's
	timeout time.Duration // zero stands for DefaultTimeout
}

var _ Source = Keyring{}

// ring is what a keyring can do. Its calls know no context.
type ring interface {
	Get(service, user string) (string, error)
	Set(service, user, secret string) error
	Delete(service, user string) error
}

// Secret implements Source. The desktop may ask a person to unlock the
// keyring.
func (k Keyring) Secret(ctx context.Context) (string, error) {
	var secret string
	err := k.call(ctx, func(r ring) (err error) {
		secret, err = r.Get(Service, k.Account)
		return err
	})
	if err != nil {
		return "", err
	}
	return secret, check("the keyring's entry for "+k.Account, secret)
}

// Set stores the secret, and replaces the one before.
func (k Keyring) Set(ctx context.Context, secret string) error {
	if err := check("the password", secret); err != nil {
		return err
	}
	return k.call(ctx, func(r ring) error { return r.Set(Service, k.Account, secret) })
}

// Delete removes the entry. One that is not there is an ErrMissing.
func (k Keyring) Delete(ctx context.Context) error {
	return k.call(ctx, func(r ring) error { return r.Delete(Service, k.Account) })
}

// call makes one call to the keyring and waits no longer than it may. A call
// that hangs is left behind: D-Bus has no way to take it back.
func (k Keyring) call(ctx context.Context, do func(ring) error) error {
	r, timeout := k.ring, k.timeout
	if r == nil {
		r = desktop{}
	}
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := within.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- guarded(r, do) }()
	select {
	case err := <-done:
		return k.explain(err)
	case <-within.Done():
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("the keyring did not answer within %v: unlock it, or use password_file or password_command where nobody is at the screen", timeout)
	}
}

// guarded turns a panic into an error: the library takes it for granted that
// a keyring's answers have the types that they should have.
func guarded(r ring, do func(ring) error) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("its answer makes no sense")
		}
	}()
	return do(r)
}

func (k Keyring) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keyring.ErrNotFound):
		return fmt.Errorf("%w: the keyring has no password for %s: run `poplin fetch login %s`", ErrMissing, k.Account, k.Account)
	case errors.Is(err, errNoDesktop):
		return err
	}
	return fmt.Errorf("keyring: %w", err)
}

// errNoDesktop comes before anything is asked: the library would start a
// D-Bus daemon of its own, with nothing behind it.
var errNoDesktop = errors.New("there is no desktop session, and so no keyring: use password_file or password_command for cron and for services of the system")

// desktop is the keyring of the session that the process belongs to.
type desktop struct{}

func (desktop) Get(service, user string) (string, error) {
	if err := session(runtimeFolder()); err != nil {
		return "", err
	}
	return keyring.Get(service, user)
}

func (desktop) Set(service, user, secret string) error {
	if err := session(runtimeFolder()); err != nil {
		return err
	}
	return keyring.Set(service, user, secret)
}

func (desktop) Delete(service, user string) error {
	if err := session(runtimeFolder()); err != nil {
		return err
	}
	return keyring.Delete(service, user)
}

// session finds the session's bus where the D-Bus library looks for it.
func session(folder string) error {
	if runtime.GOOS == "darwin" {
		return nil // no D-Bus there
	}
	if address := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" && address != "autolaunch:" {
		return nil
	}
	for _, name := range []string{"bus", "dbus-session"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
			return nil
		}
	}
	return errNoDesktop
}

// runtimeFolder is where systemd keeps what belongs to a user's session.
func runtimeFolder() string { return "/run/user/" + strconv.Itoa(os.Getuid()) }
