package directory

import (
	"net"
	"os"
	"path/filepath"
	"testing"

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

// over makes a Directory over sources.
func over(t *testing.T, opts Options, sources ...Source) *Directory {
	t.Helper()
	opts.Sources = sources
	d, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// source makes a passwd-file of a text.
func source(t *testing.T, text string) *PasswdFile {
	t.Helper()
	p, err := Open(newFile(t, text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// open makes a Directory over a passwd-file of a text.
func open(t *testing.T, text string) *Directory {
	t.Helper()
	return over(t, Options{}, source(t, text))
}

// by is a login from an address that is the same each time.
func by(mechanism, user, password string) pop3server.Login {
	return pop3server.Login{Mechanism: mechanism, Username: user, Password: password,
		Remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711}}
}

func login(t *testing.T, d *Directory, user, password string) (pop3server.Account, error) {
	t.Helper()
	return d.Password(t.Context(), by("USER", user, password))
}
