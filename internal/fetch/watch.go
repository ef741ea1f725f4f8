package fetch

import "sync/atomic"

// Watch shows how a run goes, to whoever looks, at any time.
type Watch struct {
	Stage    atomic.Pointer[string] // in words: "connecting"
	Messages Gauge                  // to retrieve in this session, and retrieved
	Octets   Gauge                  // the same, by what the server announces
	Safe     atomic.Int64           // messages that are in all targets

	// Event is called with what happens, by several goroutines, one at a time.
	// Nil: nobody is told.
	Event func(Event)
}

// Gauge is how much is done of how much.
type Gauge struct{ Done, Whole atomic.Int64 }

// Event is something that happened.
type Event struct {
	Account string `json:"account"`
	Kind    Kind   `json:"event"`
	UID     string `json:"uid,omitempty"`
	Octets  int64  `json:"octets,omitempty"`
	Target  string `json:"target,omitempty"`
	Count   int    `json:"count,omitempty"` // of messages
	Text    string `json:"text,omitempty"`  // for people; errors
}

// Kind is what happened.
type Kind string

const (
	Connected Kind = "connected"
	Planned   Kind = "planned"   // Count messages are to be retrieved
	Delivered Kind = "delivered" // UID is in Target
	Failed    Kind = "failed"    // UID could not be retrieved, or Target does not take it
	Down      Kind = "down"      // Target takes nothing more in this run
	Deleted   Kind = "deleted"   // Count messages, on the server
	Warning   Kind = "warning"
)

// stage says what goes on now.
func (w *Watch) stage(text string) {
	if w != nil {
		w.Stage.Store(&text)
	}
}

// begin sets what a session is to retrieve.
func (w *Watch) begin(all []order) {
	if w == nil {
		return
	}
	for _, o := range all {
		w.Octets.Whole.Add(max(0, o.size))
	}
	w.Messages.Whole.Add(int64(len(all)))
}

// read counts octets.
func (w *Watch) read(n int) {
	if w != nil {
		w.Octets.Done.Add(int64(n))
	}
}

// retrieved counts a message.
func (w *Watch) retrieved() {
	if w != nil {
		w.Messages.Done.Add(1)
	}
}

// safe counts a message that all targets have.
func (w *Watch) safe() {
	if w != nil {
		w.Safe.Add(1)
	}
}
