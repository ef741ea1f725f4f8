package fetch

import (
	"errors"
	"fmt"
	"time"
)

// Report is what a run did, or with Options.DryRun would do.
type Report struct {
	Account   string          `json:"account"`
	Listed    int             `json:"listed"`    // messages on the server, at first
	Retrieved int             `json:"retrieved"` // in whole, or their header
	Octets    int64           `json:"octets"`    // of these
	Delivered int             `json:"delivered"` // in all targets, of these and of earlier ones
	Deleted   int             `json:"deleted"`   // on the server, as it has confirmed
	Skipped   int             `json:"skipped"`   // too large, failed too often, or are tried later
	Failed    []FailedMessage `json:"failed,omitempty"`

	// GivenUp and Waiting are messages that failed in earlier runs and were not
	// tried in this one: those of GivenUp never are, unless somebody wants it.
	GivenUp []FailedMessage `json:"given_up,omitempty"`
	Waiting []FailedMessage `json:"waiting,omitempty"`

	Down []string `json:"down,omitempty"` // targets, with the reason

	// Warnings are of what is odd and harms nothing; of many alike, some.
	Warnings []string `json:"warnings,omitempty"`

	// LoginDelay is how long the server wants a client to wait between logins.
	LoginDelay time.Duration `json:"-"`

	Plan []Step `json:"plan,omitempty"` // of a dry run
}

// FailedMessage is a message that is not delivered.
type FailedMessage struct {
	UID    string `json:"uid"`
	Target string `json:"target,omitempty"` // empty: the server does not give it
	Reason string `json:"reason"`
	Count  int    `json:"count"` // how often

	// GivenUp says that no later run tries it, unless somebody wants it.
	GivenUp bool `json:"given_up,omitempty"`
}

// Step is what would be done with a message.
type Step struct {
	Number   int    `json:"number"`
	UID      string `json:"uid"`
	Octets   int64  `json:"octets"` // -1: not known
	Retrieve bool   `json:"retrieve"`
	Delete   bool   `json:"delete"`
	Why      string `json:"why,omitempty"`
}

// Trouble is why a run did not do all that it should.
type Trouble struct {
	Temporary bool // the next run may go well without anybody doing anything
	Err       error
}

// Error implements error.
func (t *Trouble) Error() string { return t.Err.Error() }

// Unwrap gives the reason.
func (t *Trouble) Unwrap() error { return t.Err }

// lasting makes the error for what somebody must mend.
func lasting(format string, args ...any) error {
	return &Trouble{false, fmt.Errorf(format, args...)}
}

// Temporary tells whether all that is wrong may pass by itself.
func Temporary(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if !Temporary(e) {
				return false
			}
		}
		return true
	}
	var t *Trouble
	return errors.As(err, &t) && t.Temporary
}
