// Package process is what a server does as a process: it takes listening
// sockets from systemd or from the program that it replaces (Inherit), gives
// up rights that it no longer needs (Drop, Sandbox), tells systemd how it is
// (Notify), and puts a new program in its place without closing a socket
// (Sockets.Upgrade).
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	firstFD   = 3                                    // of those that are handed on; systemd's SD_LISTEN_FDS_START
	socketEnv = "POPLIN_SOCKETS"                     // of an upgrade: a JSON list of what the descriptors are
	readyFD   = firstFD                              // of an upgrade: where readiness is told; sockets follow
	unixMark  = "unix:"                              // before the path in an address
	allNames  = "pop3, pop3s, lmtp, console or acme" // that a socket of systemd may have
)

// Sockets are the listening sockets of this process: those it inherited and
// those it bound. It is used by one goroutine at a time.
type Sockets struct {
	inherited []socket // not asked for yet
	open      []socket
	ready     *os.File // where the program that is replaced waits; nil: there is none
}

// socket is a listening socket and how it is asked for.
type socket struct {
	Name string
	Addr string // as in the configuration; empty: systemd chose it
	l    net.Listener
}

// Inherit takes over the sockets that were handed to this process, by systemd
// (sd_listen_fds(3)) or by the program that it replaces. There may be none.
func Inherit() (*Sockets, error) {
	if text, ok := os.LookupEnv(socketEnv); ok {
		os.Unsetenv(socketEnv)
		return inheritUpgrade(text)
	}
	return inheritSystemd()
}

func inheritUpgrade(text string) (*Sockets, error) {
	s := &Sockets{}
	if err := json.Unmarshal([]byte(text), &s.inherited); err != nil {
		return nil, fmt.Errorf("%s, which only a server sets for its successor: %w", socketEnv, err)
	}
	unix.CloseOnExec(readyFD)
	s.ready = os.NewFile(readyFD, "ready")
	for i := range s.inherited {
		l, err := listenerOf(readyFD + 1 + i)
		if err != nil {
			return nil, fmt.Errorf("socket %s of the server before: %w", s.inherited[i].Name, err)
		}
		s.inherited[i].l = l
	}
	return s, nil
}

func inheritSystemd() (*Sockets, error) {
	s := &Sockets{}
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	if count == "" || pid != strconv.Itoa(os.Getpid()) {
		return s, nil
	}
	n, err := strconv.Atoi(count)
	named := strings.Split(names, ":")
	if err != nil || len(named) != n {
		return nil, fmt.Errorf("LISTEN_FDS=%s does not go with LISTEN_FDNAMES=%s: set FileDescriptorName in each socket unit", count, names)
	}
	for i, name := range named {
		if !slices.Contains([]string{"pop3", "pop3s", "lmtp", "console", "acme"}, name) {
			return nil, fmt.Errorf("a socket unit hands over a socket named %q: set FileDescriptorName in it to %s", name, allNames)
		}
		l, err := listenerOf(firstFD + i)
		if err != nil {
			return nil, fmt.Errorf("socket %s of systemd: %w", name, err)
		}
		s.inherited = append(s.inherited, socket{Name: name, l: l})
	}
	return s, nil
}

// listenerOf makes a listener of a descriptor, which it closes.
func listenerOf(fd int) (net.Listener, error) {
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "socket")
	if f == nil {
		return nil, os.ErrInvalid
	}
	defer f.Close()
	return net.FileListener(f)
}

// Listen gives the listeners of name for addresses of the configuration,
// "host:port" or "unix:path": inherited ones where they fit, others are bound.
// Where systemd chose the addresses of name, these are all, and addrs does not
// count. With an error, what was bound is closed.
func (s *Sockets) Listen(ctx context.Context, name string, addrs []string) ([]net.Listener, error) {
	var all []net.Listener
	take := func(want socket) {
		s.open = append(s.open, want)
		all = append(all, want.l)
	}
	s.inherited = slices.DeleteFunc(s.inherited, func(have socket) bool {
		if have.Name != name || have.Addr != "" {
			return false
		}
		take(have)
		return true
	})
	if len(all) > 0 {
		return all, nil
	}
	for _, addr := range addrs {
		i := slices.IndexFunc(s.inherited, func(have socket) bool { return have.Name == name && have.is(addr) })
		if i >= 0 {
			have := s.inherited[i]
			s.inherited = slices.Delete(s.inherited, i, i+1)
			have.Addr = addr
			take(have)
			continue
		}
		l, err := listen(ctx, addr)
		if err != nil {
			return nil, &BindError{Name: name, Addr: addr, Err: err}
		}
		take(socket{Name: name, Addr: addr, l: l})
	}
	return all, nil
}

// Given tells whether systemd made the socket, whose owner and mode are then
// what its unit says.
func (s *Sockets) Given(l net.Listener) bool {
	return slices.ContainsFunc(s.open, func(have socket) bool { return have.l == l && have.Addr == "" })
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	path, ok := strings.CutPrefix(addr, unixMark)
	if !ok {
		return new(net.ListenConfig).Listen(ctx, "tcp", addr)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if errors.Is(err, unix.EADDRINUSE) && left(ctx, path) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		l, err = new(net.ListenConfig).Listen(ctx, "unix", path)
	}
	return l, err
}

// left tells whether a socket was left behind by a server that is gone.
func left(ctx context.Context, path string) bool {
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, unix.ECONNREFUSED)
}

// BindError is why an address of the configuration could not be bound.
type BindError struct {
	Name, Addr string
	Err        error
}

func (e *BindError) Error() string { return e.Name + ".listen: " + e.Err.Error() }

// Unwrap gives the cause.
func (e *BindError) Unwrap() error { return e.Err }

// is reports whether the socket is the one for addr: asked for by the same
// words, or bound to what they mean.
func (s socket) is(addr string) bool {
	if s.Addr == addr {
		return true
	}
	bound, ok := s.l.Addr().(*net.TCPAddr)
	if !ok {
		return false
	}
	want, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil || want.Port != bound.Port || want.Port == 0 {
		return false
	}
	return want.IP.Equal(bound.IP) || (want.IP == nil || want.IP.Equal(net.IPv6unspecified)) && bound.IP.Equal(net.IPv6unspecified)
}

// CloseUnused closes the inherited sockets that nobody asked for, and gives
// their addresses.
func (s *Sockets) CloseUnused() []string {
	var closed []string
	for _, unused := range s.inherited {
		closed = append(closed, unused.Name+" "+unused.l.Addr().String())
		unused.l.Close()
	}
	s.inherited = nil
	return closed
}

// Close closes all sockets. Those that are served are closed already.
func (s *Sockets) Close() {
	s.CloseUnused()
	for _, served := range s.open {
		served.l.Close()
	}
	s.open = nil
}

// files duplicates the sockets for another process. The caller closes them.
func (s *Sockets) files() ([]*os.File, error) {
	var all []*os.File
	for _, served := range s.open {
		l, ok := served.l.(interface{ File() (*os.File, error) })
		if !ok {
			return all, errors.ErrUnsupported
		}
		f, err := l.File()
		if err != nil {
			return all, err
		}
		all = append(all, f)
		if u, ok := served.l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // the path is the successor's
		}
	}
	return all, nil
}
