package rounds

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/poplin-mail/poplin/internal/load"
)

// Kind is a kind of server.
type Kind struct {
	Name string

	// command writes the configuration and gives the command that serves in
	// the foreground.
	command func(s *running) ([]string, error)
}

// nobody is the user that mail belongs to.
const nobody, nogroup = 65534, 65534

const password = "x"

func userName(group string, i int) string { return group + strconv.Itoa(i) }

// Poplin is a program of Poplin's, with what it does when nobody says otherwise
// but for the sessions that one address may have.
func Poplin(program string) Kind {
	return Kind{filepath.Base(program), func(s *running) ([]string, error) {
		config := filepath.Join(s.dir, "poplin.toml")
		return []string{program, "serve", "--config", config}, os.WriteFile(config, fmt.Appendf(nil, poplinToml, s.dir, s.clear, s.tls), 0o644)
	}}
}

const poplinToml = `state = "%[1]s/state"
hostname = "bench.example.org"
user = "nobody"
[pop3]
listen = ["%[2]s"]
require_tls = false
[pop3s]
listen = ["%[3]s"]
[console]
listen = []
[tls]
certificate = "%[1]s/../cert.pem"
key = "%[1]s/../key.pem"
[limits]
sessions_per_address = 1000
sessions_per_network = 1000
[maildrops]
path = "%[1]s/mail/{user}"
[users]
file = "%[1]s/users"
`

// Dovecot is the machine's Dovecot with its defaults, but for what a folder of
// its own takes, and passwords in clear text.
var Dovecot = Kind{"Dovecot, default", dovecot("")}

// DovecotTuned is Dovecot with what its manual has for speed: processes that
// are used again, a cache of logins, and nothing synced.
var DovecotTuned = Kind{"Dovecot, tuned", dovecot(`auth_cache_size = 16M
mail_fsync = never
maildir_very_dirty_syncs = yes
pop3_no_flag_updates = yes
service pop3-login {
  service_count = 0
  process_min_avail = 2
  process_limit = 2
  client_limit = 1000
}
service pop3 {
  service_count = 0
  process_min_avail = 4
  process_limit = 256
}
`)}

func dovecot(tuning string) func(s *running) ([]string, error) {
	return func(s *running) ([]string, error) {
		for _, program := range []string{"/usr/sbin/dovecot", "/usr/lib/dovecot/pop3"} {
			if _, err := os.Stat(program); err != nil {
				return nil, fmt.Errorf("there is no Dovecot, Debian's packages are dovecot-core and dovecot-pop3d; -alone does without: %w", err)
			}
		}
		config := filepath.Join(s.dir, "dovecot.conf")
		for _, own := range []string{"run", "state"} {
			if err := os.Mkdir(filepath.Join(s.dir, own), 0o755); err != nil {
				return nil, err
			}
		}
		_, clear, _ := net.SplitHostPort(s.clear)
		_, tls, _ := net.SplitHostPort(s.tls)
		return []string{"/usr/sbin/dovecot", "-F", "-c", config}, errors.Join(
			os.Chmod(filepath.Join(s.dir, "users"), 0o644), // it reads it as a user of its own
			os.WriteFile(config, append(fmt.Appendf(nil, dovecotConf, s.dir, clear, tls), tuning...), 0o644))
	}
}

const dovecotConf = `base_dir = %[1]s/run
state_dir = %[1]s/state
instance_name = poplin-%[2]s
protocols = pop3
listen = 127.0.0.1
log_path = %[1]s/log
ssl = yes
ssl_cert = <%[1]s/../cert.pem
ssl_key = <%[1]s/../key.pem
disable_plaintext_auth = no
mail_location = maildir:~
passdb {
  driver = passwd-file
  args = %[1]s/users
}
userdb {
  driver = passwd-file
  args = %[1]s/users
}
service pop3-login {
  inet_listener pop3 {
    port = %[2]s
  }
  inet_listener pop3s {
    port = %[3]s
    ssl = yes
  }
}
`

// running is a server that runs.
type running struct {
	dir, clear, tls string
	cmd             *exec.Cmd
	done            chan struct{}
	fresh           int64 // octets of memory before the first session
}

// patience is how long a server may take to start.
const patience = time.Minute

// launch starts a server with maildrops of its own in a folder below dir.
func launch(ctx context.Context, kind Kind, dir string, n int) (*running, error) {
	s := &running{dir: filepath.Join(dir, strconv.Itoa(n)), done: make(chan struct{})}
	var err error
	if s.clear, s.tls, err = freePorts(); err != nil {
		return nil, err
	}
	if err := s.accounts(); err != nil {
		return nil, err
	}
	command, err := kind.command(s)
	if err != nil {
		return nil, err
	}
	s.cmd = exec.Command(command[0], command[1:]...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.Create(filepath.Join(s.dir, "output"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.cmd.Wait() // how it ended says nothing that its output does not
		close(s.done)
	}()
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	time.Sleep(time.Second) // Dovecot starts processes in advance
	usage, err := load.Tree(s.cmd.Process.Pid)
	if err != nil {
		return nil, errors.Join(s.explained(err), s.end())
	}
	s.fresh = usage.Memory
	return s, nil
}

// freePorts gives two that nobody has at the moment.
func freePorts() (clear, tls string, err error) {
	a, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer a.Close()
	b, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer b.Close()
	return a.Addr().String(), b.Addr().String(), nil
}

// ready waits until the server takes connections.
func (s *running) ready(ctx context.Context) error {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.clear)
		if err == nil {
			conn.Close()
			return nil
		}
		select {
		case <-s.done:
			return errors.Join(s.explained(errors.New("the server ended at once")), s.end())
		case <-ctx.Done():
			return errors.Join(ctx.Err(), s.end())
		default:
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("the server does not listen: %w", err), s.end())
		}
	}
}

// explained adds to an error the end of what the server said.
func (s *running) explained(err error) error {
	for _, name := range []string{"output", "log"} {
		text, _ := os.ReadFile(filepath.Join(s.dir, name))
		if text = text[max(0, len(text)-2000):]; len(text) > 0 {
			err = fmt.Errorf("%w\n...%s", err, strings.TrimSpace(string(text)))
		}
	}
	return err
}

// end stops the server.
func (s *running) end() error {
	err := syscall.Kill(s.cmd.Process.Pid, syscall.SIGTERM)
	if errors.Is(err, syscall.ESRCH) {
		err = nil // it has ended
	}
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.done
	}
	return err
}
