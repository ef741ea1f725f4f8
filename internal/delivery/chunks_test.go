package delivery

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// secured serves over TCP with STARTTLS too, and gives a function that dials.
func secured(t *testing.T) (*post, func() (*mta, net.Conn)) {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(web.Close)
	p := newPost(t, users, Options{
		Trusted:   []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		TLSConfig: &tls.Config{Certificates: web.TLS.Certificates},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.serve(l)
	return p, func() (*mta, net.Conn) {
		t.Helper()
		below, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := greeted(t, below)
		c.send("LHLO x\r\nSTARTTLS\r\n")
		c.expect("250", "220")
		c.Conn = tls.Client(below, &tls.Config{InsecureSkipVerify: true})
		c.r = bufio.NewReader(c.Conn)
		return c, below
	}
}

// TestChunkCut: a message whose connection ends within its last chunk is no
// message, whatever the end looks like.
func TestChunkCut(t *testing.T) {
	const message = "Subject: x\r\n\r\nbody\r\n"
	p, dial := secured(t)
	for name, connect := range map[string]func() (c *mta, end func()){
		"unix socket": func() (*mta, func()) {
			c := p.dial()
			return c, func() { c.Conn.(*net.UnixConn).CloseWrite() }
		},
		"TLS, close_notify": func() (*mta, func()) {
			c, _ := dial()
			return c, func() { c.Conn.(*tls.Conn).CloseWrite() }
		},
		"TLS, FIN": func() (*mta, func()) {
			c, below := dial()
			return c, func() { below.(*net.TCPConn).CloseWrite() }
		},
	} {
		for n := range len(message) {
			for _, before := range []string{"", "BDAT 3\r\nabc"} {
				c, end := connect()
				c.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\n" + before)
				c.expect("250", "250", "250")
				c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(message), message[:n]))
				end()
				rest, _ := io.ReadAll(c.r)
				if strings.Contains(string(rest), "250 2.0.0 <anna") {
					t.Errorf("%s: with %d octets of %d it is acknowledged", name, n, len(message))
				}
				c.Close()
			}
		}
	}
	if got := p.mail("anna@example.org"); len(got) != 0 {
		t.Errorf("%d parts of messages were delivered, the first is %q", len(got), got[0])
	}
}

// TestChunkWhole: and one that is whole is delivered, though the connection
// ends behind it, or goes on at once.
func TestChunkWhole(t *testing.T) {
	p, dial := secured(t)
	for i, behind := range []string{"", "QUIT\r\n", "NOOP\r\nQUIT\r\n"} {
		for _, c := range []*mta{p.dial(), func() *mta { c, _ := dial(); return c }()} {
			c.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nBDAT 2\r\naaBDAT 4 LAST\r\nbb\r\n" + behind)
			c.expect("250", "250", "250", "250", "250 2.0.0 <anna@example.org>")
			c.Close()
		}
		got := p.mail("anna@example.org")
		if want := 2 * (i + 1); len(got) != want {
			t.Errorf("with %q behind it there are %d messages, want %d", behind, len(got), want)
		}
		for _, message := range got {
			if body(message) != "aabb\n" {
				t.Errorf("delivered is %q", message)
			}
		}
	}
	c, _ := dial()
	for range 3 {
		c.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bert@example.org>\r\nBDAT 4 LAST\r\nbb\r\n")
		c.expect("250", "250", "250", "250 2.0.0 <bert@example.org>")
	}
	if got := p.mail("bert@example.org"); len(got) != 3 || !strings.Contains(got[0], "with LMTPS id") {
		t.Errorf("by one connection came %q", got)
	}
}

// TestDataSecure: DATA over TLS, in parts that meet records in every way.
func TestDataSecure(t *testing.T) {
	p, dial := secured(t)
	c, _ := dial()
	c.send("LHLO x\r\n")
	c.expect("250")
	for size, lines := range map[int]int{1: 10, 100: 1000, 5000: 1000, 40_000: 1000} {
		c.send("MAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n")
		c.expect("250", "250", "354")
		text := strings.Repeat(strings.Repeat("x", 70)+"\r\n", lines)
		for part := range slices.Chunk([]byte(text+".\r\n"), size) {
			c.send(string(part))
		}
		c.expect("250 2.0.0 <anna@example.org>")
		got := p.mail("anna@example.org")
		if stored := body(got[len(got)-1]); len(stored) != 71*lines {
			t.Errorf("in parts of %d octets, %d of %d were delivered", size, len(stored), 71*lines)
		}
	}
	c.send("MAIL FROM:<>\r\nRCPT TO:<bert@example.org>\r\nDATA\r\na\r\r\n.\r\nMAIL FROM:<>\r\n")
	c.expect("250", "250", "354", "250 2.0.0 <bert@example.org>")
	c.ended()
	if got := p.mail("bert@example.org"); len(got) != 1 || body(got[0]) != "a\r\r\n" {
		t.Errorf("delivered is %q", got)
	}
}
