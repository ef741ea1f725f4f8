package pop3client

import (
	"context"
	"errors"
	"io"
	"iter"
	"math"

	"github.com/poplin-mail/poplin/pop3"
)

// RetrieveOptions say what RetrieveAll retrieves. The zero value is every
// message, with the default window.
type RetrieveOptions struct {
	// Numbers are the messages to retrieve, in that order. Nil stands for all
	// that LIST gives.
	Numbers []int

	// Listings and UIDs are what List and Uidl gave, in this session, so that
	// they are not asked for again. Nil has RetrieveAll ask the server. An
	// empty slice that is not nil stands for sizes or unique-ids that are not
	// known and need not be.
	Listings []pop3.Listing
	UIDs     []pop3.UID

	// Window is how many RETR may be under way where the server announces
	// PIPELINING; without that it is one. Zero or less stands for
	// DefaultWindow.
	Window int

	// WindowOctets is how many octets the messages under way may have
	// together, by their announced sizes; a larger message goes alone. Memory
	// does not depend on it. Zero or less stands for DefaultWindowOctets.
	WindowOctets int64
}

// errLeft is what breaks a session whose retrieval ended in a panic.
var errLeft = errors.New("pop3client: the loop over messages was left by a panic")

// RetrieveAll retrieves messages. The next ones are under way while one is
// read, as far as the window allows, and none is held in memory. What the body
// of the loop leaves unread of a message is read and thrown away; a Message is
// good until the next turn only. Other calls within the loop give ErrBusy:
// delete afterwards, when everything retrieved is safe.
//
// An error that is a *MessageError is about one message, and the others
// follow. Any other error is the last. Sizes and unique-ids come from LIST and
// UIDL, sent in one write where the server has PIPELINING; a server without
// UIDL gives no unique-ids, and one whose LIST and UIDL name different
// messages is a *ProtocolError.
//
// Leaving the loop early reads and throws away what is under way, up to
// WindowOctets, after which the session goes on. Where that is not enough, as
// for a large message, the client is broken instead, and nothing is deleted.
func (c *Client) RetrieveAll(ctx context.Context, opts RetrieveOptions) iter.Seq2[*Message, error] {
	return c.retrieve(ctx, retrSeries, opts)
}

// series is a command that is sent about many messages.
type series struct {
	verb, args string
	most       int64 // octets that a reply is taken to have at most
}

var retrSeries = series{verb: "RETR", most: math.MaxInt64}

func (c *Client) retrieve(ctx context.Context, s series, opts RetrieveOptions) iter.Seq2[*Message, error] {
	if opts.WindowOctets <= 0 {
		opts.WindowOctets = DefaultWindowOctets
	}
	return func(yield func(*Message, error) bool) {
		caps, err := c.capabilities(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		window := pipelined(caps, opts.Window)
		items, err := c.plan(ctx, s.verb, opts, window > 1)
		if err == nil {
			err = c.begin(ctx, s.verb)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		defer c.end()
		r := retrieval{c.newPipeline(s, items, window, opts.WindowOctets), yield}
		defer r.stop()
		finished := false
		defer func() {
			if !finished { // a panic of the body, or runtime.Goexit
				c.broken(errLeft)
			}
		}()
		r.run()
		finished = true
	}
}

// retrieval is one loop over messages.
type retrieval struct {
	*pipeline
	yield func(*Message, error) bool
}

// run gives the messages to the loop.
func (r retrieval) run() {
	for {
		it, ok := r.next()
		if !ok {
			return
		}
		m, err := r.open(it)
		switch {
		case err != nil && !isRefusal(err):
			r.yield(nil, err)
			return
		case err != nil:
			r.answered()
			if !r.yield(nil, &MessageError{Number: it.number, UID: it.uid, Err: err}) {
				r.drain(r.octets)
				return
			}
			continue
		}
		if !r.yield(m, nil) {
			left := r.octets
			if m.err == nil {
				left -= m.drain(left)
			}
			if r.finished(m) == nil {
				r.drain(left)
			}
			return
		}
		if m.err == nil {
			m.drain(math.MaxInt64)
		}
		if err := r.finished(m); err != nil {
			r.yield(nil, err)
			return
		}
	}
}

// open reads the status line of a message.
func (r retrieval) open(it item) (*Message, error) {
	name := r.name(it)
	text, err := r.c.status(name)
	if err != nil {
		return nil, err
	}
	m := &Message{Number: it.number, UID: it.uid, Size: it.size, c: r.c, name: name, dot: r.c.r.Dot(), ended: func() {}}
	if m.Size < 0 && r.verb == "RETR" {
		m.Size = announced(text)
	}
	return m, nil
}

// finished notes that a message was read to its end, or gives the error that
// it ended in.
func (r retrieval) finished(m *Message) error {
	if m.err != io.EOF && m.err != errMessageClosed {
		return m.err
	}
	m.err = errMessageClosed
	r.answered()
	return nil
}

// drain reads what is under way, up to a number of octets.
func (r retrieval) drain(left int64) {
	for r.done < r.sent {
		m, err := r.open(r.items[r.done])
		switch {
		case isRefusal(err):
			r.answered()
			continue
		case err != nil:
			return
		}
		left -= m.drain(left)
		if r.finished(m) != nil {
			return
		}
	}
}
