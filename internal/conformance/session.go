package conformance

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

// session is one connection of a case, and the others that it opened.
type session struct {
	ctx      context.Context
	target   *Target
	found    *facts
	log      *transcript
	conn     *conn
	greeting string
	dele     bool // DELE was sent: QUIT must not be
	others   []*session
}

func newSession(ctx context.Context, target *Target, found *facts) *session {
	return &session{ctx: ctx, target: target, found: found, log: &transcript{secret: target.Password}}
}

// another makes a session of the same case, with the same transcript.
func (s *session) another() *session {
	o := newSession(s.ctx, s.target, s.found)
	o.log = s.log
	s.others = append(s.others, o)
	return o
}

// run brings the session to where the case begins, and takes its steps.
func (s *session) run(c *Case) error {
	if !c.Needs.Bare {
		if err := s.open(!c.Needs.Clear); err != nil {
			return err
		}
	}
	if c.Needs.Login {
		if err := s.login(); err != nil {
			return fmt.Errorf("cannot log in: %w", err)
		}
	}
	for _, step := range c.Steps {
		if err := step(s); err != nil {
			return err
		}
	}
	return nil
}

// open connects, reads the greeting and, where safe is set, goes on to TLS.
func (s *session) open(safe bool) error {
	if err := s.connect(s.target.TLSConfig); err != nil {
		return err
	}
	line, err := s.conn.line(pop3.MaxReplyLine)
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	if !isOK.match(line) {
		return fmt.Errorf("greeting: want %s, got %q", isOK.what, pop3.Sanitize(line))
	}
	s.greeting = line
	if safe && s.target.TLS == STLS {
		return s.startTLS()
	}
	return nil
}

// connect opens the connection, with TLS from the first octet where the
// target has it so, and reads nothing.
func (s *session) connect(config *tls.Config) error {
	c, err := s.target.Dial(s.ctx, "tcp", s.target.Addr)
	if err != nil {
		return fmt.Errorf("cannot connect: %w", err)
	}
	s.attach(c)
	if s.target.TLS == Implicit {
		return s.handshake(config)
	}
	return nil
}

func (s *session) attach(c net.Conn) {
	if deadline, ok := s.ctx.Deadline(); ok {
		c.SetDeadline(deadline)
	}
	context.AfterFunc(s.ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	s.conn = newConn(c, s.log)
}

func (s *session) handshake(config *tls.Config) error {
	c := tls.Client(s.conn.Conn, config)
	if err := c.HandshakeContext(s.ctx); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	s.log.add("", "(TLS)")
	s.conn = newConn(c, s.log)
	return nil
}

// startTLS is STLS, and the handshake.
func (s *session) startTLS() error {
	if reply, err := s.ask("STLS"); err != nil {
		return fmt.Errorf("STLS: %w", err)
	} else if !isOK.match(reply) {
		return fmt.Errorf("STLS is refused: %q", pop3.Sanitize(reply))
	}
	return s.handshake(s.target.TLSConfig)
}

// finish ends every session of the case. It says QUIT where no mail can come
// to harm by it, so that the maildrop is free at once.
func (s *session) finish() {
	for _, o := range s.others {
		o.finish()
	}
	if s.conn == nil {
		return
	}
	if !s.dele {
		s.conn.SetDeadline(time.Now().Add(min(s.target.Timeout, time.Second)))
		if s.send("QUIT\r\n") == nil {
			for {
				if _, err := s.conn.rawLine(); err != nil {
					break
				}
			}
		}
	}
	s.conn.Close()
}

// send sends octets. Names in braces stand for facts: {user}, {first} for the
// number of a message, {past} for the number behind the last one; and for
// secrets, which the transcript shows by their names: {password}, {plain}.
func (s *session) send(octets string) error {
	shown := s.expand(octets)
	for line := range strings.SplitSeq(strings.TrimSuffix(shown, "\n"), "\n") {
		s.log.add("C: ", strings.TrimSuffix(line, "\r"))
	}
	verbs := strings.ToUpper(shown)
	if strings.Contains(verbs, "QUIT") && (s.dele || strings.Contains(verbs, "DELE")) && !s.target.Destructive {
		return errors.New("refused to send QUIT behind DELE: mail would be deleted")
	}
	s.dele = s.dele || strings.Contains(verbs, "DELE")
	if _, err := s.conn.Write([]byte(s.fillSecrets(shown))); err != nil {
		return s.conn.failed(err)
	}
	return nil
}

func (s *session) expand(text string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	first, last := 1, 1
	if len(s.found.small) > 0 {
		first, last = s.found.small[0].Number, s.found.small[len(s.found.small)-1].Number
	}
	return strings.NewReplacer(
		"{user}", s.target.User,
		"{first}", strconv.Itoa(first),
		"{last}", strconv.Itoa(last),
		"{past}", strconv.Itoa(len(s.found.messages)+1),
	).Replace(text)
}

func (s *session) fillSecrets(text string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + s.target.User + "\x00" + s.target.Password))
	return strings.NewReplacer(
		"{password}", s.target.Password,
		"{plain}", plain,
		"{plain-tab}", plain[:4]+"\t"+plain[4:],
	).Replace(text)
}

