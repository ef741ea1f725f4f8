package e2e

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

// node is one of several servers behind HAProxy.
type node struct {
	*process
	plain, tls, console string
}

// sessions tells how many connections the node has.
func (n node) sessions(t *testing.T) string {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + n.console + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\npoplin_sessions ")
	count, _, _ := strings.Cut(rest, "\n")
	return count
}

// startBehindHAProxy starts two servers with the keys of the page, on the
// Maildirs of s, and HAProxy before them.
func startBehindHAProxy(t *testing.T, s poplinServer) (nodes [2]node, front server) {
	t.Helper()
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	const listen, console = "[pop3]\nlisten = [\":110\"]\n[pop3s]\nlisten = [\":995\"]\n", "192.0.2.11:8110"
	for i := range nodes {
		n := &nodes[i]
		n.process, n.plain, n.tls = startListening(t, func(plain, tls string) *exec.Cmd {
			n.console = freeAddr(t)
			s.config = filepath.Join(s.dir, []string{"one.toml", "two.toml"}[i])
			s.configure(t, false, plain, tls)
			s.rewrite(t, func(text string) string {
				text = strings.Replace(text, "[console]\nlisten = []\n", "", 1)
				return text + box(t, "haproxy.md", "toml", 0, listen, "", console, n.console, "192.0.2.10/32", "127.0.0.0/8", `"10s"`, `"4s"`)
			})
			if err := os.Chmod(s.config, 0o600); err != nil {
				t.Fatal(err)
			}
			return s.command()
		})
	}
	_, front.plain, front.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		config := filepath.Join(s.dir, "haproxy.cfg")
		text := box(t, "haproxy.md", "haproxy", 0,
			"log /dev/log local0", "log stdout format raw local0", "maxconn 20000", "maxconn 1000",
			"bind :110", "bind "+plain, "bind :995", "bind "+tls,
			"check port 8110", "check",
			"server one 192.0.2.11:110", "server one "+nodes[0].plain+" port "+port(nodes[0].console),
			"server two 192.0.2.12:110", "server two "+nodes[1].plain+" port "+port(nodes[1].console),
			"192.0.2.11:995", nodes[0].tls, "192.0.2.12:995", nodes[1].tls)
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, command(t, "haproxy", "-c", "-f", config))
		return exec.Command(find(t, "haproxy"), "-db", "-f", config)
	})
	front.user, front.password, front.authority = s.user, s.password, s.authority
	return nodes, front
}

// TestHAProxy: two servers share the sessions, know the clients' addresses,
// keep a user's sessions apart, and one of them ends without a client that
// notices.
func TestHAProxy(t *testing.T) {
	s := startPoplin(t, false)
	letters := corpus()[:3]
	s.maildir.fill(t, letters, 0)
	nodes, front := startBehindHAProxy(t, s)

	// Of two sessions each server has one.
	held := connect(t, front, overSTLS)
	var ending, staying node
	waitUntil(t, "the session at one server and none at the other", func() bool {
		one, two := nodes[0].sessions(t), nodes[1].sessions(t)
		if ending, staying = nodes[0], nodes[1]; two == "1" {
			ending, staying = staying, ending
		}
		return one+two == "10" || one+two == "01"
	})
	second := dialFrom(t, "127.0.0.6", front.plain, "")
	second.want("+OK")
	if n := staying.sessions(t); n != "1" {
		t.Errorf("the other server has %s sessions, want 1", n)
	}
	second.do("QUIT", "+OK")
	staying.waitLog(t, "rip=127.0.0.6", 1) // and not the balancer's address
	waitUntil(t, "the other server without a session", func() bool { return staying.sessions(t) == "0" })

	// The next is at the other server too, and finds the maildrop in use.
	_, err := dial(t, front, overSTLS)
	var refused *pop3.Error
	if !errors.As(err, &refused) || refused.Code != pop3.InUse {
		t.Errorf("a second session of the user at the other server: %v, want [IN-USE]", err)
	}

	// The server of the session ends. New ones find the other, all of them, and
	// the old one comes to its own end.
	if err := held.Dele(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	ending.signal(syscall.SIGTERM)
	ending.waitLog(t, "about to shut down", 1)
	for !strings.Contains(ending.log.String(), "msg=\"shutting down\"") {
		c := dialFrom(t, "127.0.0.7", front.plain, "")
		c.want("+OK")
		c.do("QUIT", "+OK")
		time.Sleep(20 * time.Millisecond)
	}
	for range 50 {
		c := dialFrom(t, "127.0.0.8", front.plain, "")
		c.want("+OK")
		c.do("QUIT", "+OK")
	}
	if strings.Contains(ending.log.String(), "rip=127.0.0.8") {
		t.Error("a server that ends was sent new sessions")
	}
	quit(t, held)
	if code := ending.wait(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
	last := connect(t, front, overTLS) // by the other backend, which follows the same checks
	if stat, err := last.Stat(t.Context()); err != nil || stat.Messages != len(letters)-1 {
		t.Errorf("at the other server there are %d messages, %v; want %d", stat.Messages, err, len(letters)-1)
	}
	quit(t, last)
}
