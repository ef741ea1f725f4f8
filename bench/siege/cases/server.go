package cases

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// server is a `poplin serve` that runs.
type server struct {
	cmd     *exec.Cmd
	done    chan struct{}
	dir     string
	plain   string // addresses
	tls     string
	console string
}

// setting is what a case wants otherwise than configured by default.
type setting struct {
	limits      []string // lines of [limits]
	users       []string // lines of [users]
	accounts    []string // names
	password    string   // as stored, of all of them; empty: in clear text
	descriptors int      // how many the server may have once it serves; zero: as many as this process
}

// password of all accounts.
const password = "pass word"

const serverToml = `state = "%[1]s/state"
[pop3]
listen = ["127.0.0.1:0"]
require_tls = false
[pop3s]
listen = ["127.0.0.1:0"]
[console]
listen = ["127.0.0.1:0"]
[maildrops]
path = "%[1]s/mail/{user}"
[users]
file = "%[1]s/users"
%[2]s
[limits]
%[3]s
`

// startServer starts a server with a maildrop of ten messages for each of the
// accounts, and one for the bystander.
func startServer(ctx context.Context, opts Options, name string, cfg setting) (*server, error) {
	dir, err := os.MkdirTemp(opts.Dir, name+"-")
	if err != nil {
		return nil, err
	}
	if cfg.password == "" {
		cfg.password = "{PLAIN}" + password
	}
	var users strings.Builder
	for _, name := range append([]string{guestName}, cfg.accounts...) {
		fmt.Fprintf(&users, "%s:%s\n", name, cfg.password)
		if err := newMaildir(filepath.Join(dir, "mail", name)); err != nil {
			return nil, err
		}
	}
	config := fmt.Sprintf(serverToml, dir, strings.Join(cfg.users, "\n"), strings.Join(cfg.limits, "\n"))
	err = errors.Join(os.WriteFile(filepath.Join(dir, "users"), []byte(users.String()), 0o600),
		os.WriteFile(filepath.Join(dir, "poplin.toml"), []byte(config), 0o600))
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &server{dir: dir, done: make(chan struct{})}
	s.cmd = exec.Command(opts.Poplin, "serve", "--config", filepath.Join(dir, "poplin.toml"))
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.cmd.Wait()
		close(s.done)
	}()
	if err := s.ready(ctx); err != nil {
		s.kill()
		return nil, fmt.Errorf("%w\n%s", err, s.log())
	}
	if n := uint64(cfg.descriptors); n > 0 {
		// Behind the start, where the server looks how many sessions have room.
		if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}, nil); err != nil {
			s.kill()
			return nil, err
		}
	}
	return s, nil
}

// newMaildir makes a Maildir with ten messages.
func newMaildir(dir string) error {
	for _, sub := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	for i := range maildirMessages {
		text := fmt.Sprintf("Subject: message %d\n\n%s", i, strings.Repeat("A line of the message.\n", i+1))
		if err := os.WriteFile(filepath.Join(dir, "cur", fmt.Sprintf("17000000%02d.M1P1.siege:2,S", i)), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

const maildirMessages = 10

var listening = regexp.MustCompile(`msg=listening protocol=(\S+) address=(\S+)`)

// ready waits until the server listens, and reads from its log where.
func (s *server) ready(ctx context.Context) error {
	for by := time.Now().Add(patience); time.Now().Before(by); {
		for _, found := range listening.FindAllStringSubmatch(s.log(), -1) {
			switch found[1] {
			case "pop3":
				s.plain = found[2]
			case "pop3s":
				s.tls = found[2]
			case "console":
				s.console = found[2]
			}
		}
		if s.console != "" && s.tls != "" && s.plain != "" {
			return nil
		}
		select {
		case <-s.done:
			return errors.New("the server ended at once")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.New("the server does not listen")
}

// log gives the server's log until now.
func (s *server) log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// kill ends the server, and removes its files.
func (s *server) kill() {
	s.cmd.Process.Signal(syscall.SIGKILL) // it fails where the process has ended
	<-s.done
	os.RemoveAll(s.dir)
}

// Usage is what a server has of the machine.
type Usage struct {
	Memory      int64 // octets: resident, or the most that ever were
	Descriptors int
	Goroutines  int
}

// near reports whether so much is left of other as was there before, but for
// what comes and goes by itself.
func (u Usage) near(other Usage) bool {
	return u.Descriptors <= other.Descriptors+4 && u.Goroutines <= other.Goroutines+8
}

// usage measures.
func (s *server) usage(ctx context.Context) (u Usage, err error) {
	if u.Memory, err = s.status("VmRSS:"); err != nil {
		return u, err
	}
	if u.Goroutines, err = s.metric(ctx, "go_goroutines"); err != nil {
		return u, err
	}
	u.Descriptors, err = s.descriptors()
	return u, err
}

// peakUsage is usage without the goroutines, and with the most memory that
// there ever was.
func (s *server) peakUsage() (u Usage, err error) {
	if u.Memory, err = s.status("VmHWM:"); err != nil {
		return u, err
	}
	u.Descriptors, err = s.descriptors()
	return u, err
}

// settle waits until the server has given back what it took since before.
func (s *server) settle(ctx context.Context, before Usage) (u Usage, err error) {
	for by := time.Now().Add(patience / 3); ; {
		if u, err = s.usage(ctx); err != nil || u.near(before) || time.Now().After(by) {
			return u, err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return u, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// proc gives the path of a file of the kernel about the process.
func (s *server) proc(name string) string {
	return filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), name)
}

// status reads a line of sizes in kB.
func (s *server) status(field string) (int64, error) {
	text, err := os.ReadFile(s.proc("status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in %s: the server has ended", field, s.proc("status"))
}

func (s *server) descriptors() (int, error) {
	all, err := os.ReadDir(s.proc("fd"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errors.New("the server has ended")
	}
	return len(all), err
}

// cpu gives the processor time that the server has taken.
func (s *server) cpu() (time.Duration, error) {
	text, err := os.ReadFile(s.proc("stat"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold blanks
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s has another form than proc(5) says", s.proc("stat"))
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2) // USER_HZ is 100
}

// metric asks the console for a figure.
func (s *server) metric(ctx context.Context, name string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.console+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	request.Close = true // a connection kept open would be counted
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("the metrics hold no %s", name)
}

// clientTLS takes the certificate that the server made for itself.
func clientTLS() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }
