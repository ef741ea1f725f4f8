package trial

import (
	"fmt"
	"sync"
	"time"
)

// holders find maildrops that two sessions hold at the same time.
//
// A login that was answered +OK wrote the session's lock between the command
// and the reply. For a lease from the command on the lock stands, whatever
// becomes of the node, unless the session ends. So whoever else proves to hold
// the maildrop within that time, by a login or by a QUIT that removed messages,
// holds it together with the first.
//
// A server can end a session before its client knows. So a second holder is
// at first a suspicion against both, and counts when the first session then
// turns out to be alive, or to have died with its node, which gave nothing
// back.
type holders struct {
	lease time.Duration
	names []string // of the users

	mu     sync.Mutex
	of     map[int][]*hold // by maildrop
	killed map[string]time.Time
	out    map[int]time.Time // since when logins are refused though nobody is known to hold the maildrop
	double []string          // in words
	vague  int               // suspicions that nothing came of
}

// hold is a session that has logged in.
type hold struct {
	user       int
	node       string
	sent       time.Time     // the login, or what announced the lock anew
	granted    time.Time     // its reply came
	ended      time.Time     // QUIT was about to be sent, or the connection closed; zero: it goes on
	dead       bool          // its node was killed: whatever the client does now, the lock stays
	out        time.Duration // how long everybody was refused before, though no session was known
	suspicions []suspicion
}

// suspicion is that another session held the maildrop too.
type suspicion struct {
	at   time.Time // it was known
	what string
}

func newHolders(lease time.Duration, users []string) *holders {
	return &holders{lease: lease, names: users, of: make(map[int][]*hold), killed: make(map[string]time.Time), out: make(map[int]time.Time)}
}

// kill notes that a node was killed.
func (h *holders) kill(node string, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.killed[node] = at
}

// refused enters a login that failed. While a session goes on it has to.
func (h *holders) refused(user int, sent time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.of[user] {
		if other.ended.IsZero() && !other.dead {
			delete(h.out, user)
			return
		}
	}
	if _, out := h.out[user]; !out {
		h.out[user] = sent
	}
}

// login enters a login that was answered +OK.
func (h *holders) login(user int, node string, sent, granted time.Time) *hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	mine := &hold{user: user, node: node, sent: sent, granted: granted}
	if since, out := h.out[user]; out {
		mine.out = granted.Sub(since)
		delete(h.out, user)
	}
	h.prove(mine, "logged in", sent, granted)
	kept := []*hold{mine}
	for _, other := range h.of[user] {
		if granted.Sub(other.sent) < h.lease || len(other.suspicions) > 0 {
			kept = append(kept, other)
		}
	}
	h.of[user] = kept
	return mine
}

// removed enters that a QUIT which removed messages was answered +OK.
func (h *holders) removed(mine *hold, sent, answered time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.prove(mine, "removed messages", sent, answered)
}

// prove looks who else held the maildrop when mine did, at some moment from
// sent to answered. The caller holds mu.
func (h *holders) prove(mine *hold, what string, sent, answered time.Time) {
	for _, other := range h.of[mine.user] {
		held := other != mine && other.granted.Before(sent) && answered.Before(other.sent.Add(h.lease)) &&
			(other.ended.IsZero() || other.ended.After(answered))
		if !held {
			continue
		}
		s := suspicion{answered, fmt.Sprintf("%s: a session on %s %s %v after one on %s had logged in, which had not ended",
			h.names[mine.user], mine.node, what, answered.Sub(other.granted).Round(time.Millisecond), other.node)}
		other.suspicions = append(other.suspicions, s)
	}
}

// alive enters a reply to a command: the session was there after the command
// was sent.
func (h *holders) alive(mine *hold, sent time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	kept := mine.suspicions[:0]
	for _, s := range mine.suspicions {
		if s.at.Before(sent) {
			h.double = append(h.double, s.what)
		} else {
			kept = append(kept, s)
		}
	}
	mine.suspicions = kept
}

// suspected tells whether it should be found out if the session is alive.
func (h *holders) suspected(mine *hold) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(mine.suspicions) > 0
}

// end enters that the client is about to end the session.
func (h *holders) end(mine *hold, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if mine.ended.IsZero() && !mine.dead {
		mine.ended = at
	}
}

// cut enters that the connection broke, before the client ended the session.
// Where its node was killed the lock stays; else the server may have given it
// back.
func (h *holders) cut(mine *hold, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !mine.ended.IsZero() || mine.dead {
		return
	}
	if killed := h.killed[mine.node]; killed.After(mine.granted) {
		for _, s := range mine.suspicions {
			h.double = append(h.double, s.what)
		}
		mine.suspicions, mine.dead = nil, true
		return
	}
	mine.ended = at
	h.vague += len(mine.suspicions)
	mine.suspicions = nil
}

// found gives what was found until now.
func (h *holders) found() (double []string, vague int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.double...), h.vague
}
