package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/pop3client"
	"github.com/poplin-mail/poplin/pop3server"
)

// anybody lets every user in whose password is "secret".
type anybody struct{}

func (anybody) Password(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	if l.Password != "secret" {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return pop3server.Account{Name: l.Username, Maildrop: l.Username}, nil
}

// serveMail serves three messages of anna's and none of bert's.
func serveMail(t *testing.T) (server *pop3server.Server, addr string) {
	t.Helper()
	store := memory.New()
	store.Create("anna")
	store.Create("bert")
	for i := range 3 {
		if _, err := store.Deliver(t.Context(), "anna", strings.NewReader(fmt.Sprintf("Subject: %d\n\nx\n", i))); err != nil {
			t.Fatal(err)
		}
	}
	server, err := pop3server.New(store, anybody{}, pop3server.Options{InsecureAuth: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return server, l.Addr().String()
}

func connect(t *testing.T, addr, user string) *pop3client.Client {
	t.Helper()
	c, err := pop3client.DialInsecure(t.Context(), addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Abort() })
	if user != "" {
		if err := c.Login(t.Context(), user, "secret"); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// control serves a control socket until the end of the test.
func control(t *testing.T, state string, server *pop3server.Server) *Control {
	t.Helper()
	c, err := ListenControl(state, discard)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Serve(server) }()
	t.Cleanup(func() {
		c.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return c
}

func TestSessionsAndKick(t *testing.T) {
	server, addr := serveMail(t)
	state := filepath.Join(t.TempDir(), "state")
	control(t, state, server)
	anna, bert := connect(t, addr, "anna"), connect(t, addr, "bert")
	connect(t, addr, "")
	if err := anna.Dele(t.Context(), 1, 2); err != nil {
		t.Fatal(err)
	}
	all, err := Sessions(t.Context(), state)
	if err != nil || len(all) != 3 {
		t.Fatalf("%v, %v", all, err)
	}
	if s := all[0]; s.User != "" || s.State != "AUTHORIZATION" || s.Session == "" {
		t.Errorf("before login: %+v", s)
	}
	s := all[1]
	if s.User != "anna" || s.RIP != "127.0.0.1" || s.TLS || s.Mechanism == "" || s.State != "TRANSACTION" || s.Messages != 3 ||
		s.Marked != 2 || s.Command != "DELE" || s.OctetsIn == 0 || s.OctetsOut == 0 || s.PID != os.Getpid() ||
		s.Started.IsZero() || s.LastCommand.Before(s.Started) {
		t.Errorf("anna: %+v", s)
	}

	for _, c := range []struct {
		which Selection
		want  int
	}{
		{Selection{User: "nobody"}, 0},
		{Selection{Session: "x"}, 0},
		{Selection{RIP: "192.0.2.1"}, 0},
		{Selection{User: "anna", RIP: "192.0.2.1"}, 0},
		{Selection{User: "bert", Session: s.Session}, 0},
		{Selection{Session: s.Session, User: "ANNA"}, 1},
	} {
		if n, err := Kick(t.Context(), state, c.which); n != c.want || err != nil {
			t.Errorf("%+v: %d, %v; want %d", c.which, n, err, c.want)
		}
	}
	if err := anna.Noop(t.Context()); err == nil {
		t.Error("the session goes on")
	}
	if err := bert.Noop(t.Context()); err != nil {
		t.Errorf("another session: %v", err)
	}
	gone(t, server, 2)
	if stat, err := connect(t, addr, "anna").Stat(t.Context()); err != nil || stat.Messages != 3 {
		t.Errorf("after it %d messages are left, %v", stat.Messages, err)
	}
	if n, err := Kick(t.Context(), state, Selection{RIP: "::ffff:127.0.0.1"}); n != 3 || err != nil {
		t.Errorf("all from this machine: %d, %v", n, err)
	}
}

// gone waits until the server has as many sessions.
func gone(t *testing.T, server *pop3server.Server, want int) {
	t.Helper()
	for range 1000 {
		if server.Sessions() == want {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%d sessions, want %d", server.Sessions(), want)
}

func TestKickSelectsSomething(t *testing.T) {
	server, addr := serveMail(t)
	state := t.TempDir()
	c := control(t, state, server)
	connect(t, addr, "anna")
	if n, err := Kick(t.Context(), state, Selection{}); n != 0 || !errors.Is(err, errSelectsAll) {
		t.Errorf("nothing selected: %d, %v", n, err)
	}
	if _, err := Kick(t.Context(), state, Selection{RIP: "x"}); err == nil || !strings.Contains(err.Error(), "not an IP address") {
		t.Errorf("%v", err)
	}
	// What another program may send.
	for _, body := range []string{"", "{}", "null", `{"user":""}`, `{"user":"anna","sesion":"x"}`, `{"rip":"x"}`, "[", `{"user":"` + strings.Repeat("x", maxKick) + `"}`} {
		if err := ask(t.Context(), c.path, http.MethodPost, "/kick", []byte(body), func(func(any) error) error { return nil }); err == nil || !strings.Contains(err.Error(), "400") {
			t.Errorf("%.40q: %v", body, err)
		}
	}
	for _, path := range []string{"/", "/kick", "/metrics"} {
		if err := ask(t.Context(), c.path, http.MethodGet, path, nil, func(func(any) error) error { return nil }); err == nil {
			t.Errorf("GET %s is answered", path)
		}
	}
	if server.Sessions() != 1 {
		t.Error("a session was cut")
	}
}

func TestControlSocketIsClosedToOthers(t *testing.T) {
	server, _ := serveMail(t)
	state := t.TempDir()
	dir := filepath.Join(state, controlFolder)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := control(t, state, server)
	for path, want := range map[string]fs.FileMode{dir: fs.ModeDir | 0o700, c.path: fs.ModeSocket | 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
	c.Close()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v is left, %v", entries, err)
	}
}

// stale leaves the socket of a process that was killed.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestStaleSockets(t *testing.T) {
	server, _ := serveMail(t)
	state := filepath.Join(t.TempDir(), "a[b]*c")
	dir := filepath.Join(state, controlFolder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	old, own := filepath.Join(dir, "control-1.sock"), filepath.Join(dir, fmt.Sprintf("control-%d.sock", os.Getpid()))
	stale(t, old)
	if _, err := Sessions(t.Context(), state); !errors.Is(err, ErrNotRunning) {
		t.Errorf("only a stale socket: %v", err)
	}
	if _, err := os.Lstat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Sessions leaves the stale socket: %v", err)
	}
	for _, path := range []string{old, own, own + ".new"} { // a container's processes have the same numbers each time
		stale(t, path)
	}
	control(t, state, server)
	if _, err := os.Lstat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the start leaves the stale socket: %v", err)
	}
	if all, err := Sessions(t.Context(), state); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := ListenControl(state, discard); err == nil || !strings.Contains(err.Error(), "state folder of its own") {
		t.Errorf("a second one of the same number: %v", err)
	}
}

// otherProcess answers on a socket as another server process would.
func otherProcess(t *testing.T, state string, h http.HandlerFunc) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(state, controlFolder, "control-1.sock"))
	if err != nil {
		t.Fatal(err)
	}
	s := http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		s.Serve(l)
		close(done)
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
}

// TestTwoProcesses: after an upgrade both are asked.
func TestTwoProcesses(t *testing.T) {
	server, addr := serveMail(t)
	state := t.TempDir()
	control(t, state, server)
	otherProcess(t, state, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			var s Selection
			if json.NewDecoder(r.Body).Decode(&s) != nil || s.User != "anna" {
				t.Errorf("it was sent %+v", s)
			}
			io.WriteString(w, `{"kicked":2}`)
			return
		}
		io.WriteString(w, `[{"session":"old","user":"aaron"},{"session":"older","user":"zoe"}]`)
	})
	connect(t, addr, "anna")
	all, err := Sessions(t.Context(), state)
	if err != nil || len(all) != 3 || all[0].User != "aaron" || all[1].User != "anna" || all[2].User != "zoe" {
		t.Errorf("%+v, %v", all, err)
	}
	if n, err := Kick(t.Context(), state, Selection{User: "anna"}); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// TestOneProcessFails: the others are asked all the same.
func TestOneProcessFails(t *testing.T) {
	server, addr := serveMail(t)
	state := t.TempDir()
	control(t, state, server)
	otherProcess(t, state, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "it burns", http.StatusInternalServerError)
	})
	connect(t, addr, "anna")
	if all, err := Sessions(t.Context(), state); len(all) != 1 || err == nil || !strings.Contains(err.Error(), "it burns") {
		t.Errorf("%+v, %v", all, err)
	}
	if n, err := Kick(t.Context(), state, Selection{User: "anna"}); n != 1 || err == nil || !strings.Contains(err.Error(), "control-1.sock") {
		t.Errorf("%d, %v", n, err)
	}
}

func TestNotRunning(t *testing.T) {
	state := t.TempDir()
	for range 2 {
		if _, err := Sessions(t.Context(), state); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%v", err)
		}
		if _, err := Kick(t.Context(), state, Selection{User: "x"}); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%v", err)
		}
		if err := os.MkdirAll(filepath.Join(state, controlFolder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func TestControlErrors(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if _, err := ListenControl(long, discard); err == nil || !strings.Contains(err.Error(), "set a shorter path in state") {
		t.Errorf("a long path: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(long, controlFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(long, controlFolder, "control-1.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Sessions(t.Context(), long); err == nil || !strings.Contains(err.Error(), "set a shorter path in state") {
		t.Errorf("asking a long path: %v", err)
	}
	state := t.TempDir()
	if err := os.WriteFile(filepath.Join(state, controlFolder), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenControl(state, discard); err == nil || !strings.Contains(err.Error(), "is not a folder") {
		t.Errorf("a file in the way: %v", err)
	}
	if _, err := Sessions(t.Context(), state); err == nil || errors.Is(err, ErrNotRunning) {
		t.Errorf("a file in the way: %v", err)
	}
	if err := forbidden(&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}); !strings.Contains(err.Error(), "only root may ask") {
		t.Errorf("%v", err)
	}
}