// ask sends a command and reads a status line.
func (s *session) ask(command string) (string, error) {
	if err := s.send(command + "\r\n"); err != nil {
		return "", err
	}
	return s.conn.line(pop3.MaxReplyLine)
}

// askList sends a command that ought to have a multi-line reply, and gives
// the reply's lines.
func (s *session) askList(command string) ([]string, error) {
	text, _, err := s.askText(command)
	if err != nil || text == "" {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(text, "\r\n"), "\r\n"), nil
}

// askText is askList for a message.
func (s *session) askText(command string) (text string, seen dots, err error) {
	reply, err := s.ask(command)
	if err != nil {
		return "", seen, err
	}
	if !isOK.match(reply) {
		return "", seen, fmt.Errorf("%s: want %s, got %q", s.expand(command), isOK.what, pop3.Sanitize(reply))
	}
	text, seen, err = s.conn.content()
	if err != nil {
		err = fmt.Errorf("%s: %w", s.expand(command), err)
	}
	return text, seen, err
}

// capabilities asks CAPA. Works is false where the server does not know it.
func (s *session) capabilities() (cs pop3.Capabilities, works bool, err error) {
	reply, err := s.ask("CAPA")
	if err != nil || !isOK.match(reply) {
		return nil, false, err
	}
	text, _, err := s.conn.content()
	for line := range strings.Lines(text) {
		cs = append(cs, pop3.ParseCapability(strings.TrimSuffix(line, "\r\n")))
	}
	return cs, true, err
}

// list asks LIST and reads every line of it.
func (s *session) list() ([]pop3.Listing, error) {
	lines, err := s.askList("LIST")
	if err != nil {
		return nil, err
	}
	all := make([]pop3.Listing, 0, len(lines))
	for _, line := range lines {
		l, err := pop3.ParseListing(line)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// uidl asks UIDL and reads every line of it.
func (s *session) uidl() ([]pop3.UID, error) {
	lines, err := s.askList("UIDL")
	if err != nil {
		return nil, err
	}
	all := make([]pop3.UID, 0, len(lines))
	for _, line := range lines {
		u, err := pop3.ParseUID(line)
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

// login logs in. While an earlier session of the run is not yet gone, the
// maildrop is in use; it is asked for again until the case's time is over.
func (s *session) login() error {
	for {
		reply, err := s.tryLogin()
		if err != nil || isOK.match(reply) {
			return err
		}
		if !strings.Contains(strings.ToUpper(reply), "[IN-USE]") {
			return fmt.Errorf("%q", pop3.Sanitize(reply))
		}
		select {
		case <-s.ctx.Done():
			return fmt.Errorf("%q, for %v", pop3.Sanitize(reply), s.target.Timeout)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// tryLogin logs in once and gives the last reply.
func (s *session) tryLogin() (string, error) {
	if s.found.capa && !s.found.before.Has(pop3.CapUser) {
		return s.ask("AUTH PLAIN {plain}")
	}
	reply, err := s.ask("USER {user}")
	if err != nil || !isOK.match(reply) {
		return reply, err
	}
	return s.ask("PASS {password}")
}

// logout ends a session in which nothing was marked, and waits for its end.
func (s *session) logout() error {
	if reply, err := s.ask("QUIT"); err != nil {
		return fmt.Errorf("QUIT: %w", err)
	} else if !isOK.match(reply) {
		return fmt.Errorf("QUIT: want %s, got %q", isOK.what, pop3.Sanitize(reply))
	}
	return s.conn.Close()
}
