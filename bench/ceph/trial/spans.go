package trial

import (
	"slices"
	"sync"
	"time"
)

// spans tell how long things took at the longest, by what was the matter
// meanwhile.
type spans struct {
	mu      sync.Mutex
	order   []*Span // order[0]: nothing was the matter
	current *Span
	last    *Span     // before the current one, or none
	ended   time.Time // the last one
}

func newSpans() *spans {
	well := &Span{What: "nothing is struck"}
	return &spans{order: []*Span{well}, current: well, last: well}
}

// begin notes that something is the matter from now on, until end.
func (s *spans) begin(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.order, func(known *Span) bool { return known.What == what })
	if i < 0 {
		i = len(s.order)
		s.order = append(s.order, &Span{What: what})
	}
	s.current = s.order[i]
	s.current.Times++
}

func (s *spans) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.current, s.ended = s.current, s.order[0], time.Now()
}

// of gives what was the matter in the time until now. The caller holds mu.
func (s *spans) of(took time.Duration) *Span {
	if s.current == s.order[0] && time.Since(s.ended) < took {
		return s.last
	}
	return s.current
}

func (s *spans) delivery(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	span := s.of(took)
	span.Delivery = max(span.Delivery, took)
}

func (s *spans) login(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	span := s.of(took)
	span.Login = max(span.Login, took)
}

func (s *spans) out(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	span := s.of(took)
	span.Out = max(span.Out, took)
}

func (s *spans) all() (all []Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range s.order {
		all = append(all, *span)
	}
	return all
}

// typical remembers how long the last deliveries and QUITs took, so that what
// is to happen within one is not too late mostly. Its zero value is ready.
type typical struct {
	mu                sync.Mutex
	deliveries, quits []time.Duration
}

const remembered = 50

func (t *typical) delivery(took time.Duration) { t.add(&t.deliveries, took) }
func (t *typical) quit(took time.Duration)     { t.add(&t.quits, took) }

func (t *typical) add(all *[]time.Duration, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*all = append((*all)[max(0, len(*all)-remembered+1):], took)
}

func (t *typical) deliveryTime() time.Duration { return t.median(&t.deliveries) }
func (t *typical) quitTime() time.Duration     { return t.median(&t.quits) }

// median gives it, and something short where nothing is known yet.
func (t *typical) median(all *[]time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(*all) == 0 {
		return 50 * time.Millisecond
	}
	sorted := slices.Sorted(slices.Values(*all))
	return max(sorted[len(sorted)/2], time.Millisecond)
}
