package bucket

import (
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// uids makes ULIDs, each above those before it, also when the clock is set
// back: mail that comes later is listed later, as far as one process goes.
type uids struct {
	mu      sync.Mutex
	last    uint64
	entropy *ulid.MonotonicEntropy
}

func (u *uids) next(now time.Time) (string, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.entropy == nil {
		u.entropy = ulid.Monotonic(rand.Reader, 0)
	}
	u.last = max(u.last, ulid.Timestamp(now))
	id, err := ulid.New(u.last, u.entropy)
	if err != nil { // all that there are in this millisecond
		u.last++
		id, err = ulid.New(u.last, u.entropy)
	}
	if err != nil {
		return "", fmt.Errorf("bucket: no unique-id: %w", err)
	}
	return id.String(), nil
}

// validUID tells whether s is a ULID in the form in which this package writes
// it: keys that differ must not name one message.
func validUID(s string) bool {
	id, err := ulid.ParseStrict(s)
	return err == nil && id.String() == s
}

// received gives the time in a ULID.
func received(uid string) time.Time {
	id, err := ulid.ParseStrict(uid)
	if err != nil {
		return time.Time{}
	}
	return ulid.Time(id.Time())
}

// nonce makes a text that nobody else makes.
func nonce() string { return rand.Text() }
