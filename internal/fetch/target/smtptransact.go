package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/poplin-mail/poplin/pop3"
)

// deliver sends one message.
func (s *SMTP) deliver(ctx context.Context, m *Message) error {
	f, err := s.open(m)
	if err != nil {
		return err
	}
	defer f.Close()
	whole := func() io.Reader { return wireForm(m.ID, io.NewSectionReader(f, 0, m.Octets), false) }
	e, err := readEnvelope(io.NewSectionReader(f, 0, m.Octets))
	if err != nil {
		return err
	}
	octets, err := size(whole())
	if err != nil {
		return err
	}
	if most, known := s.client.MaxMessageSize(); known && most > 0 && octets > int64(most) {
		return &Refusal{Permanent: true, Reason: fmt.Sprintf("the message has %d octets, and the server takes %d", octets, most)}
	}
	s.conn.step()
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	defer stop()
	if err = s.transact(s.sender(e), octets, whole()); err == nil {
		return nil
	}
	var refused *Refusal
	if !errors.As(err, &refused) || s.client.Reset() != nil {
		s.drop()
	}
	if refused == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return err
}

// sender gives the envelope sender of a message. An address that the server
// cannot take is none.
func (s *SMTP) sender(e envelope) string {
	sender := e.sender
	switch s.opts.Sender {
	case "":
	case "<>":
		sender = ""
	default:
		sender = s.opts.Sender
	}
	if utf8, _ := s.client.Extension("SMTPUTF8"); !ascii(sender) && !utf8 {
		sender = ""
	}
	return sender
}

func ascii(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > '~' })
}

// transact is one mail transaction.
func (s *SMTP) transact(sender string, octets int64, message io.Reader) error {
	if err := s.address(sender, octets); err != nil {
		return s.early(err)
	}
	w, err := s.client.Data()
	if err != nil {
		return s.early(s.opts.at("at DATA", refusal(err, toData)))
	}
	// A message that could not be read or sent to its end must not be ended.
	if _, err := io.Copy(w, message); err != nil {
		return s.opts.at("within the message", err)
	}
	return s.opts.at("before it said that it has the message", refusal(w.Close(), toData))
}

// endedEarly says that a connection on which messages have gone before ended
// between two: the server has nothing of the next.
type endedEarly struct{ error }

// Unwrap gives how it ended.
func (e *endedEarly) Unwrap() error { return e.error }

// early tells an error before the message itself from others. Whatever is wrong
// shows again on a new connection, if it was not the end of this one.
func (s *SMTP) early(err error) error {
	if !s.carried || errors.As(err, new(*Refusal)) {
		return err
	}
	return &endedEarly{err}
}

// address says who sends, and to whom.
func (s *SMTP) address(sender string, octets int64) error {
	err := s.from(sender, octets)
	var e *smtp.SMTPError
	if s.opts.Sender == "" && sender != "" && errors.As(err, &e) && badSender(e) {
		sender = "" // the message tells it nonetheless
		if s.from(sender, octets) == nil {
			err = nil
		}
	}
	if err != nil {
		return s.opts.at("at MAIL", refusal(err, toMail))
	}
	err = s.client.Rcpt(s.opts.Recipient, nil)
	if sender == "" || !errors.As(err, &e) || !vague(e) {
		return s.opts.at("at RCPT", refusal(err, toRcpt))
	}
	// Without a status this may be about the sender, as Exim's "550 Sender
	// verify failed" is: then the server takes the recipient of a message that
	// has none.
	refused := refusal(err, toRcpt)
	if err := s.client.Reset(); err != nil {
		return s.opts.at("at RSET", said(err))
	}
	if s.from("", octets) != nil || s.client.Rcpt(s.opts.Recipient, nil) != nil {
		return refused
	}
	return &Refusal{Permanent: true, Reason: said(err).Error()}
}

// from sends MAIL.
func (s *SMTP) from(sender string, octets int64) error {
	return s.client.Mail(sender, &smtp.MailOptions{Size: octets, UTF8: !ascii(sender) || !ascii(s.opts.Recipient)})
}

// step is the command that was refused.
type step uint8

const (
	toMail step = iota
	toRcpt
	toData
)

// refusal tells what a negative reply is about. Replies that would be the same
// for every message are about the target: that the server is closing, wants a
// login, or knows no such recipient.
func refusal(err error, to step) error {
	var e *smtp.SMTPError
	if err == nil || !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Code == 421 || e.Code < 400 || e.Code > 599, // RFC 5321 section 3.8
		e.Code == 530 || e.Code == 535 || e.Code == 538, // RFC 4954 section 6
		to == toRcpt && e.Code >= 500 && badRecipient(e):
		return said(err)
	}
	return &Refusal{Permanent: e.Code >= 500, Reason: said(err).Error()}
}

// badSender tells that a server cannot read the sender's address, as opposed to
// one that wants nothing from there.
func badSender(e *smtp.SMTPError) bool {
	status := e.EnhancedCode
	return status == smtp.EnhancedCode{5, 1, 7} || status[0] != 5 && (e.Code == 501 || e.Code == 553) || e.Code == 501 && status[1] == 5
}

// badRecipient tells by RFC 3463 section 3.2 whether a refusal of the recipient
// is about its address. Servers refuse senders there too.
func badRecipient(e *smtp.SMTPError) bool {
	status := e.EnhancedCode
	return vague(e) || status[0] == 5 && status[1] == 1 && status[2] != 7 && status[2] != 8
}

// vague tells that a refusal has the code of a bad address, and no status that
// says whose.
func vague(e *smtp.SMTPError) bool {
	return e.EnhancedCode[0] != 5 && (e.Code == 550 || e.Code == 551 || e.Code == 553)
}

// said makes of a reply what a person can read.
func said(err error) error {
	var e *smtp.SMTPError
	if !errors.As(err, &e) {
		return err
	}
	text := fmt.Sprint(e.Code)
	if e.EnhancedCode[0] > 0 {
		text += fmt.Sprintf(" %d.%d.%d", e.EnhancedCode[0], e.EnhancedCode[1], e.EnhancedCode[2])
	}
	return errors.New("the server says: " + text + " " + pop3.Sanitize(strings.ReplaceAll(e.Message, "\n", " ")))
}
