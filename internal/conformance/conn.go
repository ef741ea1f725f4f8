package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

// Bounds on what a server may send, so that a hostile one costs little.
const (
	maxLine    = 64 * 1024 // of a message; status lines have their own limit
	maxListing = 64 << 20  // octets of a multi-line reply
	maxLog     = 24        // lines of a transcript that are kept
)

var errClosed = errors.New("the server closed the connection")

// conn is a connection with a raw reader that takes CRLF for a line end and
// nothing else, and a transcript.
type conn struct {
	net.Conn
	r   *bufio.Reader
	log *transcript
}

func newConn(c net.Conn, log *transcript) *conn {
	return &conn{Conn: c, r: bufio.NewReaderSize(c, maxLine), log: log}
}

// line reads a line and gives it without its CRLF.
func (c *conn) line(limit int) (string, error) {
	line, err := c.rawLine()
	if err != nil {
		return "", err
	}
	c.log.add("S: ", line)
	if len(line)+2 > limit {
		return "", fmt.Errorf("the server sent a line of %d octets, %d is the limit", len(line)+2, limit)
	}
	return line, nil
}

func (c *conn) rawLine() (string, error) {
	b, err := c.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("the server sent a line of more than %d octets", maxLine)
	case err != nil && len(b) > 0 && !isTimeout(err):
		return "", fmt.Errorf("the server closed the connection inside a line: %q", pop3.Sanitize(string(b)))
	case err != nil:
		return "", c.failed(err)
	}
	line, ok := strings.CutSuffix(string(b), "\r\n")
	if !ok {
		return "", fmt.Errorf("the server ended a line with a bare LF: %q", pop3.Sanitize(string(b)))
	}
	return line, nil
}

// dots counts the lines of a reply that begin with a dot.
type dots struct {
	stuffed int
	bare    string // the first that is not stuffed: a client drops its dot
}

// content reads a multi-line reply behind its status line, dots unstuffed as
// clients do it, up to the terminator.
func (c *conn) content() (text string, seen dots, err error) {
	var b strings.Builder
	bol := true
	for {
		piece, err := c.r.ReadSlice('\n')
		full := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !full {
			return "", seen, fmt.Errorf("no terminator: %w", c.failed(err))
		}
		s := string(piece)
		if bol && s[0] == '.' {
			if s == ".\r\n" {
				c.log.add("S: ", fmt.Sprintf("(%d octets and the terminator)", b.Len()))
				return b.String(), seen, nil
			}
			if s[1:2] == "." {
				seen.stuffed++
			} else if seen.bare == "" {
				seen.bare = s
			}
			s = s[1:]
		}
		b.WriteString(s)
		if b.Len() > maxListing {
			return "", seen, fmt.Errorf("the reply has more than %d octets", maxListing)
		}
		if bol = !full; bol && !strings.HasSuffix(b.String(), "\r\n") {
			return "", seen, fmt.Errorf("a line ends with a bare LF: %q", pop3.Sanitize(s))
		}
	}
}

// failed names what happened to the connection.
func (c *conn) failed(err error) error {
	switch {
	case isTimeout(err):
		c.log.add("", "(nothing more came)")
		return errors.New("the server did not answer in time")
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), isReset(err):
		c.log.add("", "(closed by the server)")
		return errClosed
	}
	return err
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// isReset is about connections that the kernel or TLS says were cut.
func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, io.ErrUnexpectedEOF)
}

// transcript keeps the last lines of what went over a case's connections.
type transcript struct {
	lines  []string
	secret string
}

func (t *transcript) add(prefix, text string) {
	t.lines = append(t.lines, prefix+pop3.Sanitize(t.redact(text)))
	if len(t.lines) > maxLog {
		t.lines = t.lines[1:]
	}
}

// redact takes the password out of a text: servers exist that send it back.
func (t *transcript) redact(text string) string {
	if len(t.secret) <= 2 {
		return text // it would show in every word
	}
	return strings.ReplaceAll(text, t.secret, "{password}")
}
