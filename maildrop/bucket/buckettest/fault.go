package buckettest

import (
	"context"
	"time"
)

// Fault is what is wrong with a call.
type Fault int

// Faults. Those that a call cannot have do nothing to it.
const (
	None        Fault = iota
	Unavailable       // 503; nothing was done
	Internal          // 500; nothing was done
	Expired           // the credentials have expired; nothing was done
	NoBucket          // the bucket is gone; nothing was done
	Lost              // no reply; nothing was done
	Unanswered        // no reply; it was done
	Reset             // the connection is reset; it was done
	Slow              // the reply takes 5 seconds
	Short             // get: the body ends early
	Cut               // get: the connection is reset within the body
	Long              // get: another length
	Corrupt           // get: one bit is another
	Stale             // list: without what was done last
	Part              // delete: a half was not deleted, and the reply says so
	Torn              // delete: a half was not deleted, and the reply breaks off
	Dead              // the node that asks is dead: no call does anything
)

var names = [...]string{"none", "503", "500", "expired credentials", "no bucket", "time-out before", "time-out after", "reset after", "slow",
	"short body", "cut body", "wrong length", "corrupt body", "stale listing", "part of a batch", "batch torn", "dead"}

func (f Fault) String() string { return names[f] }

// Faults are those that pass: a store has them now and then.
func Faults() []Fault {
	return []Fault{Unavailable, Internal, Expired, NoBucket, Lost, Unanswered, Reset, Slow, Short, Cut, Long, Corrupt, Stale, Part, Torn}
}

const (
	slowness  = 5 * time.Second
	staleness = 3 // changes that a stale listing lacks
)

// early meets the faults of a get that has no body.
func (f Fault) early(ctx context.Context) error {
	if f == Unanswered || f == Reset {
		return f.after(ctx)
	}
	return nil
}
