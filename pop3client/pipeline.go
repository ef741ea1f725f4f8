package pop3client

import (
	"strconv"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

const (
	// DefaultWindow is how many commands are sent ahead of their replies. On a
	// way of 100 ms it moves 12 kB messages at 30 MB/s.
	DefaultWindow = 256

	// DefaultWindowOctets is how many octets of messages are asked for ahead.
	DefaultWindowOctets = 4 << 20

	// unknownSize stands for the size of a message that is not known.
	unknownSize = 64 * 1024
)

// item is a message to send a command about.
type item struct {
	number int
	uid    string
	size   int64 // -1 where it is not known
}

// pipeline sends one command for each item, ahead of the replies as far as its
// window allows: by count, and by the octets that the replies are announced to
// have. One item may always be under way, whatever its size.
type pipeline struct {
	c *Client
	series
	items  []item
	count  int   // the window
	octets int64 // the window

	sent, done int   // items[done:sent] are under way
	ahead      int64 // octets of those
	batch      []byte
	sender     *sender
}

// newPipeline starts a pipeline within the operation that runs; stop ends it.
func (c *Client) newPipeline(s series, items []item, count int, octets int64) *pipeline {
	// While replies are read the sender's writes need no limit: when the server
	// takes none, no reply comes either, and the reader's limit strikes.
	c.base.patience()
	return &pipeline{c: c, series: s, items: items, count: count, octets: octets, sender: newSender(c.conn)}
}

// settle is how long a write may take that nobody waits for any more: every
// reply to what it holds has come.
const settle = 10 * time.Second

// stop ends the pipeline. A server that answered commands which it did not
// take makes the session one that is not understood.
func (p *pipeline) stop() {
	p.c.base.impatience(settle)
	if err := p.sender.stop(); err != nil {
		p.c.fail(p.verb, &ProtocolError{p.verb, "the server answered commands that it did not take"})
	}
}

// pipelined gives the count of a window: the one asked for where the server
// announces PIPELINING (RFC 2449 section 6.6), otherwise 1.
func pipelined(caps pop3.Capabilities, count int) int {
	switch {
	case !caps.Has(pop3.CapPipelining):
		return 1
	case count <= 0:
		return DefaultWindow
	}
	return count
}

// next fills the window and gives the item whose reply comes next. Ok is false
// when all were answered.
func (p *pipeline) next() (it item, ok bool) {
	if p.done == len(p.items) {
		return item{}, false
	}
	// Topping up only when half of the window is free gathers commands.
	if under := p.sent - p.done; under <= p.count/2 && p.ahead <= p.octets/2 {
		p.fill()
	}
	return p.items[p.done], true
}

func (p *pipeline) fill() {
	p.batch = p.batch[:0]
	for p.sent < len(p.items) && p.room(p.items[p.sent]) {
		it := p.items[p.sent]
		start := len(p.batch)
		p.batch = append(p.batch, p.verb...)
		p.batch = append(p.batch, ' ')
		p.batch = strconv.AppendInt(p.batch, int64(it.number), 10)
		p.batch = append(p.batch, p.args...)
		if p.c.trace.on() {
			p.c.trace.client(string(p.batch[start:]))
		}
		p.batch = append(p.batch, "\r\n"...)
		p.ahead += p.cost(it)
		p.sent++
	}
	if len(p.batch) > 0 {
		p.sender.send(p.batch)
	}
}

func (p *pipeline) room(it item) bool {
	under := p.sent - p.done
	return under == 0 || (under < p.count && p.cost(it) <= p.octets-p.ahead)
}

// cost is the part of the window that a reply takes, at most the whole.
func (p *pipeline) cost(it item) int64 {
	if it.size < 0 {
		return min(unknownSize, p.most, p.octets)
	}
	return min(it.size, p.most, p.octets)
}

// answered notes that the reply to the next item was read whole.
func (p *pipeline) answered() {
	p.ahead -= p.cost(p.items[p.done])
	p.done++
}

// name gives the command for an item, for errors.
func (p *pipeline) name(it item) string { return p.verb + " " + strconv.Itoa(it.number) }
