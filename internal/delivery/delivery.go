// Package delivery takes mail in: Server speaks LMTP with an MTA (RFC 2033),
// Agent stores a message for its recipients, for the Server and for `poplin
// deliver`. Protocol and syntax of LMTP are those of emersion/go-smtp.
package delivery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/internal/wire"
	"github.com/poplin-mail/poplin/maildrop"
)

// Agent stores messages. It is used by many deliveries at once.
type Agent struct {
	Store     maildrop.Distributor
	Addresses *directory.Addresses
	Quota     maildrop.Quota // of users whose source says nothing else
	Hostname  string         // in Received lines
	Logger    *slog.Logger
	Observer  Observer // nil: nobody observes
}

// Maildrop gives the name of the maildrop.
func (r Recipient) Maildrop() string { return r.drop.Maildrop }

// Quota gives what the maildrop may hold.
func (r Recipient) Quota() maildrop.Quota { return r.drop.Quota }

// ErrNoUser says that nobody has the address.
var ErrNoUser = errors.New("no such user here")

// ErrTooLarge says that a message has more octets than are taken.
var ErrTooLarge = errors.New("message is too large")

// Recipient is somebody whom a message is for.
type Recipient struct {
	Address string
	User    string
	drop    maildrop.Recipient
}

// Recipient finds who has an address. The error is ErrNoUser, or says that it
// cannot be told now.
func (a *Agent) Recipient(ctx context.Context, address string) (Recipient, error) {
	u, err := a.Addresses.User(ctx, address)
	if err == nil && u == nil {
		err = ErrNoUser
	}
	if err != nil {
		a.observer().Refused(reason(err))
		return Recipient{}, err
	}
	return Recipient{address, u.Name, maildrop.Recipient{Maildrop: u.Maildrop, Quota: u.Keeping.Quota(a.Quota)}}, nil
}

// Envelope is what is known of a message beside its content.
type Envelope struct {
	Sender   string // empty: nobody is to hear of it
	Helo     string // what the peer calls itself
	Peer     string // its address
	Protocol string // for the Received line, such as LMTP (RFC 3848)
	Max      int64  // octets that are taken; 0: any number
}

// Deliver stores the message that r gives up to io.EOF, and gives an error for
// each recipient, nil where it is stored. With an error of its own, which comes
// from r, from ctx, or is ErrTooLarge, nobody has it.
func (a *Agent) Deliver(ctx context.Context, env Envelope, to []Recipient, r io.Reader) ([]error, error) {
	var drops []maildrop.Recipient
	at := make(map[string]int) // a user may have been named by several addresses
	for _, rcpt := range to {
		if _, twice := at[rcpt.drop.Maildrop]; !twice {
			at[rcpt.drop.Maildrop] = len(drops)
			drops = append(drops, rcpt.drop)
		}
	}
	begun := time.Now()
	id := strings.ToLower(rand.Text()[:16])
	body := wire.NewLFReader(&limited{r: r, left: env.Max, bounded: env.Max > 0})
	outcomes, err := a.Store.Distribute(ctx, drops, io.MultiReader(strings.NewReader(a.header(env, to, id)), body))
	if err != nil {
		a.Logger.Warn("message not taken", "id", id, "from", env.Sender, "peer", env.Peer, "error", err)
		a.observer().Refused(reason(err))
		return nil, err
	}
	a.observe(outcomes, time.Since(begun))
	errs := make([]error, len(to))
	for i, rcpt := range to {
		o := outcomes[at[rcpt.drop.Maildrop]]
		if errs[i] = o.Err; o.Err != nil {
			a.Logger.Warn("message not delivered", "id", id, "from", env.Sender, "to", rcpt.Address, "user", rcpt.User, "error", o.Err)
			continue
		}
		a.Logger.Info("message delivered", "id", id, "from", env.Sender, "to", rcpt.Address, "user", rcpt.User, "octets", o.Octets, "peer", env.Peer)
	}
	return errs, nil
}

// header gives the lines that final delivery puts before a message: RFC 5321
// section 4.4, and Delivered-To, which would tell recipients of each other
// where there are several.
func (a *Agent) header(env Envelope, to []Recipient, id string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Return-Path: <%s>\n", clean(env.Sender))
	rcpt := ""
	if len(to) == 1 {
		rcpt = clean(to[0].Address)
		fmt.Fprintf(&b, "Delivered-To: %s\n", rcpt)
		rcpt = "\n\tfor <" + rcpt + ">"
	}
	from := ""
	if env.Helo != "" {
		from = "from " + clean(env.Helo) + " "
	}
	if env.Peer != "" {
		from += "(" + clean(env.Peer) + ")\n\t"
	}
	fmt.Fprintf(&b, "Received: %sby %s (Poplin)\n\twith %s id %s%s;\n\t%s\n", from, clean(a.Hostname), env.Protocol, id, rcpt,
		time.Now().Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	return b.String()
}

// clean leaves out of what a peer said what would begin a line of its own, or
// end the place where it stands.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || strings.ContainsRune("<>()", r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, text)
}

// limited fails where there is more than is taken.
type limited struct {
	r       io.Reader
	left    int64
	bounded bool
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.bounded && l.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}
