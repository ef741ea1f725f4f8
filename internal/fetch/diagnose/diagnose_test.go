package diagnose

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/poplin-mail/poplin/pop3client"
	"github.com/poplin-mail/poplin/pop3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short is the limit of tests in which a server keeps silent.
const short = 200 * time.Millisecond

// resolver knows addresses by name.
type resolver map[string]any // []string or error

func (r resolver) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if network != "ip" {
		return nil, errors.New("the network is " + network)
	}
	switch v := r[host].(type) {
	case []string:
		var addrs []netip.Addr
		for _, s := range v {
			addrs = append(addrs, netip.MustParseAddr(s))
		}
		return addrs, nil
	case error:
		return nil, v
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// local is a resolver for which every name of the tests is this machine.
var local = resolver{
	"mail.example.org": []string{"127.0.0.1"}, "pop.gmail.com": []string{"127.0.0.1"}, "outlook.office365.com": []string{"127.0.0.1"},
	"pop.mail.yahoo.com": []string{"127.0.0.1"}, "pop.gmx.net": []string{"127.0.0.1"},
}

// serve runs a server for the connections of one test, and gives its port.
func serve(t *testing.T, session func(conn net.Conn)) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(30 * time.Second))
				session(conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return l.Addr().(*net.TCPAddr).Port
}

// says is a session in which the server says something and then answers
// commands by a table, everything else by "-ERR no".
func says(greeting string, answers map[string]string) func(net.Conn) {
	return func(conn net.Conn) {
		fmt.Fprint(conn, greeting)
		in := bufio.NewScanner(conn)
		for in.Scan() {
			verb, _, _ := strings.Cut(in.Text(), " ")
			answer, known := answers[verb]
			if !known {
				answer = "-ERR no"
			}
			if answer == "close" {
				return
			}
			fmt.Fprint(conn, answer+"\r\n")
		}
	}
}

// silent is a session in which nothing is said until the client goes.
func silent(conn net.Conn) { io.Copy(io.Discard, conn) }

// password is a login that must not show in any text.
func password(ctx context.Context, c *pop3client.Client) error {
	return c.Login(ctx, "bela", "pass word")
}

// last gives the last step.
func last(steps []Step) Step { return steps[len(steps)-1] }

// show prints steps.
func show(steps []Step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "%v %s: %s", s.OK, s.Name, s.Text)
		if s.Advice != "" {
			fmt.Fprintf(&b, " -> %s", s.Advice)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// check looks at the last step, and at what holds of all.
func check(t *testing.T, name string, steps []Step, want string) {
	t.Helper()
	step, text, _ := strings.Cut(want, ": ")
	s := last(steps)
	if s.OK || s.Name != step || !strings.Contains(s.Text+" -> "+s.Advice, text) {
		t.Errorf("%s: want %s\n%s", name, want, show(steps))
	}
	sound(t, name, steps)
}

// sound checks what holds of all steps.
func sound(t *testing.T, name string, steps []Step) {
	t.Helper()
	for _, s := range steps {
		if !s.OK && s.Advice == "" {
			t.Errorf("%s: a failure without advice: %s", name, s.Text)
		}
		if all := s.Text + s.Advice; strings.Contains(all, "pass word") || strings.ContainsAny(all, "\x1b\r\n\x00") || len(all) > 3000 {
			t.Errorf("%s: %q", name, all)
		}
	}
}

// A login that works goes through all steps, with each security.
func TestExplainAllWell(t *testing.T) {
	s := pop3test.NewServer(t)
	for security, addr := range map[Security]string{TLS: s.TLSAddr, STLS: s.Addr, Insecure: s.Addr} {
		steps := Explain(t.Context(), target(t, addr, Target{Host: "127.0.0.1", Security: security, TLSConfig: s.ClientTLS}),
			func(ctx context.Context, c *pop3client.Client) error { return c.Login(ctx, s.User, s.Password) })
		var names []string
		for _, step := range steps {
			names = append(names, step.Name)
			if !step.OK {
				t.Errorf("%s: %s: %s", security, step.Name, step.Text)
			}
		}
		want := map[Security]string{
			TLS:      "name connection TLS greeting capabilities mechanisms login",
			STLS:     "name connection greeting capabilities TLS capabilities mechanisms login",
			Insecure: "name connection greeting capabilities mechanisms login",
		}[security]
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s", security, got)
		}
		sound(t, string(security), steps)
		if security != Insecure && !strings.Contains(show(steps), "TLS 1.3, TLS_") {
			t.Errorf("%s: %s", security, show(steps))
		}
	}
	steps := Explain(t.Context(), target(t, s.TLSAddr, Target{Host: "127.0.0.1", Security: TLS, TLSConfig: s.ClientTLS}), nil)
	if last(steps).Name != Mechanisms || !last(steps).OK {
		t.Errorf("without a login:\n%s", show(steps))
	}
}

