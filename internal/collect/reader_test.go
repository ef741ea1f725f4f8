package collect

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/fetch"
	"github.com/poplin-mail/poplin/pop3test"
)

// reader is an account that fetches from the server, with its own folder.
type reader struct {
	*evil
	dir   string
	notes notes // log, trace and events
}

// notes is a text that several goroutines write.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
	off  bool
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.off {
		return len(p), nil
	}
	return n.text.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// newReader writes a configuration. More is for the account.
func newReader(e *evil, timeout time.Duration, more string) *reader {
	e.serve()
	r := &reader{evil: e, dir: e.TempDir()}
	server, _ := pop3test.TLSConfigs()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificates[0].Certificate[0]})
	r.write("ca.pem", string(ca))
	r.configure(timeout, more)
	return r
}

func (r *reader) configure(timeout time.Duration, more string) {
	r.Helper()
	r.write("poplin.toml", fmt.Sprintf("state = \"state\"\n[fetch.work]\nserver = \"localhost:%s\"\nsecurity = %q\ntls_ca_file = \"ca.pem\"\nuser = %q\npassword = %q\nto = \"maildir:Mail\"\ntimeout = %q\n%s",
		r.port, r.security, user, password, timeout, more))
}

func (r *reader) write(name, text string) {
	r.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
}

// collector assembles the account.
func (r *reader) collector(opts Options) *Collector {
	r.Helper()
	cfg, err := config.Load(filepath.Join(r.dir, "poplin.toml"))
	if err != nil {
		r.Fatal(err)
	}
	opts.Logger, opts.Trace = slog.New(slog.NewTextHandler(&r.notes, nil)), &r.notes
	c, err := New(cfg, opts)
	if err != nil {
		r.Fatal(err)
	}
	return c
}

// run fetches once. Nothing that it tells is unfit for a terminal, and nothing
// holds the password.
func (r *reader) run(opts fetch.Options) Result {
	r.Helper()
	c := r.collector(Options{DryRun: opts.DryRun})
	defer c.Close()
	opts.Watch = nil
	c.Jobs[0].Watch.Event = func(e fetch.Event) { fmt.Fprintln(&r.notes, e.Text) }
	result := c.Once(r.Context(), opts, func(*Job, Result) {})[0]
	told := result.Error + r.notes.String() + fmt.Sprintf("%+v", *result.Report)
	if strings.ContainsFunc(told, func(c rune) bool { return c < ' ' && c != '\n' || c == 0x7f || c == '\u202e' || c == '\ufffd' }) {
		r.Errorf("what is told is not fit for a terminal: %q", told)
	}
	if strings.Contains(told, password) {
		r.Errorf("what is told holds the password: %s", told)
	}
	return result
}

// texts counts the texts in the Maildir.
func (r *reader) texts() map[string]int {
	r.Helper()
	count := make(map[string]int)
	names, _ := filepath.Glob(filepath.Join(r.dir, "Mail", "*", "*"))
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			r.Fatal(err)
		}
		count[string(content)]++
	}
	return count
}

// holds gives which messages are in the Maildir, by their index, and fails
// where one is there twice or is not whole.
func (r *reader) holds() (here []int) {
	r.Helper()
	for _, sub := range []string{"new", "cur", "tmp"} {
		names, _ := filepath.Glob(filepath.Join(r.dir, "Mail", sub, "*"))
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				r.Fatal(err)
			}
			i := slices.IndexFunc(r.mail, func(l *letter) bool { return l.text == string(content) })
			if i < 0 || sub == "tmp" || slices.Contains(here, i) {
				r.Errorf("%s/%s is no message, not whole, or a second copy: %.200q", sub, filepath.Base(name), content)
			}
			here = append(here, i)
		}
	}
	slices.Sort(here)
	return here
}
