package pop3client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/poplin-mail/poplin/pop3"
)

// ListUidl gives what List and Uidl give, and asks for both in one write where
// the server has PIPELINING. The unique-ids are nil where the server refuses
// UIDL; a server whose LIST and UIDL name different messages is a
// *ProtocolError. Where the server announced PIPELINING before the login, CAPA
// goes with them, and Capabilities knows its reply then.
//
// Unlike List and Uidl it takes what is wrong about one message for that
// message's own trouble: a unique-id that is empty, longer than 70 octets or
// not printable is given as empty, and a size that cannot be one as -1.
func (c *Client) ListUidl(ctx context.Context) ([]pop3.Listing, []pop3.UID, error) {
	c.mu.Lock()
	withCapa := c.pipelines && !c.capsKnown
	c.mu.Unlock()
	if withCapa {
		listings, uids, err := c.listUidl(ctx, true, true)
		if err == nil && uids != nil {
			err = c.agree(listings, uids)
		}
		return listings, uids, err
	}
	caps, err := c.capabilities(ctx)
	if err != nil {
		return nil, nil, err
	}
	return c.lists(ctx, RetrieveOptions{}, pipelined(caps, 0) > 1, true)
}

// plan gives the messages to send the command about, with what is known about them.
func (c *Client) plan(ctx context.Context, verb string, opts RetrieveOptions, pipelining bool) ([]item, error) {
	for _, n := range opts.Numbers {
		if n < 1 || n > pop3.MaxMessages {
			return nil, argumentError(verb, "message number "+strconv.Itoa(n)+" is out of range")
		}
	}
	listings, uids, err := c.lists(ctx, opts, pipelining, false)
	if err != nil {
		return nil, err
	}
	if opts.Numbers == nil {
		items := make([]item, len(listings))
		for i, l := range listings {
			items[i] = item{number: l.Number, uid: uidOf(uids, l.Number), size: l.Octets}
		}
		return items, nil
	}
	items := make([]item, len(opts.Numbers))
	for i, n := range opts.Numbers {
		items[i] = item{number: n, uid: uidOf(uids, n), size: sizeOf(listings, n)}
	}
	return items, nil
}

func uidOf(uids []pop3.UID, n int) string {
	i, found := slices.BinarySearchFunc(uids, n, func(u pop3.UID, n int) int { return cmp.Compare(u.Number, n) })
	if !found {
		return ""
	}
	return uids[i].UID
}

func sizeOf(listings []pop3.Listing, n int) int64 {
	i, found := slices.BinarySearchFunc(listings, n, func(l pop3.Listing, n int) int { return cmp.Compare(l.Number, n) })
	if !found {
		return -1
	}
	return listings[i].Octets
}

// lists asks for LIST and UIDL, as far as the options do not hold them. A
// server that refuses UIDL gives no unique-ids. Lenient is as for ListUidl.
func (c *Client) lists(ctx context.Context, opts RetrieveOptions, pipelining, lenient bool) (listings []pop3.Listing, uids []pop3.UID, err error) {
	listings, uids = opts.Listings, opts.UIDs
	both := listings == nil && uids == nil
	if both && pipelining {
		listings, uids, err = c.listUidl(ctx, false, lenient)
	} else {
		if listings == nil {
			listings, err = c.listAll(ctx, lenient)
		}
		if err == nil && uids == nil {
			if uids, err = c.uidlAll(ctx, lenient); isRefusal(err) {
				uids, err = nil, nil
			}
		}
	}
	if err == nil && both && uids != nil {
		err = c.agree(listings, uids)
	}
	return listings, uids, err
}

// listUidl sends LIST and UIDL in one write, behind CAPA if that is wanted. The
// unique-ids are nil where the server refuses UIDL.
func (c *Client) listUidl(ctx context.Context, withCapa, lenient bool) ([]pop3.Listing, []pop3.UID, error) {
	if err := c.begin(ctx, "LIST"); err != nil {
		return nil, nil, err
	}
	defer c.end()
	if withCapa {
		c.trace.client("CAPA")
		c.w.Line("CAPA")
	}
	c.trace.client("LIST")
	c.w.Line("LIST")
	if err := c.send(command{name: "UIDL", line: "UIDL", shown: "UIDL"}); err != nil {
		return nil, nil, err
	}
	if withCapa {
		if _, err := c.readCapa(); err != nil && !isRefusal(err) {
			return nil, nil, err
		}
	}
	l, u := newListings(lenient), newUIDs(lenient)
	listErr := c.list("LIST", c.options.MaxListings, l.add)
	if listErr != nil && !isRefusal(listErr) {
		return nil, nil, listErr
	}
	uidlErr := c.list("UIDL", c.options.MaxListings, u.add)
	switch {
	case uidlErr != nil && !isRefusal(uidlErr):
		return nil, nil, uidlErr
	case listErr != nil:
		return nil, nil, listErr
	case uidlErr != nil:
		u.all = nil
	}
	if err := errors.Join(l.finish(), u.finish()); err != nil {
		return nil, nil, c.broken(err)
	}
	return l.all, u.all, nil
}

// agree checks that LIST and UIDL are about the same messages.
func (c *Client) agree(listings []pop3.Listing, uids []pop3.UID) error {
	n := min(len(listings), len(uids))
	for i := range n {
		if listings[i].Number != uids[i].Number {
			return c.disagree(min(listings[i].Number, uids[i].Number))
		}
	}
	switch {
	case len(listings) > n:
		return c.disagree(listings[n].Number)
	case len(uids) > n:
		return c.disagree(uids[n].Number)
	}
	return nil
}

func (c *Client) disagree(number int) error {
	return c.broken(&ProtocolError{"UIDL", fmt.Sprintf("LIST and UIDL disagree about message %d", number)})
}
