package maildrop

import (
	"context"
	"errors"
	"io"
)

// Deliverer puts messages into maildrops. Delivery works while a session
// holds the maildrop. It is used by many goroutines at once.
type Deliverer interface {
	// Deliver stores the message that r gives up to io.EOF, with bare LF or
	// with CRLF, in the maildrop of that name. When the error is nil the
	// message survives the loss of power. With an error, from r too, nothing
	// was delivered.
	Deliver(ctx context.Context, name string, r io.Reader) (Receipt, error)
}

// Receipt says what was delivered.
type Receipt struct {
	UID    string // as UIDL will give it
	Octets int64  // in the form of the wire
}

// Distributor is a Deliverer that takes a message for many maildrops at once
// and knows quotas.
type Distributor interface {
	Deliverer

	// Distribute stores the message that r gives up to io.EOF in each of the
	// maildrops, of which none may be named twice, and reads r once. With an
	// error, which comes from r or ctx, nothing was delivered to anybody.
	// Otherwise there is an Outcome for each recipient, in their order, and
	// the error in one says nothing of the others. Where all fail early, r is
	// not read to its end.
	Distribute(ctx context.Context, to []Recipient, r io.Reader) ([]Outcome, error)

	// Usage gives what the maildrop of that name holds. It may be a little
	// behind other programs that put in and remove mail.
	Usage(ctx context.Context, name string) (Usage, error)
}

// Recipient is a maildrop that a message is for.
type Recipient struct {
	Maildrop string
	Quota    Quota
}

// Outcome is what came of a delivery to one recipient.
type Outcome struct {
	Receipt
	Err error // nil: the message survives the loss of power
}

// ErrOverQuota says that a message would not leave a maildrop within its
// quota. It was not stored.
var ErrOverQuota = errors.New("maildrop is over its quota")

// Quota bounds what a maildrop may hold. A bound of 0 is none. Deliveries at
// the same time may each find room, and exceed it together.
type Quota struct {
	Octets   int64 // as stored
	Messages int64
}

// Usage is what a maildrop holds.
type Usage struct {
	Octets   int64 `json:"octets"` // as stored
	Messages int64 `json:"messages"`
}

// Admits tells whether a message of that many octets leaves a maildrop that
// holds u within the quota.
func (q Quota) Admits(u Usage, octets int64) bool {
	return (q.Octets == 0 || u.Octets+octets <= q.Octets) && (q.Messages == 0 || u.Messages < q.Messages)
}