// target sets the port of an address.
func target(t *testing.T, addr string, x Target) Target {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = fmt.Sscan(port, &x.Port)
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestName(t *testing.T) {
	names := resolver{
		"servfail.example": &net.DNSError{Err: "server misbehaving", IsTemporary: true},
		"timeout.example":  &net.DNSError{Err: "i/o timeout", IsTimeout: true, IsTemporary: true},
		"late.example":     context.DeadlineExceeded,
		"other.example":    errors.New("odd\x1b"),
		"empty.example":    []string{},
	}
	for host, want := range map[string]string{
		"nxdomain.example": "name: there is no such name",
		"servfail.example": "name: (SERVFAIL)",
		"timeout.example":  "name: no name server answered in time",
		"late.example":     "name: no name server answered in time",
		"other.example":    "name: odd?",
		"empty.example":    "name: no such name, or it has no address",
		"":                 "name: names no server",
		"bela@example.org": "name: an address of a person",
		"https://pop.org":  "name: is not the name of a server",
		"pop.org:995":      "name: is not the name of a server",
		"po\x1bp.example":  "name: po?p.example: there is no such name",
	} {
		check(t, host, Explain(t.Context(), Target{Host: host, Security: TLS, Resolver: names}, nil), want)
	}
	check(t, "security", Explain(t.Context(), Target{Host: "x", Security: "ssl\x1b"}, nil), `TLS: security "ssl?"`)
}

// dialer fails as a table says, by address.
type dialer map[string]error

func (d dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := d[addr]; err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func TestConnection(t *testing.T) {
	refused := &os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}
	for name, test := range map[string]struct {
		err  error
		port int
		want string
	}{
		"refused":          {refused, 995, "connection: 127.0.0.1:995: the connection is refused"},
		"refused, 995":     {refused, 995, `connection: port 110 with security = "stls"`},
		"refused, 110":     {refused, 110, `connection: port 995 with security = "tls"`},
		"refused, other":   {refused, 8080, "connection: and not on 8080"},
		"no net":           {syscall.ENETUNREACH, 995, "connection: no way to it"},
		"no host":          {syscall.EHOSTUNREACH, 995, "connection: no way to it"},
		"forbidden":        {syscall.EPERM, 995, "connection: forbids the connection"},
		"timeout":          {context.DeadlineExceeded, 995, "connection: no answer came in time"},
		"system's timeout": {syscall.ETIMEDOUT, 995, "connection: no answer came in time"},
		"something else":   {errors.New("odd\x1b"), 995, "connection: odd?"},
	} {
		x := Target{Host: "mail.example.org", Port: test.port, Security: TLS, Resolver: local, Dialer: dialer{fmt.Sprint("127.0.0.1:", test.port): test.err}}
		check(t, name, Explain(t.Context(), x, nil), test.want)
	}
}

// Nobody listens on a port that was given up.
func TestConnectionRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	check(t, "refused", Explain(t.Context(), Target{Host: "127.0.0.1", Port: port, Security: TLS}, nil), "connection: refused")
}

// Every address is tried, each has its step, and the first that works is used.
func TestConnectionAddresses(t *testing.T) {
	port := serve(t, says("+OK ready\r\n", map[string]string{"CAPA": "+OK\r\nUSER\r\n.", "QUIT": "+OK"}))
	steps := Explain(t.Context(), Target{
		Host: "two.example", Port: port, Security: Insecure,
		Resolver: resolver{"two.example": []string{"2001:db8::1", "::ffff:127.0.0.1", "192.0.2.1"}},
		Dialer: dialer{
			fmt.Sprintf("[2001:db8::1]:%d", port): syscall.ENETUNREACH, fmt.Sprintf("192.0.2.1:%d", port): syscall.ECONNREFUSED,
		},
	}, nil)
	got := show(steps)
	for _, want := range []string{
		"true name: two.example has the addresses 2001:db8::1, 127.0.0.1, 192.0.2.1\n",
		fmt.Sprintf("false connection: [2001:db8::1]:%d: there is no way", port),
		fmt.Sprintf("true connection: 127.0.0.1:%d takes connections", port),
		fmt.Sprintf("false connection: 192.0.2.1:%d: the connection is refused", port),
		"true greeting: the server greets: \"ready\"\n",
		"true mechanisms: the server offers USER; USER is used -> everybody on the way",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	sound(t, "addresses", steps)
}
