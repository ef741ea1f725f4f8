package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startBehindBalancer starts a server that takes 127.0.0.1 for a balancer,
// and admits few sessions an address.
func startBehindBalancer(t *testing.T) poplinServer {
	t.Helper()
	s := startPoplin(t, false)
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	s.process, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		s.configure(t, false, plain, tls)
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, "[proxy]\ntrusted = [\"127.0.0.1/32\"]\n[limits]\nsessions_per_address = 2\n"...)
		if err := os.WriteFile(s.config, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return s.command()
	})
	return s
}

// lines is a client that speaks for itself, from an address of the loopback.
type lines struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dialFrom(t *testing.T, from, addr, header string) *lines {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Deadline: time.Now().Add(patience)}
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, header); err != nil {
		t.Fatal(err)
	}
	return &lines{conn, t, bufio.NewReader(conn)}
}

// want reads a line, which must begin so.
func (l *lines) want(reply string) {
	l.t.Helper()
	line, err := l.r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, reply) {
		l.t.Fatalf("%q, %v, want %s", line, err, reply)
	}
}

func (l *lines) do(command, reply string) {
	l.t.Helper()
	if _, err := io.WriteString(l, command+"\r\n"); err != nil {
		l.t.Fatal(err)
	}
	l.want(reply)
}

func v1From(ip string) string {
	return fmt.Sprintf("PROXY TCP4 %s 198.51.100.1 4711 110\r\n", ip)
}

// v2OverTLS is the header of version 2 of a balancer that took the client's
// TLS off: 192.0.2.8:4711 to 198.51.100.1:110, PP2_TYPE_SSL.
const v2OverTLS = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x1e" +
	"\xc0\x00\x02\x08\xc6\x33\x64\x01\x12\x67\x00\x6e" + "\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3"

// TestProxyProtocol covers "PROXY header from an untrusted address -> refused;
// truncated or oversized -> closed; limits count the real address".
func TestProxyProtocol(t *testing.T) {
	s := startBehindBalancer(t)

	// Clear text, and no word that the client came over TLS: no passwords.
	c := dialFrom(t, "127.0.0.1", s.plain, v1From("192.0.2.7"))
	c.want("+OK")
	c.do("USER "+s.user, "-ERR")

	// The balancer took TLS off: passwords are taken, and the failure is
	// logged with the client's address.
	c = dialFrom(t, "127.0.0.1", s.plain, v2OverTLS)
	c.want("+OK")
	c.do("USER "+s.user, "+OK")
	c.do("PASS wrong", "-ERR [AUTH]")
	c.do("USER "+s.user, "+OK")
	c.do("PASS "+s.password, "+OK")
	c.do("QUIT", "+OK")
	if log := s.process.log.String(); !strings.Contains(log, "rip=192.0.2.8") || strings.Contains(log, "rip=127.0.0.1") {
		t.Error("the failed login is not logged with the client's address")
	}

	// The balancer passes TLS through: the header comes before the handshake.
	c = dialFrom(t, "127.0.0.1", s.tls, v1From("192.0.2.9"))
	inner := tls.Client(c.Conn, &tls.Config{RootCAs: s.authority.roots, ServerName: "localhost"})
	c = &lines{inner, t, bufio.NewReader(inner)}
	c.want("+OK")
	c.do("USER "+s.user, "+OK")
	c.do("PASS "+s.password, "+OK")
	c.do("QUIT", "+OK")

	// The limit is each client's, not the balancer's.
	var open []*lines
	for _, ip := range []string{"203.0.113.1", "203.0.113.1", "203.0.113.2", "203.0.113.2", "203.0.113.3"} {
		c := dialFrom(t, "127.0.0.1", s.plain, v1From(ip))
		c.want("+OK")
		open = append(open, c)
	}
	dialFrom(t, "127.0.0.1", s.plain, v1From("203.0.113.1")).want("-ERR")
	for _, c := range open {
		c.do("NOOP", "-ERR") // it is there, and not logged in
	}
}

// TestProxyProtocolRefused: nobody chooses his own address.
func TestProxyProtocolRefused(t *testing.T) {
	s := startBehindBalancer(t)
	c := dialFrom(t, "127.0.0.2", s.plain, v1From("192.0.2.7"))
	c.want("+OK")
	c.want("-ERR")

	for name, header := range map[string]string{
		"missing":   "CAPA\r\n",
		"oversized": "PROXY TCP4 " + strings.Repeat("1", 200),
		"wrong":     "PROXY TCP4 192.0.2.777 198.51.100.1 4711 110\r\n",
	} {
		c := dialFrom(t, "127.0.0.1", s.plain, header)
		if text, _ := io.ReadAll(c); len(text) > 0 { // however it is closed
			t.Errorf("%s: the server says %q", name, text)
		}
	}
	c = dialFrom(t, "127.0.0.1", s.plain, v1From("192.0.2.7")[:20])
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if text, _ := io.ReadAll(c); len(text) > 0 {
		t.Errorf("truncated: the server says %q", text)
	}
}
