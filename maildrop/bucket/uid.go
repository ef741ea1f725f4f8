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

// validID tells whether s is a ULID in the form in which this package writes
// it: keys that differ must not name one message.
func validID(s string) bool {
	id, err := ulid.ParseStrict(s)
	return err == nil && id.String() == s
}

// validUID tells whether s is a unique-id (RFC 1939 section 7, UIDL).
func validUID(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7E {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 70
}

// timeOf gives the time in a ULID, in milliseconds since 1970.
func timeOf(id string) int64 {
	parsed, err := ulid.ParseStrict(id)
	if err != nil {
		return 0
	}
	return int64(parsed.Time())
}

// nonce makes a text that nobody else makes.
func nonce() string { return rand.Text() }
