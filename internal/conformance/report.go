package conformance

import "time"

// Outcome is how a case went.
type Outcome string

// The outcomes.
const (
	Pass          Outcome = "pass"
	Fail          Outcome = "fail"
	NotApplicable Outcome = "not applicable"
)

// Result is what came of one case.
type Result struct {
	Name     string        `json:"name"`
	Section  string        `json:"section"`
	Severity Severity      `json:"severity"`
	Why      string        `json:"why"`
	Outcome  Outcome       `json:"outcome"`
	Detail   string        `json:"detail,omitempty"` // what was expected and what came, or why it is not applicable
	Seen     []string      `json:"seen,omitempty"`   // the last lines of a failed case's sessions, without secrets
	Duration time.Duration `json:"duration_ns"`
}

// Report is what came of a run.
type Report struct {
	Addr           string   `json:"address"`
	TLS            TLSMode  `json:"tls"`
	Greeting       string   `json:"greeting"`
	Implementation string   `json:"implementation,omitempty"` // as CAPA announces it
	Capabilities   []string `json:"capabilities,omitempty"`   // as announced before login
	Messages       int      `json:"messages"`                 // in the maildrop, 0 without a login
	Results        []Result `json:"results"`
}

// Count gives the number of results with that severity and outcome. An empty
// severity stands for any.
func (r Report) Count(severity Severity, outcome Outcome) int {
	n := 0
	for _, result := range r.Results {
		if result.Outcome == outcome && (severity == "" || result.Severity == severity) {
			n++
		}
	}
	return n
}

// Conforms reports whether no case that an RFC demands has failed.
func (r Report) Conforms() bool { return r.Count(Must, Fail) == 0 }
