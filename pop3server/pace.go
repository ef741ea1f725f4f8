package pop3server

import (
	"sync"
	"time"
)

// pace holds users to the least time between two of their logins (RFC 2449
// section 6.6, LOGIN-DELAY). Each View.Device of a user counts for itself. It
// is one server's: servers that share a Store do not share it.
type pace struct {
	least time.Duration

	mu    sync.Mutex
	last  map[string]time.Time // by user and device
	swept time.Time            // when what is out of date was last removed
}

// allow reports whether the account may log in now, and notes it if so.
func (p *pace) allow(a Account) bool {
	if p.least <= 0 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.swept) >= p.least {
		for key, at := range p.last {
			if now.Sub(at) >= p.least {
				delete(p.last, key)
			}
		}
		p.swept = now
	}
	key := a.Maildrop + "\x00" + a.View.Device
	if at, seen := p.last[key]; seen && now.Sub(at) < p.least {
		return false
	}
	if p.last == nil {
		p.last = map[string]time.Time{}
	}
	p.last[key] = now
	return true
}
