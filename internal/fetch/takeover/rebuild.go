package takeover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// ErrNoTop says that the server refuses TOP, which RFC 1939 leaves optional, so
// that headers cannot be compared. It comes wrapped.
var ErrNoTop = errors.New("the server does not give headers alone (TOP)")

// patience is how many refusals of TOP are taken for one of each.
const patience = 10

// RebuildOptions say what Rebuild compares. The zero value is safe.
type RebuildOptions struct {
	// Skip leaves messages out by their unique-ids, such as those that are
	// known already. Nil leaves out none.
	Skip func(uid string) bool

	// IgnoreSize takes messages too whose length differs. A message that
	// another program has left half written counts as downloaded then: it is
	// for servers whose sizes are wrong.
	IgnoreSize bool
}

// Rebuilt is what Rebuild found.
type Rebuilt struct {
	// Seen are the messages on the server that the index has, in the order of
	// the server, with the sizes that it announces.
	Seen []Seen

	// Doubtful are those whose header is that of a message in the index while
	// the length is another. They are not in Seen.
	Doubtful []Seen

	// Messages is how many the server has, Compared how many were compared,
	// and Refused for how many of these it gave no header.
	Messages, Compared, Refused int
}

// Rebuild finds out which messages on the server a person has already, by
// asking for all headers. The client must be logged in; the session can go on
// after it, and nothing is marked or deleted.
//
// A message counts as seen where the index has one with the same HeaderHash,
// the same fields Received from the server's first on, and a body of the same
// length. Where the server has more that are equal in all this than the index,
// as many as the index has count.
func Rebuild(ctx context.Context, c *pop3client.Client, x *Index, opts RebuildOptions) (*Rebuilt, error) {
	uids, err := c.Uidl(ctx)
	if err != nil {
		return nil, err
	}
	listings, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	result := &Rebuilt{Messages: len(listings)}
	numbers := []int{}
	for _, u := range uids {
		if opts.Skip == nil || !opts.Skip(u.UID) {
			numbers = append(numbers, u.Number)
		}
	}
	result.Compared = len(numbers)
	all, err := headers(ctx, c, pop3client.RetrieveOptions{Numbers: numbers, Listings: listings, UIDs: uids}, result)
	if err != nil {
		return nil, err
	}
	x.match(all, opts.IgnoreSize)
	for _, r := range all {
		switch {
		case r.found:
			result.Seen = append(result.Seen, r.seen)
		case r.doubtful:
			result.Doubtful = append(result.Doubtful, r.seen)
		}
	}
	return result, nil
}

// remote is a message on the server.
type remote struct {
	fingerprint
	seen            Seen
	head            length
	found, doubtful bool
}

// headers asks for the headers. A message whose header says too little is left
// out.
func headers(ctx context.Context, c *pop3client.Client, opts pop3client.RetrieveOptions, result *Rebuilt) ([]*remote, error) {
	var all []*remote
	answered := false
	for m, err := range c.HeaderAll(ctx, opts) {
		var refusal *pop3client.MessageError
		switch {
		case errors.As(err, &refusal):
			if result.Refused++; result.Refused >= patience && !answered {
				return nil, noTop(refusal)
			}
			continue
		case err != nil:
			return nil, err
		}
		answered = true
		var h measurer
		if err := eachLine(m, h.line); err != nil {
			return nil, err
		}
		l, ok := h.local()
		if !ok || m.Size < 0 {
			continue
		}
		all = append(all, &remote{fingerprint: l.fingerprint, seen: Seen{UID: m.UID, Size: m.Size}, head: h.head})
	}
	if result.Refused > 0 && !answered {
		return nil, noTop(nil)
	}
	return all, nil
}

func noTop(refusal error) error {
	if refusal == nil {
		return ErrNoTop
	}
	return fmt.Errorf("%w: %s", ErrNoTop, pop3.Sanitize(refusal.Error()))
}

// match finds a message of the index for each on the server, each for one at
// most. Those that took the longest way choose first: what they can be, fewer
// others can.
func (x *Index) match(all []*remote, ignoreSize bool) {
	order := slices.Clone(all)
	slices.SortStableFunc(order, func(a, b *remote) int { return cmp.Compare(len(b.trace), len(a.trace)) })
	for _, exact := range []bool{true, false} {
		for _, r := range order {
			if r.found {
				continue
			}
			for _, l := range x.byHash[r.hash] {
				if l.taken || !l.came(r.fingerprint) || exact && !l.body.fits(r.seen.Size, r.head) {
					continue
				}
				if exact || ignoreSize {
					l.taken, r.found = true, true
					break
				}
				r.doubtful = true
			}
		}
	}
	for _, locals := range x.byHash { // the index may be used again
		for _, l := range locals {
			l.taken = false
		}
	}
}
