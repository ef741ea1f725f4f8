package pop3client

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

// List gives number and size of every message that is not marked as deleted
// (RFC 1939 section 5, LIST), in the order of the numbers, whatever order the
// server has. A line that is not two numbers, the number 0, a number twice, and
// more lines than Options.MaxListings are a *ProtocolError. Sizes are what the
// server claims: servers exist whose sizes are not exact. Nothing is allocated
// by a number that the server claims.
func (c *Client) List(ctx context.Context) ([]pop3.Listing, error) { return c.listAll(ctx, false) }

func (c *Client) listAll(ctx context.Context, lenient bool) ([]pop3.Listing, error) {
	l := newListings(lenient)
	cmd := command{name: "LIST", line: "LIST", shown: "LIST"}
	if err := c.execList(ctx, cmd, c.options.MaxListings, l.add); err != nil {
		return nil, err
	}
	if err := l.finish(); err != nil {
		return nil, c.broken(err)
	}
	return l.all, nil
}

// ListOne gives the size of one message (RFC 1939 section 5, LIST).
func (c *Client) ListOne(ctx context.Context, n int) (pop3.Listing, error) {
	cmd, err := numbered("LIST", n)
	if err != nil {
		return pop3.Listing{}, err
	}
	text, err := c.exec(ctx, cmd)
	if err != nil {
		return pop3.Listing{}, err
	}
	l, err := pop3.ParseListing(text)
	if err == nil {
		err = sameNumber(n, l.Number)
	}
	if err != nil {
		return pop3.Listing{}, c.broken(&ProtocolError{cmd.name, err.Error()})
	}
	return l, nil
}

// sameNumber checks that the reply is about the message that was asked for.
func sameNumber(want, got int) error {
	if got != want {
		return fmt.Errorf("the reply is about message %d", got)
	}
	return nil
}

// listings gathers the lines of LIST.
type listings struct {
	all     []pop3.Listing
	lenient bool // as for ListUidl
}

// newListings begins a list that is empty and not nil: nil stands for a list
// that was not asked for.
func newListings(lenient bool) *listings { return &listings{[]pop3.Listing{}, lenient} }

func (l *listings) add(line string) error {
	listing, err := pop3.ParseListing(line)
	if err != nil && l.lenient {
		listing.Octets = -1
		listing.Number, err = numberOf(line, err)
	}
	if err != nil {
		return &ProtocolError{"LIST", err.Error()}
	}
	l.all = append(l.all, listing)
	return nil
}

func (l *listings) finish() error {
	return inOrder("LIST", l.all, func(l pop3.Listing) int { return l.Number })
}

// numberOf gives the message's number in a line of a list of which the rest
// cannot be; err where the number cannot be either.
func numberOf(line string, err error) (int, error) {
	number, _, _ := strings.Cut(strings.ReplaceAll(strings.TrimLeft(line, " \t"), "\t", " "), " ")
	if n, ok := pop3.ParseNumber(number); ok {
		return n, nil
	}
	return 0, err
}

// inOrder brings a list into the order of its numbers and refuses a number
// that stands there twice.
func inOrder[T any](name string, list []T, number func(T) int) error {
	compare := func(a, b T) int { return cmp.Compare(number(a), number(b)) }
	if !slices.IsSortedFunc(list, compare) {
		slices.SortFunc(list, compare)
	}
	for i := 1; i < len(list); i++ {
		if n := number(list[i]); n == number(list[i-1]) {
			return &ProtocolError{name, "message " + strconv.Itoa(n) + " is listed twice"}
		}
	}
	return nil
}
