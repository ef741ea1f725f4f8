package pop3client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/poplin-mail/poplin/internal/wire"
	"github.com/poplin-mail/poplin/pop3"
)

// command is a line to be sent.
type command struct {
	name    string   // for errors: verb and number, nothing secret
	line    string   // as sent, without its line end
	shown   string   // as traced
	secrets []string // what must not come back out of a reply
}

// newCommand makes a command of a verb and its arguments.
func newCommand(verb string, args ...string) (command, error) {
	for _, arg := range args {
		if !pop3.ValidArgument(arg) {
			return command{}, argumentError(verb, "it holds CR, LF or NUL")
		}
	}
	line := verb
	if len(args) > 0 {
		line += " " + strings.Join(args, " ")
	}
	if len(line)+2 > pop3.MaxCommandLine {
		return command{}, argumentError(verb, fmt.Sprintf("the line is longer than %d octets", pop3.MaxCommandLine))
	}
	return command{name: verb, line: line, shown: line}, nil
}

// numbered makes a command about one message.
func numbered(verb string, n int, args ...string) (command, error) {
	if n < 1 || n > pop3.MaxMessages {
		return command{}, argumentError(verb, "message number "+strconv.Itoa(n)+" is out of range")
	}
	cmd, err := newCommand(verb, append([]string{strconv.Itoa(n)}, args...)...)
	cmd.name = verb + " " + strconv.Itoa(n)
	return cmd, err
}

// exec sends a command and reads its status line.
func (c *Client) exec(ctx context.Context, cmd command) (text string, err error) {
	if err := c.begin(ctx, cmd.name); err != nil {
		return "", err
	}
	defer c.end()
	if err := c.send(cmd); err != nil {
		return "", err
	}
	return c.status(cmd.name, cmd.secrets...)
}

// simple is exec for a command without arguments whose text says nothing.
func (c *Client) simple(ctx context.Context, verb string) error {
	_, err := c.exec(ctx, command{name: verb, line: verb, shown: verb})
	return err
}

// execList sends a command and reads a multi-line reply of at most limit
// lines. Each gets the lines; an error of it breaks the session.
func (c *Client) execList(ctx context.Context, cmd command, limit int, each func(line string) error) error {
	if err := c.begin(ctx, cmd.name); err != nil {
		return err
	}
	defer c.end()
	if err := c.send(cmd); err != nil {
		return err
	}
	return c.list(cmd.name, limit, each)
}

// list reads the status line and the lines of a multi-line reply.
func (c *Client) list(name string, limit int, each func(line string) error) error {
	if _, err := c.status(name); err != nil {
		return err
	}
	tracing := c.trace.on()
	for lines := 0; ; lines++ {
		line, done, err := c.r.ReadListLine(maxReplyLine)
		if err != nil {
			return c.fail(name, err)
		}
		if tracing {
			c.trace.server(shownListLine(line, done))
		}
		switch {
		case done:
			return nil
		case lines >= limit:
			return c.fail(name, &ProtocolError{name, fmt.Sprintf("the list has more than %d lines", limit)})
		}
		if err := each(string(line)); err != nil {
			return c.fail(name, err)
		}
	}
}

// shownListLine gives a line of a list its form on the wire again.
func shownListLine(line []byte, done bool) string {
	if done || (len(line) > 0 && line[0] == '.') {
		return "." + string(line)
	}
	return string(line)
}

// send sends one command.
func (c *Client) send(cmd command) error {
	c.trace.client(cmd.shown)
	c.w.Line(cmd.line)
	if err := c.w.Flush(); err != nil {
		return c.fail(cmd.name, err)
	}
	return nil
}

// status reads a status line (RFC 1939 section 3) and gives its text. A
// negative reply is an error that wraps a *pop3.Error and leaves the session
// as it is. Secrets are taken out of what the server says.
func (c *Client) status(name string, secrets ...string) (string, error) {
	line, err := c.r.ReadLine(maxReplyLine)
	if err != nil {
		return "", c.fail(name, err)
	}
	return c.parseStatus(name, string(line), secrets)
}

func (c *Client) parseStatus(name, line string, secrets []string) (string, error) {
	text, err := pop3.ParseReply(line)
	var negative *pop3.Error
	switch {
	case err == nil:
		if c.trace.on() {
			c.trace.server(strings.TrimSpace("+OK " + scrub(text, secrets)))
		}
		return text, nil
	case errors.As(err, &negative):
		negative.Code = scrubCode(negative.Code, secrets)
		negative.Text = pop3.Sanitize(scrub(negative.Text, secrets))
		c.trace.server("-ERR " + negative.Error())
		return "", refused(name, negative)
	}
	line = pop3.Sanitize(scrub(line, secrets))
	c.trace.server(line)
	return "", c.fail(name, &ProtocolError{name, fmt.Sprintf("reply %q is neither +OK nor -ERR", line)})
}

// scrubCode drops a response code that echoes a secret, in whatever case. The
// codes that mean something are kept: a short secret may be part of them.
func scrubCode(code pop3.Code, secrets []string) pop3.Code {
	for _, known := range []pop3.Code{pop3.InUse, pop3.LoginDelay, pop3.SysTemp, pop3.SysPerm, pop3.Auth, pop3.UTF8} {
		if code == known {
			return code
		}
	}
	for _, secret := range secrets {
		if secret != "" && strings.Contains(string(code), strings.ToUpper(secret)) {
			return ""
		}
	}
	return code
}

// scrub takes secrets out of a text that a server may have echoed.
func scrub(text string, secrets []string) string {
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, redacted)
		}
	}
	return text
}

// fail breaks the session: it closes the connection, and every later call
// gives the error that fail gives now. Name is the command that was running.
func (c *Client) fail(name string, err error) error {
	return c.broken(c.explain(name, err))
}

// broken is fail for an error that needs no explanation.
func (c *Client) broken(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		c.cut()
	}
	return c.err
}

// explain says what an error of the connection means.
func (c *Client) explain(name string, err error) error {
	var protocol *ProtocolError
	switch {
	case errors.As(err, &protocol):
		return err
	case c.base.wasInterrupted() && c.ctx.Err() != nil:
		err = c.ctx.Err()
	case errors.Is(err, wire.ErrLineTooLong):
		return &ProtocolError{name, "the server sent a line that is too long"}
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("pop3client: %s: the server made no progress for %v: %w", name, c.options.Timeout, err)
	}
	return fmt.Errorf("pop3client: %s: %w", name, err)
}
