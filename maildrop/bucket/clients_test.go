package bucket_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
)

// client delivers and logs in at a node.
type client struct {
	*node
	dice *dice
}

func (n *client) run(until time.Time) {
	for time.Now().Before(until) {
		time.Sleep(n.dice.between(0, 30*time.Second))
		n.goesOn()
		drop := n.drops[n.dice.n(len(n.drops))]
		if n.dice.n(3) == 0 {
			n.deliver(drop)
		} else {
			n.login(drop)
		}
	}
}

// goesOn returns when the node is not stopped.
func (n *client) goesOn() { n.wait(n.dice.between(0, time.Millisecond)) }

// deliver delivers a message.
func (n *client) deliver(drop string) {
	n.mu.Lock()
	n.made++
	text := content(n.made)
	n.mu.Unlock()
	r, err := n.store.Deliver(n.Context(), drop, strings.NewReader(text))
	n.goesOn()
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.tally.Refused++
		return
	}
	if n.dead {
		return // nobody got the answer
	}
	n.tally.Acknowledged++
	a := n.account(drop, r.UID, text)
	a.acknowledged = time.Now()
}

// account gives the account of a message, which is opened when it is first
// seen. Its content can never be another.
func (w *world) account(drop, uid, text string) *account {
	a := w.books[drop+uid]
	if a == nil {
		a = &account{drop: drop, uid: uid, content: text}
		w.books[drop+uid] = a
	}
	if text != "" && a.content == "" {
		a.content = text
	}
	if text != "" && a.content != text {
		w.Errorf("message %s of %s is %.30q, and was %.30q", uid, drop, text, a.content)
	}
	return a
}

// login is a session of a client.
func (n *client) login(drop string) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(n.Context(), 3*time.Minute)
	defer cancel()
	m, err := n.store.Open(ctx, drop)
	if err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		if errors.Is(err, maildrop.ErrInUse) {
			n.tally.InUse++
		} else {
			n.tally.Failed++
		}
		return
	}
	h := &holding{node: n.node, drop: drop, m: m}
	n.mu.Lock()
	n.tally.Logins++
	n.mu.Unlock()
	n.enter(h)
	n.goesOn()
	n.listed(h, began)
	n.use(h)
	n.leave(h)
	m.Close()
}

// enter notes a session, and looks whether another holds the lock.
func (n *node) enter(h *holding) {
	n.mu.Lock()
	if !n.dead {
		n.open = append(n.open, h)
	}
	n.mu.Unlock()
	n.alone(h)
}

func (n *node) leave(h *holding) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open = slices.DeleteFunc(n.open, func(o *holding) bool { return o == h })
}

// alone looks whether two sessions hold the lock at one moment.
func (n *node) alone(h *holding) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h.lock = bucket.Lock(h.m)
	if n.dead || !h.lock() {
		return
	}
	for _, o := range n.open {
		if o != h && o.drop == h.drop && o.lock != nil && o.lock() {
			n.Errorf("nodes %d and %d both hold %s", n.number, o.node.number, h.drop)
		}
	}
}

// listed checks what a session lists: all that was acknowledged before it
// began, unless somebody asked for its removal, and nothing that was removed.
func (n *node) listed(h *holding, began time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	shown := make(map[string]bool)
	for _, msg := range h.m.Messages() {
		if shown[msg.UID] {
			n.Errorf("%s lists %s twice", h.drop, msg.UID)
		}
		shown[msg.UID] = true
	}
	if n.dead {
		return
	}
	for _, a := range n.books {
		switch {
		case a.drop != h.drop:
		case !a.acknowledged.IsZero() && a.acknowledged.Before(began) && !a.asked && !shown[a.uid]:
			n.Errorf("%s, acknowledged, is not listed in %s", a.uid, a.drop)
		case !n.economy && !a.removed.IsZero() && a.removed.Before(began) && shown[a.uid]:
			n.Errorf("%s, removed, is listed in %s again", a.uid, a.drop)
		}
	}
}

