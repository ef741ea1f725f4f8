package rounds

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Kind is a kind of server.
type Kind struct {
	Name string

	// command writes the configuration, for accounts whose Maildirs are
	// DIR/mail/USER, and gives the command that serves LMTP at DIR/lmtp.sock
	// in the foreground.
	command func(dir string) ([]string, error)
}

// nobody is the user that the servers store mail as.
const nobody, nogroup = 65534, 65534

func userName(i int) string { return fmt.Sprintf("user%d", i) }

// Poplin is a program of Poplin's.
func Poplin(program string) Kind {
	return Kind{filepath.Base(program), func(dir string) ([]string, error) {
		config := filepath.Join(dir, "poplin.toml")
		return []string{program, "serve", "--config", config}, os.WriteFile(config, fmt.Appendf(nil, poplinToml, dir), 0o644)
	}}
}

const poplinToml = `state = "%[1]s/state"
hostname = "bench.example.org"
user = "nobody"
[pop3]
listen = []
[pop3s]
listen = ["127.0.0.1:0"]
[console]
listen = []
[lmtp]
listen = ["unix:%[1]s/lmtp.sock"]
[maildrops]
path = "%[1]s/mail/{user}"
[users]
file = "%[1]s/users"
`

// Dovecot is the lmtpd of the machine's Dovecot, with that mail_fsync: from
// "optimized" on, its default, it syncs messages and folders. "always" syncs
// its indexes too.
func Dovecot(fsync string) Kind {
	return Kind{"dovecot, " + fsync, func(dir string) ([]string, error) {
		for _, program := range []string{"/usr/sbin/dovecot", "/usr/lib/dovecot/lmtp"} {
			if _, err := os.Stat(program); err != nil {
				return nil, fmt.Errorf("Dovecot is not there, Debian's packages are dovecot-core and dovecot-lmtpd: %w", err)
			}
		}
		config := filepath.Join(dir, "dovecot.conf")
		for _, own := range []string{"run", "state"} {
			if err := os.Mkdir(filepath.Join(dir, own), 0o755); err != nil {
				return nil, err
			}
		}
		return []string{"/usr/sbin/dovecot", "-F", "-c", config}, errors.Join(
			os.Chmod(filepath.Join(dir, "users"), 0o644), // it reads it as a user of its own
			os.WriteFile(config, fmt.Appendf(nil, dovecotConf, dir, fsync), 0o644))
	}}
}

// dovecotConf is Dovecot's default but for what a folder of its own takes, and
// for as many processes as there may be senders, which are there before.
const dovecotConf = `base_dir = %[1]s/run
state_dir = %[1]s/state
instance_name = poplin-bench
protocols = lmtp
log_path = %[1]s/log
ssl = no
auth_username_format = %%n
mail_location = maildir:~
mail_fsync = %[2]s
passdb {
  driver = passwd-file
  args = %[1]s/users
}
userdb {
  driver = passwd-file
  args = %[1]s/users
}
service lmtp {
  process_min_avail = 32
  unix_listener %[1]s/lmtp.sock {
    mode = 0600
  }
}
`

// running is a server that runs.
type running struct {
	dir    string
	socket string
	cmd    *exec.Cmd
	done   chan struct{}
}

// launch starts a server with new maildrops in a folder below dir, by way of
// the program where one is given.
func launch(ctx context.Context, kind Kind, dir, by string, args ...string) (*running, error) {
	s := &running{dir: filepath.Join(dir, "run"), done: make(chan struct{})}
	s.socket = filepath.Join(s.dir, "lmtp.sock")
	var list strings.Builder
	for i := range users {
		fmt.Fprintf(&list, "%s:{PLAIN}x:%d:%d::%s::\n", userName(i), nobody, nogroup, filepath.Join(s.dir, "mail", userName(i)))
		for _, sub := range []string{"new", "cur", "tmp"} {
			if err := os.MkdirAll(filepath.Join(s.dir, "mail", userName(i), sub), 0o700); err != nil {
				return nil, err
			}
		}
	}
	err := filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, nobody, nogroup), os.Chmod(path, 0o755))
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.dir, "users")
	if err := errors.Join(os.WriteFile(file, []byte(list.String()), 0o600), os.Chown(file, nobody, nogroup)); err != nil {
		return nil, err
	}
	command, err := kind.command(s.dir)
	if err != nil {
		return nil, err
	}
	if by != "" {
		command = append(append([]string{by}, args...), command...)
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
	return s, s.ready(ctx)
}

// ready waits until the server takes connections.
func (s *running) ready(ctx context.Context) error {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("unix", s.socket)
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
			err = fmt.Errorf("%w\n...%s", err, text)
		}
	}
	return err
}

// end stops the server and removes its folder.
func (s *running) end() error {
	// By its group: strace passes no signal on.
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.done
	}
	return os.RemoveAll(s.dir)
}
