package rounds

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const serverToml = `state = "%[1]s/state"
hostname = "torture.example.org"
[pop3]
listen = ["127.0.0.1:0"]
require_tls = false
[pop3s]
listen = []
[lmtp]
listen = ["unix:%[2]s"]
[console]
listen = []
[maildrops]
path = "%[1]s/mail/{user}"
create = true
[users]
file = "%[1]s/users"
`

// password of all accounts.
const password = "pass word"

func userName(i int) string                { return fmt.Sprintf("user%d", i) }
func maildropDir(dir string, i int) string { return filepath.Join(dir, "mail", userName(i)) }
func socket(dir string) string             { return filepath.Join(dir, "lmtp.sock") }

// quota of every other user, which is never reached: it is there for what the
// server does to keep it.
const quota = "userdb_quota_rule=*:bytes=10000000000:messages=10000000"

// configure writes what the server reads. It makes the maildrops itself.
func configure(dir string) error {
	var users strings.Builder
	for i := range maildrops {
		fmt.Fprintf(&users, "%s:{PLAIN}%s", userName(i), password)
		if i%2 == 0 {
			users.WriteString("::::::" + quota)
		}
		users.WriteString("\n")
	}
	return errors.Join(os.MkdirAll(filepath.Join(dir, "mail"), 0o700),
		os.WriteFile(filepath.Join(dir, "users"), []byte(users.String()), 0o600),
		os.WriteFile(filepath.Join(dir, "poplin.toml"), fmt.Appendf(nil, serverToml, dir, socket(dir)), 0o600))
}

// server is a `poplin serve` that runs.
type server struct {
	cmd    *exec.Cmd
	pop3   string // addresses
	lmtp   string
	killed atomic.Bool
	stops  atomic.Int64  // how often it was stopped
	done   chan struct{} // closed: it has ended

	mu  sync.Mutex
	log []string // the last lines
}

// logged bounds the log that is kept, in lines.
const logged = 30

// startServer starts a server and waits until it listens.
func startServer(ctx context.Context, poplin, dir string) (*server, error) {
	s := &server{lmtp: socket(dir), done: make(chan struct{})}
	s.cmd = exec.Command(poplin, "serve", "--config", filepath.Join(dir, "poplin.toml"))
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stdout, s.cmd.Stderr = w, w
	err = s.cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	listening := make(chan string, 1)
	go func() {
		s.follow(r, listening)
		s.cmd.Wait() // it was killed: that is no news
		close(s.done)
	}()
	select {
	case s.pop3 = <-listening:
		return s, nil
	case <-s.done:
		err = errors.New("the server ended at once")
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(patience):
		err = errors.New("the server does not listen")
	}
	s.kill()
	return nil, fmt.Errorf("%w%s", err, s.lastOfLog())
}

// killStarting starts a server and kills it after that long, listening or not.
func killStarting(poplin, dir string, after time.Duration) error {
	cmd := exec.Command(poplin, "serve", "--config", filepath.Join(dir, "poplin.toml"))
	if err := cmd.Start(); err != nil {
		return err
	}
	time.Sleep(after)
	cmd.Process.Kill()
	cmd.Wait() // it was killed: that is no news
	return nil
}

var listens = regexp.MustCompile(`msg=listening protocol=(\S+) address=(\S+)`)

// follow reads the log up to the end of the server. LMTP is the last thing
// that it listens for: then it gives the address of the other.
func (s *server) follow(r io.ReadCloser, listening chan<- string) {
	defer r.Close()
	var pop3 string
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		s.mu.Lock()
		s.log = append(s.log[max(0, len(s.log)-logged+1):], line)
		s.mu.Unlock()
		switch found := listens.FindStringSubmatch(line); {
		case found == nil:
		case found[1] == "pop3":
			pop3 = found[2]
		case found[1] == "lmtp":
			listening <- pop3
		}
	}
	io.Copy(io.Discard, r) // where a line was too long: the server must not wait
}

// kill ends the server with SIGKILL, and returns when it has ended.
func (s *server) kill() {
	s.killed.Store(true)
	s.cmd.Process.Kill() // it fails where the process has ended
	<-s.done
}

// await waits, until the server ends.
func (s *server) await(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.done:
	}
}

// stop has the server stand still, until goOn or kill. Sessions that begin
// while it does so count for older.
func (s *server) stop() error {
	s.stops.Add(1)
	err := s.cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(20 * time.Millisecond)
	s.stops.Add(1)
	return err
}

func (s *server) goOn() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

func (s *server) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// lastOfLog gives the end of the server's log, for errors.
func (s *server) lastOfLog() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "\nthe server's log ends:\n" + strings.Join(s.log, "\n")
}
