package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// poplinServer is a running `poplin serve`.
type poplinServer struct {
	server
	process *process
	dir     string // all its files
	config  string // file
	store   string // the tables of maildrops in it
}

// startPoplin starts `poplin serve` with one account, made by `poplin user
// add`. In clear says that passwords are taken in clear text; the default is
// to require TLS.
func startPoplin(t *testing.T, inClear bool) poplinServer {
	t.Helper()
	s := newPoplin(t, inClear, maildirToml)
	newMaildir(t, string(s.maildir))
	s.serve(t, inClear)
	return s
}

// newPoplin makes the files of a server with that store, and its account.
func newPoplin(t *testing.T, inClear bool, store string) poplinServer {
	t.Helper()
	dir := folder(t)
	s := poplinServer{
		server: server{
			user: "bela", password: "pass word", authority: newAuthority(t, dir),
			maildir: maildir(filepath.Join(dir, "mail", "bela")),
		},
		dir:    dir,
		config: filepath.Join(dir, "poplin.toml"),
		store:  store,
	}
	if err := os.Mkdir(filepath.Join(dir, "mail"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.configure(t, inClear, "127.0.0.1:0", "127.0.0.1:0")
	add := command(t, poplin, "user", "add", "--config", s.config, s.user)
	add.Stdin = strings.NewReader(s.password + "\n")
	run(t, add)
	return s
}

// serve starts the server.
func (s *poplinServer) serve(t *testing.T, inClear bool) {
	t.Helper()
	s.process, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		s.configure(t, inClear, plain, tls)
		return s.command()
	})
}

// configure writes the configuration file.
func (s poplinServer) configure(t *testing.T, inClear bool, plain, tls string) {
	t.Helper()
	text := poplinConfig(s.dir, plain, tls, !inClear, s.store)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// command is the server's, to be started.
func (s poplinServer) command() *exec.Cmd {
	return exec.Command(poplin, "serve", "--config", s.config)
}

const poplinToml = `state = "%[1]s/state"
[pop3]
listen = ["%[2]s"]
require_tls = %[4]t
[pop3s]
listen = ["%[3]s"]
[console]
listen = []
[tls]
certificate = "%[1]s/cert.pem"
key = "%[1]s/key.pem"
%[5]s[users]
source = "file"
file = "%[1]s/users"
`

// poplinConfig gives a configuration: store is its tables of maildrops.
func poplinConfig(dir, plain, tls string, requireTLS bool, store string) string {
	return fmt.Sprintf(poplinToml, dir, plain, tls, requireTLS, strings.ReplaceAll(store, "DIR", dir))
}

// maildirToml keeps maildrops in the server's folder.
const maildirToml = `[maildrops]
store = "maildir"
path = "DIR/mail/{user}"
`
