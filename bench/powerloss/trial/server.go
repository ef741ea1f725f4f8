package trial

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
	"time"

	"github.com/poplin-mail/poplin/bench/powerloss/disk"
)

// The Maildirs are two folders below the root, so that the server makes both.
const serverToml = `state = "%[1]s/state"
hostname = "powerloss.example.org"
[pop3]
listen = ["127.0.0.1:0"]
require_tls = false
[pop3s]
listen = []
[lmtp]
listen = ["unix:%[1]s/lmtp.sock"]
[console]
listen = []
[maildrops]
path = "%[2]s/{domain}/{local}"
create = true
[users]
file = "%[1]s/users"
[views]
undo = "%[3]s"
`

// users is how many there are.
const users = 12

// password of all accounts.
const password = "pass word"

func userName(i int) string { return fmt.Sprintf("user%d@d%d.example.org", i, i%3) }

func maildropDir(mail string, i int) string {
	local, domain, _ := strings.Cut(userName(i), "@")
	return filepath.Join(mail, domain, local)
}

// configure writes into dir what a server reads that has its Maildirs below
// the folder mail.
func configure(dir, mail string, undo bool) error {
	var passwd strings.Builder
	for i := range users {
		fmt.Fprintf(&passwd, "%s:{PLAIN}%s\n", userName(i), password)
	}
	period := "0s"
	if undo {
		period = "1d"
	}
	return errors.Join(os.MkdirAll(dir, 0o700),
		os.WriteFile(filepath.Join(dir, "users"), []byte(passwd.String()), 0o600),
		os.WriteFile(filepath.Join(dir, "poplin.toml"), fmt.Appendf(nil, serverToml, dir, mail, period), 0o600))
}

// server is a `poplin serve` that runs.
type server struct {
	cmd    *exec.Cmd
	pop3   string // addresses
	lmtp   string
	killed atomic.Bool
	done   chan struct{} // closed: it has ended

	mu  sync.Mutex
	log []string // the last lines
}

const (
	logged   = 30              // lines of the log that are kept
	patience = 3 * time.Minute // bounds whatever is waited for: far more than it takes
)

// startServer starts a server that was configured in dir, and waits until it
// listens.
func startServer(ctx context.Context, poplin, dir string) (*server, error) {
	s := &server{lmtp: filepath.Join(dir, "lmtp.sock"), done: make(chan struct{})}
	s.cmd = exec.Command(poplin, "serve", "--config", filepath.Join(dir, "poplin.toml"))
	s.cmd.SysProcAttr = disk.Child()
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
	return nil, s.explain(err)
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

// explain adds the end of the server's log to an error.
func (s *server) explain(err error) error {
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Errorf("%w\nthe server's log ends:\n%s", err, strings.Join(s.log, "\n"))
}
