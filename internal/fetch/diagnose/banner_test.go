package diagnose

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3test"
)

// What is no POP3 server is called by its name.
func TestGreetingOfOthers(t *testing.T) {
	for greeting, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n":              "greeting: a web server (HTTP), and not a POP3 server: it says \"HTTP/1.1 400",
		"* OK [CAPABILITY IMAP4rev1] ready\r\n":     "greeting: an IMAP server",
		"* BYE no more\r\n":                         "greeting: an IMAP server",
		"220 mx.example.org ESMTP Postfix\r\n":      "greeting: an SMTP server",
		"220-wait\r\n":                              "greeting: an SMTP server",
		"554 5.7.1 go away\r\n":                     "greeting: an SMTP server",
		"220 ProFTPD server\r\n":                    "greeting: an FTP server",
		"SSH-2.0-OpenSSH_9.2\r\n":                   "greeting: an SSH server",
		"200 news.example.org InterNetNews\r\n":     "greeting: a news server",
		"\x15\x03\x01\x00\x02\x02\x46\n":            "greeting: speaks TLS from the first octet",
		"hello\x1b[31m\r\n":                         `greeting: this is no POP3 server: it says "hello?[31m"`,
		strings.Repeat("x", 2000) + "\r\n":          "greeting: xxx...",
		"-ERR [SYS/TEMP] not now\r\n":               "greeting: does not want the connection: the server has a fault that passes",
		"-ERR too many connections from you\r\n":    "greeting: counts too many",
		"+OKidoki, this is something else\r\n":      "greeting: what the server says is not POP3",
		"+OK " + strings.Repeat("x", 9000) + "\r\n": "greeting: what the server says is not POP3",
	} {
		port := serve(t, says(greeting, nil))
		steps := Explain(t.Context(), Target{Host: "mail.example.org", Port: port, Security: STLS, Resolver: local}, nil)
		check(t, greeting[:min(len(greeting), 40)], steps, want)
	}
}

// A server that waits for the client to speak first is told by what it answers.
func TestNoGreeting(t *testing.T) {
	serverTLS, _ := pop3test.TLSConfigs()
	const enough = 2 * time.Second // for the next connection of the same test
	for name, test := range map[string]struct {
		session func(net.Conn)
		limit   time.Duration
		want    string
	}{
		"closed at once": {func(net.Conn) {}, 0, "greeting: closed the connection without a word"},
		"silence":        {silent, short, "greeting: no greeting came in time"},
		"half a line":    {func(c net.Conn) { fmt.Fprint(c, "+O"); silent(c) }, enough, `greeting: this is no POP3 server: it says "+O"`},
		"a web server": {func(c net.Conn) {
			c.Read(make([]byte, 100))
			fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}, enough, "greeting: a web server"},
		"TLS": {func(c net.Conn) {
			tls.Server(c, serverTLS).Handshake()
			silent(c)
		}, enough, `greeting: waits for TLS -> set security = "tls"`},
	} {
		for _, security := range []Security{STLS, Insecure} {
			t.Run(name+" "+string(security), func(t *testing.T) {
				t.Parallel()
				port := serve(t, test.session)
				steps := Explain(t.Context(), Target{Host: "mail.example.org", Port: port, Security: security, Resolver: local, Timeout: test.limit}, nil)
				check(t, name, steps, test.want)
			})
		}
	}
}

// A server that makes TLS and then says nothing.
func TestNoGreetingInTLS(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS := pop3test.TLSConfigs()
	port := serve(t, func(c net.Conn) {
		silent(tls.Server(c, serverTLS))
	})
	steps := Explain(t.Context(), Target{Host: "127.0.0.1", Port: port, Security: TLS, TLSConfig: clientTLS, Timeout: 2 * time.Second}, nil)
	check(t, "silence in TLS", steps, "greeting: no greeting came in time")
}

func TestCapabilities(t *testing.T) {
	for name, test := range map[string]struct {
		capa  string
		limit time.Duration
		want  string
	}{
		"cut":       {"close", 0, "capabilities: closed the connection instead of an answer"},
		"no list":   {"hello", 0, "capabilities: is not POP3"},
		"no end":    {"+OK\r\nUSER", short, "capabilities: does not answer in time"},
		"no end II": {"+OK" + strings.Repeat("\r\nUSER", 300), 0, "capabilities: is not POP3"},
	} {
		port := serve(t, says("+OK ready\r\n", map[string]string{"CAPA": test.capa}))
		check(t, name, Explain(t.Context(), Target{Host: "mail.example.org", Port: port, Security: Insecure, Resolver: local, Timeout: test.limit}, nil), test.want)
	}
	port := serve(t, says("+OK ready\r\n", nil))
	steps := Explain(t.Context(), Target{Host: "mail.example.org", Port: port, Security: Insecure, Resolver: local}, nil)
	if got := show(steps); !last(steps).OK || !strings.Contains(got, "no CAPA") || !strings.Contains(got, "USER is used") {
		t.Errorf("without CAPA:\n%s", got)
	}
}

// A context that ends, ends what waits.
func TestCancel(t *testing.T) {
	over := make(chan struct{})
	port := serve(t, func(net.Conn) { <-over })
	defer close(over)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(short, cancel)
	steps := Explain(ctx, Target{Host: "mail.example.org", Port: port, Security: Insecure, Resolver: local, Timeout: time.Hour}, nil)
	if last(steps).OK || last(steps).Name != Greeting {
		t.Errorf("%s", show(steps))
	}
}