// use reads messages, idles, and quits or goes away.
func (n *client) use(h *holding) {
	list := slices.Clone(h.m.Messages())
	for i := range list {
		if n.dice.n(2) == 0 {
			n.retrieve(h, i)
		}
	}
	if n.dice.n(4) == 0 {
		time.Sleep(n.dice.between(0, 2*bucket.DefaultLease))
		n.goesOn()
	}
	n.alone(h)
	if n.dice.n(3) > 0 {
		n.update(h)
	}
	if !slices.Equal(list, h.m.Messages()) {
		n.Errorf("the list of an open maildrop changed")
	}
}

func (n *client) retrieve(h *holding, i int) {
	text, err := (&box{T: n.T}).read(h.m, i)
	n.alone(h)
	n.goesOn()
	if err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tally.Read++
	msg := h.m.Messages()[i]
	if int64(len(text)) != msg.Size {
		n.Errorf("%s has %d octets, and was listed with %d", msg.UID, len(text), msg.Size)
	}
	n.account(h.drop, msg.UID, text)
}

// update removes some of what is listed.
func (n *client) update(h *holding) {
	var marked []int
	var accounts []*account
	first := make(map[*account]bool) // those that nobody else was asked to remove
	n.mu.Lock()
	for i, msg := range h.m.Messages() {
		if n.dice.n(2) == 0 {
			a := n.account(h.drop, msg.UID, "")
			first[a] = !a.asked
			a.asked, a.aside = true, false
			marked, accounts = append(marked, i), append(accounts, a)
		}
	}
	n.mu.Unlock()
	n.settle(h)
	began := time.Now()
	late := !bucket.Holds(h.m)
	err := h.m.Remove(n.Context(), marked)
	n.alone(h)
	n.goesOn()
	n.mu.Lock()
	defer n.mu.Unlock()
	if late && !n.economy && len(marked) > 0 {
		n.tally.Late++
	}
	if err != nil {
		n.tally.NotRemoved++
		return
	}
	for _, a := range accounts {
		n.tally.Removed++
		// A delivery that is still under way may write it once more.
		if !a.acknowledged.IsZero() && a.acknowledged.Before(began) && !n.dead && a.removed.IsZero() {
			a.removed = time.Now()
			a.aside = first[a] && !n.unsettled[h.drop].IsZero() && n.unsettled[h.drop].Before(began)
		}
	}
}

// settle begins an import, or ends it.
func (n *client) settle(h *holding) {
	if n.dice.n(8) > 0 {
		return
	}
	settled := n.dice.n(2) == 0
	if settled { // at some time until it returns, whatever else is done meanwhile
		n.mu.Lock()
		delete(n.unsettled, h.drop)
		n.settling[h.drop]++
		n.mu.Unlock()
	}
	err := h.m.(maildrop.Importer).Settle(n.Context(), settled)
	n.alone(h)
	n.goesOn()
	n.mu.Lock()
	defer n.mu.Unlock()
	if settled {
		n.settling[h.drop]--
	} else if err == nil && !n.dead && n.settling[h.drop] == 0 {
		n.unsettled[h.drop] = time.Now()
	}
}

// audit looks what is left.
func (w *world) audit() {
	w.economy = false // which sweeps old locks
	n := w.start(99, 0)
	for _, drop := range w.drops {
		m, err := n.store.Open(w.Context(), drop)
		if err != nil {
			w.Errorf("Open of %s when all is calm: %v", drop, err)
			continue
		}
		h := &holding{node: n, drop: drop, m: m}
		n.listed(h, time.Now())
		for i, msg := range m.Messages() {
			text, err := (&box{T: w.T}).read(m, i)
			if err != nil || int64(len(text)) != msg.Size {
				w.Errorf("%s of %s: %d octets, error %v, want %d", msg.UID, drop, len(text), err, msg.Size)
			}
			w.account(drop, msg.UID, text)
		}
		kept, err := m.(maildrop.Aside).Kept(w.Context())
		for _, a := range w.books {
			if a.drop == drop && a.aside && !slices.Contains(kept, a.uid) {
				w.Errorf("%s of %s was removed in the middle of an import, and is not kept aside (%v)", a.uid, drop, err)
			}
		}
		if err := m.(maildrop.Importer).Settle(w.Context(), true); err != nil {
			w.Error(err)
		}
		m.Close()
	}
	for _, key := range w.objects.Keys("mail", "") {
		if strings.Contains(key, "/k/") {
			w.Errorf("a lock was left: %s", key)
		}
	}
}
