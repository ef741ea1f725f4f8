package pop3client

import (
	"context"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

// Uidl gives the unique-id of every message that is not marked as deleted (RFC
// 1939 section 7, UIDL), in the order of the numbers. What is a *ProtocolError
// for List is one here, and so is a unique-id that is empty, longer than 70
// octets or not printable. One unique-id for two messages is given as it is:
// RFC 1939 allows it for equal messages, and it is for the caller to judge.
func (c *Client) Uidl(ctx context.Context) ([]pop3.UID, error) { return c.uidlAll(ctx, false) }

func (c *Client) uidlAll(ctx context.Context, lenient bool) ([]pop3.UID, error) {
	u := newUIDs(lenient)
	cmd := command{name: "UIDL", line: "UIDL", shown: "UIDL"}
	if err := c.execList(ctx, cmd, c.options.MaxListings, u.add); err != nil {
		return nil, err
	}
	if err := u.finish(); err != nil {
		return nil, c.broken(err)
	}
	return u.all, nil
}

// UidlOne gives the unique-id of one message (RFC 1939 section 7, UIDL).
func (c *Client) UidlOne(ctx context.Context, n int) (pop3.UID, error) {
	cmd, err := numbered("UIDL", n)
	if err != nil {
		return pop3.UID{}, err
	}
	text, err := c.exec(ctx, cmd)
	if err != nil {
		return pop3.UID{}, err
	}
	u, err := pop3.ParseUID(text)
	if err == nil {
		err = sameNumber(n, u.Number)
	}
	if err != nil {
		return pop3.UID{}, c.broken(&ProtocolError{cmd.name, err.Error()})
	}
	return u, nil
}

// uids gathers the lines of UIDL.
type uids struct {
	all     []pop3.UID
	lenient bool // as for ListUidl
}

func newUIDs(lenient bool) *uids { return &uids{[]pop3.UID{}, lenient} }

func (u *uids) add(line string) error {
	uid, err := pop3.ParseUID(line)
	if err != nil && u.lenient {
		uid.Number, err = numberOf(line, err)
	}
	if err != nil {
		return &ProtocolError{"UIDL", err.Error()}
	}
	uid.UID = strings.Clone(uid.UID) // not the line, of up to 2,048 octets
	u.all = append(u.all, uid)
	return nil
}

func (u *uids) finish() error {
	return inOrder("UIDL", u.all, func(u pop3.UID) int { return u.Number })
}
