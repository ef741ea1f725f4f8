package diagnose

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// maxBanner is how much of a greeting is looked at.
const maxBanner = 512

// peeked is a connection whose first line was looked at, and can be read still.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// peekedTLS is peeked for TLS, which the client must recognise as such.
type peekedTLS struct {
	*tls.Conn
	r *bufio.Reader
}

func (p peekedTLS) Read(b []byte) (int, error) { return p.r.Read(b) }

// greet takes the greeting, and makes a client where it is one of POP3.
func (x *explainer) greet(ctx context.Context) *pop3client.Client {
	r := bufio.NewReaderSize(x.conn, maxBanner)
	line, err := x.firstLine(ctx, r)
	if !strings.HasPrefix(line, "+OK") && !strings.HasPrefix(line, "-ERR") {
		text, advice := x.noPOP3(ctx, line, err)
		x.failed(Greeting, text, advice)
		return nil
	}
	var conn net.Conn = peeked{x.conn, r}
	if secured, ok := x.conn.(*tls.Conn); ok {
		conn = peekedTLS{secured, r}
	}
	ctx, cancel := x.within(ctx)
	defer cancel()
	c, err := pop3client.New(ctx, conn, &pop3client.Options{
		TLSConfig: x.tlsConfig(), Timeout: x.Timeout, Mechanisms: x.Mechanisms, InsecureAuth: x.Security == Insecure,
	})
	if err != nil {
		text, advice := x.explainReply(err)
		x.failed(Greeting, "the server does not want the connection: "+text, advice)
		return nil
	}
	x.ok(Greeting, "the server greets: "+quoted(c.Greeting()), "")
	return c
}

// firstLine waits for the first line, which it leaves in r. Of a line that does
// not end it gives what came.
func (x *explainer) firstLine(ctx context.Context, r *bufio.Reader) (string, error) {
	end := time.Now().Add(x.Timeout)
	if limit, ok := ctx.Deadline(); ok && limit.Before(end) {
		end = limit
	}
	x.conn.SetReadDeadline(end)
	defer x.conn.SetReadDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { x.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		b, err := r.Peek(r.Buffered() + 1)
		if r.Buffered() > len(b) {
			b, _ = r.Peek(r.Buffered())
		}
		if line, _, found := strings.Cut(string(b), "\n"); found || err != nil {
			return strings.TrimSuffix(line, "\r"), err
		}
	}
}

// noPOP3 says what there is instead of POP3.
func (x *explainer) noPOP3(ctx context.Context, line string, err error) (text, advice string) {
	if what := speaks(line); what != "" {
		return "this is " + what + ", and not a POP3 server: it says " + quoted(line), usualPorts(x.Port)
	}
	alert := remoteAlert(err) // with TLS 1.3 a server looks at the client's certificate after the handshake
	switch {
	case alert != "":
		return explainAlert(alert)
	case line != "":
		return "this is no POP3 server: it says " + quoted(line), usualPorts(x.Port)
	case !isTimeout(err):
		return "the server closed the connection without a word",
			"it may refuse this machine's address, or have too many connections of yours; look for other programs that fetch the same mail, and try again later"
	case x.Security != TLS && x.speaksTLS(ctx):
		return "the server waits for TLS", `set security = "tls"`
	}
	if line := x.provoke(ctx); line != "" {
		if what := speaks(line); what != "" {
			return "this is " + what + ", and not a POP3 server: it says " + quoted(line), usualPorts(x.Port)
		}
	}
	return "no greeting came in time", "this is no POP3 server, or one that is overloaded; check server and its port"
}

// speaks tells other protocols by their first line.
func speaks(line string) string {
	upper := strings.ToUpper(line)
	switch {
	case strings.HasPrefix(upper, "HTTP/") || strings.HasPrefix(upper, "<!DOCTYPE") || strings.HasPrefix(upper, "<HTML"):
		return "a web server (HTTP)"
	case strings.HasPrefix(upper, "* OK") || strings.HasPrefix(upper, "* PREAUTH") || strings.HasPrefix(upper, "* BYE"):
		return "an IMAP server"
	case strings.HasPrefix(upper, "220") && strings.Contains(upper, "FTP"):
		return "an FTP server"
	case strings.HasPrefix(upper, "220"), strings.HasPrefix(upper, "421"), strings.HasPrefix(upper, "554"):
		return "an SMTP server, for mail that is sent"
	case strings.HasPrefix(upper, "SSH-"):
		return "an SSH server"
	case strings.HasPrefix(upper, "200 ") || strings.HasPrefix(upper, "201 "):
		return "a news server (NNTP)"
	case strings.HasPrefix(line, "\x15\x03"), strings.HasPrefix(line, "\x16\x03"):
		return "a server that speaks TLS from the first octet"
	}
	return ""
}

// speaksTLS tries TLS on a connection of its own, for the server's protocol
// alone: nothing is sent over it.
func (x *explainer) speaksTLS(ctx context.Context) bool {
	ctx, cancel := x.within(ctx)
	defer cancel()
	conn, err := x.dial(ctx, x.addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	return tls.Client(conn, &tls.Config{ServerName: x.serverName(), InsecureSkipVerify: true}).HandshakeContext(ctx) == nil
}

// provoke sends what a POP3 server answers in any case, and others often too.
func (x *explainer) provoke(ctx context.Context) string {
	x.conn.SetWriteDeadline(time.Now().Add(x.Timeout))
	if _, err := x.conn.Write([]byte("CAPA\r\n\r\n")); err != nil {
		return ""
	}
	line, _ := x.firstLine(ctx, bufio.NewReaderSize(x.conn, maxBanner))
	return line
}

// quoted shows what a server said.
func quoted(s string) string { return "\"" + pop3.Sanitize(s) + "\"" }

// capabilities asks what the server can.
func (x *explainer) capabilities(ctx context.Context, c *pop3client.Client) (pop3.Capabilities, bool) {
	ctx, cancel := x.within(ctx)
	defer cancel()
	caps, err := c.Capa(ctx)
	var refusal *pop3.Error
	switch {
	case errors.As(err, &refusal):
		x.ok(Capabilities, "the server has no CAPA (RFC 2449), as very old ones: "+quoted(refusal.Error()), "")
	case err != nil:
		text, advice := x.explainReply(err)
		x.failed(Capabilities, text, advice)
		return nil, false
	default:
		x.ok(Capabilities, "the server offers "+list(caps), "")
	}
	return caps, true
}

func list(caps pop3.Capabilities) string {
	if len(caps) == 0 {
		return "nothing"
	}
	names := make([]string, len(caps))
	for i, c := range caps {
		names[i] = pop3.Sanitize(c.String())
	}
	return strings.Join(names, ", ")
}
