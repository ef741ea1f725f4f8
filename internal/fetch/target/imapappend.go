package target

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// appending is the delivery of a batch. A server that has a message to write
// gets the next command already.
type appending struct {
	t       *IMAP
	errs    []error
	pending []pending
	refused int   // connections that ended over a refusal
	down    error // why nothing more is sent
}

// pending is an APPEND that has no answer yet.
type pending struct {
	i   int
	cmd *imapclient.AppendCommand
}

const (
	// ahead is how many APPENDs are sent without an answer.
	ahead = 16

	// refusals is how often a connection may end over a refusal, which is what
	// the library does, in one batch. A server that has no room would be logged
	// into for each message.
	refusals = 8
)

// append sends one message. The answer may come later.
func (a *appending) append(ctx context.Context, i int, m *Message) error {
	t := a.t
	if err := t.connect(ctx); err != nil {
		a.down = err
		return err
	}
	f, err := t.open(m)
	if err != nil {
		a.down = err
		return err
	}
	defer f.Close()
	whole := func() io.Reader { return wireForm(m.ID, io.NewSectionReader(f, 0, m.Octets), true) }
	e, err := readEnvelope(io.NewSectionReader(f, 0, m.Octets))
	if err == nil {
		var octets int64
		if octets, err = size(whole()); err == nil {
			if limit, _ := t.client.Caps().AppendLimit(); limit != nil && octets > int64(*limit) { // RFC 7889
				return &Refusal{Permanent: true, Reason: fmt.Sprintf("the message has %d octets, and the server takes %d", octets, *limit)}
			}
			err = a.send(ctx, i, e, octets, whole())
		}
	}
	if err != nil && !errors.As(err, new(*Refusal)) {
		a.down = err
	}
	return err
}

// send sends the command. The server has the whole timeout for each part of the
// message, and again for its answer.
func (a *appending) send(ctx context.Context, i int, e envelope, octets int64, message io.Reader) error {
	t := a.t
	var cmd *imapclient.AppendCommand
	err := within(ctx, t.opts.Timeout, t.conn, func() error {
		cmd = t.client.Append(t.opts.Folder, octets, &imap.AppendOptions{Flags: t.flags, Time: e.date.UTC()})
		_, err := cmd.Write(nil) // the library has waited for the server to ask for the message
		return err
	})
	if err == nil {
		stop := context.AfterFunc(ctx, func() { t.conn.Close() })
		defer stop()
		if _, err = io.Copy(cmd, message); err != nil {
			t.conn.Close() // a command without all its octets must not be ended
		}
	}
	a.pending = append(a.pending, pending{i, cmd})
	if closeErr := cmd.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		a.collect(ctx, ahead-1)
		return nil
	}
	var said *imap.Error
	if !errors.As(err, &said) {
		a.collect(ctx, 0)
		return cmp.Or(ctx.Err(), t.opts.at("within the message", err))
	}
	// Those before it have their answers, as the server gives them in order.
	a.pending = slices.DeleteFunc(a.pending, func(p pending) bool { return p.cmd == cmd })
	a.settle(ctx, said)
	t.drop()
	if a.refused++; a.refused == refusals {
		a.down = fmt.Errorf("the server refuses one message after the other: %w", plain(err))
	}
	return appendError(said)
}

// collect waits for answers until so many are left.
func (a *appending) collect(ctx context.Context, left int) {
	for len(a.pending) > left {
		p := a.pending[0]
		a.pending = a.pending[1:]
		var data *imap.AppendData
		err := within(ctx, a.t.opts.Timeout, a.t.conn, func() (err error) {
			data, err = p.cmd.Wait()
			return err
		})
		a.answer(p.i, data, err)
	}
}

// settle takes the answers that there are when the library has ended the
// connection over a refusal. It gives that to all that have none: what became
// of those is found out in the next run.
func (a *appending) settle(ctx context.Context, said *imap.Error) {
	for _, p := range a.pending {
		data, err := p.cmd.Wait()
		if err == error(said) {
			err = errNoAnswer
		}
		a.answer(p.i, data, err)
	}
	a.pending = nil
}

var errNoAnswer = errors.New("the connection ended before the server said that it has the message")

// answer notes the answer to one APPEND.
func (a *appending) answer(i int, data *imap.AppendData, err error) {
	var said *imap.Error
	switch {
	case err == nil:
		if data != nil && data.UIDValidity == a.t.mark.validity && data.UID >= a.t.mark.next && data.UID+1 != 0 {
			a.t.mark.next = data.UID + 1
		}
		return
	case errors.As(err, &said):
		err = appendError(said)
	default:
		err = a.t.opts.at("before it said that it has the message", err)
		a.t.drop()
	}
	if a.errs[i] = err; a.down == nil && !errors.As(err, new(*Refusal)) {
		a.down = err
	}
}

// appendError tells what a negative answer is about.
func appendError(e *imap.Error) error {
	switch e.Code {
	case imap.ResponseCodeTooBig, imap.ResponseCodeLimit:
		return &Refusal{Permanent: true, Reason: plain(e).Error()}
	case imap.ResponseCodeTryCreate, imap.ResponseCodeNonExistent, imap.ResponseCodeNoPerm, imap.ResponseCodeAuthorizationFailed,
		imap.ResponseCodeExpired, imap.ResponseCodePrivacyRequired, imap.ResponseCodeUnavailable, imap.ResponseCodeInUse:
		return plain(e)
	}
	return &Refusal{Reason: plain(e).Error()}
}
