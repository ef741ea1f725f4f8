package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/poplin-mail/poplin/pop3server"
)

// Server processes that share a state folder, as they do for a while after an
// upgrade, have a socket each.
const (
	controlFolder  = "run"
	controlPattern = "control-*.sock"
	maxSocketPath  = 107  // octets: what Linux takes
	maxKick        = 4096 // octets of a request
)

// Session is a session that runs, as `poplin who --json` prints it.
type Session struct {
	Session     string    `json:"session"` // its name in the log
	User        string    `json:"user"`    // empty before login
	RIP         string    `json:"rip"`     // the remote IP address
	TLS         bool      `json:"tls"`
	Mechanism   string    `json:"mechanism"`
	Device      string    `json:"device"` // the label of the app password
	State       string    `json:"state"`
	Started     time.Time `json:"started"`
	LastCommand time.Time `json:"last_command,omitzero"`
	Command     string    `json:"command"` // the last verb
	Messages    int       `json:"messages"`
	Retrieved   int       `json:"retrieved"`
	Marked      int       `json:"marked"` // as deleted; QUIT removes them
	OctetsIn    int64     `json:"octets_in"`
	OctetsOut   int64     `json:"octets_out"`
	PID         int       `json:"pid"` // of the server process
}

// Selection says which sessions to cut: those that have all that is set.
type Selection struct {
	User    string `json:"user,omitempty"`    // in any case
	Session string `json:"session,omitempty"` // its name in the log
	RIP     string `json:"rip,omitempty"`     // an IP address
}

var errSelectsAll = errors.New("a user, a session or an address must be named")

// matcher gives the function that finds the sessions. A Selection without
// anything is an error: it would be all.
func (s Selection) matcher() (func(pop3server.SessionInfo) bool, error) {
	if s == (Selection{}) {
		return nil, errSelectsAll
	}
	var rip netip.Addr
	if s.RIP != "" {
		var err error
		if rip, err = netip.ParseAddr(s.RIP); err != nil {
			return nil, fmt.Errorf("%q is not an IP address", s.RIP)
		}
		rip = rip.Unmap().WithZone("")
	}
	return func(i pop3server.SessionInfo) bool {
		if s.RIP != "" {
			if addr, err := netip.ParseAddr(i.Remote); err != nil || addr != rip {
				return false
			}
		}
		return (s.User == "" || strings.EqualFold(s.User, i.User)) && (s.Session == "" || s.Session == i.ID)
	}, nil
}

// kicked is the answer to a Selection.
type kicked struct {
	Kicked int `json:"kicked"`
}

// Control is the socket on which a server answers `poplin who` and `poplin
// kick`. ListenControl makes one.
type Control struct {
	listener *net.UnixListener
	path     string
	http     http.Server
}

// ListenControl makes the control socket below the state folder, and removes
// those that processes left there which have ended. Only this process's user
// may open it, and root: call it with the user that is to serve.
func ListenControl(state string, logger *slog.Logger) (*Control, error) {
	dir := filepath.Join(state, controlFolder)
	if err := makeFolder(dir); err != nil {
		return nil, fmt.Errorf("folder of the control socket: %w", err)
	}
	path := filepath.Join(dir, fmt.Sprintf("control-%d.sock", os.Getpid()))
	making := path + ".new"
	if len(making) > maxSocketPath {
		return nil, fmt.Errorf("the path of the control socket %s has %d octets, and the system takes %d: set a shorter path in state", making, len(making), maxSocketPath)
	}
	removeStale(dir)
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("another server listens on the control socket %s: give each machine or container a state folder of its own", path)
	}
	// It gets its name once it answers: nobody takes it for a stale one.
	if err := os.Remove(making); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: making, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(making, 0o600)
	if err == nil {
		err = os.Rename(making, path)
	}
	if err != nil {
		l.Close()
		os.Remove(making)
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &Control{listener: l, path: path, http: newHTTP(nil, logger)}, nil
}

// makeFolder makes a folder for this user alone, or closes one to others.
func makeFolder(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	case info.Mode().Perm() != 0o700:
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// removeStale removes the sockets that nobody answers.
func removeStale(dir string) {
	paths, _ := filepath.Glob(filepath.Join(escape(dir), controlPattern)) // the pattern is right
	for _, path := range paths {
		if conn, err := net.Dial("unix", path); err == nil {
			conn.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			os.Remove(path)
		}
	}
}

// escape writes a path as a pattern of filepath.Glob.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// Serve answers for the server until Close.
func (c *Control) Serve(s *pop3server.Server) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sessions", func(w http.ResponseWriter, _ *http.Request) { answer(w, list(s)) })
	mux.HandleFunc("POST /kick", func(w http.ResponseWriter, r *http.Request) {
		var which Selection
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxKick))
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&which)
		var match func(pop3server.SessionInfo) bool
		if err == nil {
			match, err = which.matcher()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, kicked{s.Kick(match)})
	})
	c.http.Handler = mux
	return serve(&c.http, c.listener)
}

// Close ends Serve and removes the socket.
func (c *Control) Close() {
	os.Remove(c.path)
	closeHTTP(&c.http)
	c.listener.Close() // where Serve was never called
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who asked may be gone
}

func list(s *pop3server.Server) []Session {
	infos := s.List()
	sessions := make([]Session, len(infos))
	for i, info := range infos {
		sessions[i] = Session{
			Session: info.ID, User: info.User, RIP: info.Remote, TLS: info.TLS, Mechanism: info.Mechanism, Device: info.Device,
			State: info.State, Started: info.Started, LastCommand: info.LastCommand, Command: info.Command,
			Messages: info.Messages, Retrieved: info.Retrieved, Marked: info.Deleted,
			OctetsIn: info.OctetsIn, OctetsOut: info.OctetsOut, PID: os.Getpid(),
		}
	}
	return sessions
}
