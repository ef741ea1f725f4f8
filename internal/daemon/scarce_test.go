package daemon

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/maildrop/maildir"
)

// scarceConfig makes the test binary a server with this configuration that may
// have few descriptors: from the start, or with scarceLater when it serves.
const (
	scarceConfig = "POPLIN_TEST_SCARCE"
	scarceLater  = "POPLIN_TEST_SCARCE_LATER"
)

// fewFiles is how many descriptors that server may have, or may have more than
// it has when it serves.
const fewFiles = 100

// scarceServer writes its address, and serves until standard input ends.
func scarceServer(file string) {
	later := os.Getenv(scarceLater) != ""
	if !later {
		limitFiles(fewFiles)
	}
	cfg, err := config.Load(file)
	if err != nil {
		panic(err)
	}
	d, err := New(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		panic(err)
	}
	if err := d.Start(context.Background()); err != nil {
		panic(err)
	}
	if later {
		open, _ := os.ReadDir("/proc/self/fd")
		limitFiles(uint64(len(open)) + fewFiles)
	}
	fmt.Println(d.Addrs()[0].Addr)
	io.Copy(io.Discard, os.Stdin)
	d.Close()
}

func limitFiles(n uint64) {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}); err != nil {
		panic(err)
	}
}

// scarceUsers have a message each.
const scarceUsers = 120

// startScarce starts such a server, and gives its address and its log.
func startScarce(t *testing.T, env ...string) (string, *log) {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`state = %q
sandbox = false
[pop3]
listen = ["127.0.0.1:0"]
require_tls = false
[pop3s]
listen = []
[console]
listen = []
[maildrops]
path = %q
[users]
file = %q
[limits]
sessions = 1000
sessions_per_address = 1000
`, filepath.Join(dir, "state"), filepath.Join(dir, "mail", "{user}"), filepath.Join(dir, "users"))
	file := filepath.Join(dir, "poplin.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := maildir.New(maildir.Options{Path: filepath.Join(dir, "mail", "{user}")})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var users strings.Builder
	for i := range scarceUsers {
		name := fmt.Sprintf("user%d", i)
		fmt.Fprintf(&users, "%s:{PLAIN}secret\n", name)
		if err := store.Create(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "mail", name, "new", "1.M1P1.host"), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "users"), []byte(users.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), scarceConfig+"="+file), env...)
	l := new(log)
	cmd.Stderr = l
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ended in %v: %s", err, l)
		}
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("no address: %v: %s", err, l)
	}
	return strings.TrimSpace(addr), l
}

// scarcePeer is a client that wants a reply to everything.
type scarcePeer struct {
	*testing.T
	net.Conn
	r *bufio.Reader
}

func dialScarce(t *testing.T, addr string) *scarcePeer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	return &scarcePeer{t, conn, bufio.NewReader(conn)}
}

// reply reads a line. It tells whether that is +OK; else it must say that the
// fault may pass.
func (p *scarcePeer) reply(after string) bool {
	p.Helper()
	line, err := p.r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "+OK") && !strings.HasPrefix(line, "-ERR [SYS/TEMP]") {
		p.Fatalf("after %s: %q, %v", after, line, err)
	}
	return strings.HasPrefix(line, "+OK")
}

func (p *scarcePeer) ask(command string) bool {
	p.Helper()
	if _, err := io.WriteString(p.Conn, command+"\r\n"); err != nil {
		p.Fatalf("%s: %v", command, err)
	}
	return p.reply(command)
}

// login tells whether the user with that number is let in.
func (p *scarcePeer) login(i int) bool {
	p.Helper()
	return p.reply("connect") && p.ask(fmt.Sprintf("USER user%d", i)) && p.ask("PASS secret")
}

// works retrieves the message.
func (p *scarcePeer) works() {
	p.Helper()
	if !p.ask("RETR 1") {
		p.Fatal("RETR fails")
	}
	for _, want := range []string{"x\r\n", ".\r\n"} {
		if line, err := p.r.ReadString('\n'); line != want || err != nil {
			p.Fatalf("%q, %v, want %q", line, err, want)
		}
	}
}

// A server that has not the descriptors for limits.sessions refuses, with a
// reply, before it runs out of them: who is in can work.
func TestRefusesInTime(t *testing.T) {
	addr, l := startScarce(t)
	var in []*scarcePeer
	for i := range scarceUsers {
		p := dialScarce(t, addr)
		if !p.login(i) {
			p.Close()
			continue
		}
		in = append(in, p)
	}
	if len(in) != fewFiles/4 {
		t.Errorf("%d sessions of %d descriptors", len(in), fewFiles)
	}
	for _, p := range in {
		p.works()
		p.ask("QUIT")
	}
	if p := dialScarce(t, addr); !p.login(0) {
		t.Error("nobody is let in when all have gone")
	}
	if text := l.String(); !strings.Contains(text, "raise LimitNOFILE=") || strings.Contains(text, "too many open files") {
		t.Errorf("the log is %s", text)
	}
}

// A server that runs out of descriptors all the same leaves nobody without a
// reply, and is well again when there are some.
func TestRunsOut(t *testing.T) {
	addr, l := startScarce(t, scarceLater+"=1")
	var in, out []*scarcePeer
	for i := range scarceUsers {
		p := dialScarce(t, addr)
		if p.login(i) {
			in = append(in, p)
		} else {
			out = append(out, p)
		}
	}
	if len(in) < fewFiles/3 || len(in) > fewFiles/2 {
		t.Errorf("%d sessions of %d descriptors", len(in), fewFiles)
	}
	for _, p := range out[:len(out)-10] { // the last ones may still be there
		if line, err := p.r.ReadString('\n'); !strings.HasPrefix(line, "-ERR [SYS/TEMP] Too many connections") {
			t.Errorf("one that had to go heard %q, %v", line, err)
		}
	}
	for _, p := range out {
		p.Close()
	}
	if !strings.Contains(l.String(), "too many open files") {
		t.Errorf("descriptors did not run out: %s", l)
	}
	for i, p := range in {
		if i%2 == 0 {
			p.ask("QUIT")
		}
	}
	for i, p := range in {
		if i%2 == 1 {
			p.works()
			p.ask("DELE 1")
			p.ask("QUIT")
		}
	}
	p := dialScarce(t, addr)
	if !p.login(scarceUsers - 1) {
		t.Error("nobody is let in when all have gone")
	}
	p.works()
}
