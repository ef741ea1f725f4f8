package delivery

import (
	"errors"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// Observer hears of what becomes of messages, for metrics. Its methods are
// called by many deliveries at once and must not wait.
type Observer interface {
	// Delivered is called for each maildrop that a message is stored in, with
	// its octets on the wire.
	Delivered(octets int64)

	// Refused is called for each recipient who does not get a message, and
	// once for a message that nobody gets, with one of Reasons.
	Refused(reason string)

	// Took is called for each message that was read to its end, with the time
	// from its beginning until the replies are known.
	Took(time.Duration)
}

// Reasons are those of Observer.Refused.
var Reasons = []string{reasonNoUser, reasonOverQuota, reasonTooLarge, reasonStorage, reasonOther}

const (
	reasonNoUser    = "no_user"
	reasonOverQuota = "over_quota"
	reasonTooLarge  = "too_large"
	reasonStorage   = "storage" // the disk, the Maildir: the log says which
	reasonOther     = "other"   // the MTA broke off, or recipients cannot be looked up
)

func reason(err error) string {
	switch {
	case errors.Is(err, ErrNoUser):
		return reasonNoUser
	case errors.Is(err, maildrop.ErrOverQuota):
		return reasonOverQuota
	case errors.Is(err, ErrTooLarge):
		return reasonTooLarge
	case errors.Is(err, maildrop.ErrTemporary), errors.Is(err, maildrop.ErrPermanent):
		return reasonStorage
	}
	return reasonOther
}

// observe tells what became of a message.
func (a *Agent) observe(outcomes []maildrop.Outcome, took time.Duration) {
	o := a.observer()
	for _, outcome := range outcomes {
		if outcome.Err != nil {
			o.Refused(reason(outcome.Err))
		} else {
			o.Delivered(outcome.Octets)
		}
	}
	o.Took(took)
}

func (a *Agent) observer() Observer {
	if a.Observer == nil {
		return nobody{}
	}
	return a.Observer
}

// nobody is the Observer where there is none.
type nobody struct{}

func (nobody) Delivered(int64)    {}
func (nobody) Refused(string)     {}
func (nobody) Took(time.Duration) {}
