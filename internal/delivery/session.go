package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/emersion/go-smtp"

	"github.com/poplin-mail/poplin/maildrop"
)

// session is what an MTA says on a connection.
type session struct {
	server *Server
	conn   *smtp.Conn
	below  *conn
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc

	mu     sync.Mutex // a message that comes in chunks is taken while Reset may be called
	sender string
	to     []Recipient
}

var _ smtp.LMTPSession = (*session)(nil)

// newSession is called at LHLO.
func (s *Server) newSession(c *smtp.Conn) (smtp.Session, error) {
	ses := &session{server: s, conn: c, below: connOf(c.Conn())}
	ses.ctx, ses.cancel = context.WithCancel(context.Background())
	return ses, nil
}

// Codes of replies (RFC 5321 section 4.2.3).
const (
	OverQuotaTemporary = 452 // the MTA tries again
	OverQuotaPermanent = 552 // the sender hears of it

	codeClosing   = 421
	codeTemporary = 451
	codeNoUser    = 550
	codeTooLarge  = 552
)

// reply makes a reply of an error. Of what is wrong here the MTA, and perhaps
// the sender, hears no more than it needs: the log says it.
func (s *Server) reply(err error) error {
	answer := func(code int, subject, detail int, text string) error {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, subject, detail}, Message: text}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoUser):
		return answer(codeNoUser, 1, 1, "No such user here")
	case errors.Is(err, maildrop.ErrOverQuota):
		return answer(s.opts.OverQuota, 2, 2, "The mailbox is full")
	case errors.Is(err, ErrTooLarge):
		return answer(codeTooLarge, 3, 4, fmt.Sprintf("The message is larger than %d octets", s.opts.MaxMessage))
	}
	return answer(codeTemporary, 3, 0, "The message cannot be stored now")
}

// Mail implements smtp.Session.
func (ses *session) Mail(from string, opts *smtp.MailOptions) error {
	if ses.below.finished.Load() { // what is read now came before that, and may be no command at all
		return &smtp.SMTPError{Code: codeClosing, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "The connection is closed"}
	}
	if max := ses.server.opts.MaxMessage; max > 0 && opts.Size > max {
		ses.server.opts.Agent.observer().Refused(reasonTooLarge)
		return ses.server.reply(ErrTooLarge)
	}
	ses.begin(from)
	return nil
}

// Rcpt implements smtp.Session.
func (ses *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	rcpt, err := ses.server.opts.Agent.Recipient(ses.ctx, to)
	if err != nil {
		if !errors.Is(err, ErrNoUser) {
			ses.server.log.Error("recipient cannot be looked up", "to", to, "error", err)
		}
		return ses.server.reply(err)
	}
	ses.mu.Lock()
	defer ses.mu.Unlock()
	ses.to = append(ses.to, rcpt)
	return nil
}

// begin is the beginning of a message, or of none.
func (ses *session) begin(sender string) {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	ses.sender, ses.to = sender, nil
}

// LMTPData implements smtp.LMTPSession: the message is stored, with a reply for
// each recipient.
func (ses *session) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	ses.below.busy.Store(true)
	defer ses.below.busy.Store(false)
	var body io.Reader
	if _, chunked := r.(*io.PipeReader); chunked {
		body = &chunks{r: r, cut: ses.cut}
	} else {
		body = ses.data(r)
		defer ses.below.pausing.Store(false)
	}
	// Of a chunk that is not read to its end go-smtp makes one reply, however
	// many are due; and it may not know the end of data.
	defer io.Copy(io.Discard, body)
	server := ses.server
	env, to := ses.envelope()
	errs, err := server.opts.Agent.Deliver(ses.ctx, env, to, body)
	if err != nil {
		return server.reply(err)
	}
	// Whoever is named twice has two results in a row, both the same.
	for i, rcpt := range to {
		status.SetStatus(rcpt.Address, server.reply(errs[i]))
	}
	return nil
}

// data makes the reader of a message that comes by DATA.
func (ses *session) data(r io.Reader) io.Reader {
	c := ses.below
	c.goOn.Store(false)
	c.pausing.Store(true)
	return &dataEnd{r: r, goOn: func() { c.goOn.Store(true) }, missed: func() {
		c.busy.Store(false)
		c.finish()
	}}
}

func (ses *session) envelope() (Envelope, []Recipient) {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	protocol := "LMTP"
	if _, secure := ses.conn.TLSConnectionState(); secure {
		protocol = "LMTPS"
	}
	env := Envelope{Sender: ses.sender, Helo: ses.conn.Hostname(), Peer: ses.peer(), Protocol: protocol, Max: ses.server.opts.MaxMessage}
	return env, ses.to
}

// peer gives the address of the MTA, empty for a unix socket.
func (ses *session) peer() string {
	addr := ses.conn.Conn().RemoteAddr()
	if addr.Network() == "unix" {
		return ""
	}
	return addr.String()
}

// Data implements smtp.Session. LMTP has LMTPData.
func (ses *session) Data(io.Reader) error { return ses.server.reply(errors.ErrUnsupported) }

// Reset implements smtp.Session. It is called behind the replies for a message:
// a connection that is to end there ends now, and not behind what go-smtp has
// read already.
func (ses *session) Reset() {
	ses.begin("")
	if ses.below.finished.Load() {
		ses.conn.Conn().Close()
	}
}

// Logout implements smtp.Session.
func (ses *session) Logout() error {
	ses.cancel()
	return nil
}
