package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

// facts is what a first session found out about the target.
type facts struct {
	greeting  string
	timestamp string // of APOP
	clear     pop3.Capabilities
	before    pop3.Capabilities // in TLS where the target has it
	after     pop3.Capabilities // logged in
	capa      bool              // CAPA works
	messages  []pop3.Listing
	small     []pop3.Listing // those that are retrieved, in their order
}

// Messages above this size are not retrieved, and not more than so many.
const (
	maxRetrieved = 1 << 20
	retrieveMany = 25
)

// notApplicable is an error for a case that finds nothing to check.
type notApplicable string

func (n notApplicable) Error() string { return string(n) }

// Run runs the cases against the target, one after the other, each within the
// target's time limit. Where the server cannot be reached, or the login is
// refused, it gives an error and a Report without results; when the context
// ends, its error and the results so far.
func Run(ctx context.Context, target Target, cases []Case) (Report, error) {
	report := Report{Addr: target.Addr}
	if err := target.check(); err != nil {
		return report, err
	}
	report.TLS = target.TLS
	found, err := probe(ctx, &target)
	report.Greeting = pop3.Sanitize(found.greeting)
	report.Implementation = pop3.Sanitize(found.before.Implementation())
	for _, c := range found.before {
		report.Capabilities = append(report.Capabilities, pop3.Sanitize(c.String()))
	}
	report.Messages = len(found.messages)
	if err != nil {
		return report, err
	}
	for i := range cases {
		if err := ctx.Err(); err != nil {
			return report, err
		}
		result := runCase(ctx, &target, found, &cases[i])
		report.Results = append(report.Results, result)
		if target.Each != nil {
			target.Each(result)
		}
	}
	return report, ctx.Err()
}

// probe learns what Needs asks about, and whether the target can be used.
func probe(ctx context.Context, target *Target) (*facts, error) {
	found := &facts{}
	ctx, cancel := context.WithTimeout(ctx, target.Timeout)
	defer cancel()
	s := newSession(ctx, target, found)
	defer s.finish()
	if err := s.open(false); err != nil {
		return found, err
	}
	found.greeting = s.greeting
	found.timestamp = pop3.Timestamp(s.greeting)
	if target.TLS == STLS {
		var err error
		if found.clear, _, err = s.capabilities(); err != nil {
			return found, err
		}
		if err := s.startTLS(); err != nil {
			return found, err
		}
	}
	var err error
	if found.before, found.capa, err = s.capabilities(); err != nil || target.User == "" {
		return found, err
	}
	if err := s.login(); err != nil {
		return found, errors.New(s.log.redact(fmt.Sprintf("cannot log in as %s: %v", pop3.Sanitize(target.User), err)))
	}
	if found.after, _, err = s.capabilities(); err != nil {
		return found, err
	}
	found.messages, err = s.list()
	if err != nil {
		return found, fmt.Errorf("LIST: %w", err)
	}
	for _, m := range found.messages {
		if m.Octets <= maxRetrieved && len(found.small) < retrieveMany {
			found.small = append(found.small, m)
		}
	}
	return found, nil
}

// missing says which of the needs of a case the target does not meet.
func (n Needs) missing(t *Target, f *facts) string {
	capability := func(c pop3.Capability) bool { return strings.EqualFold(c.Name, n.Capability) }
	switch {
	case (n.Login || n.User || n.Messages > 0) && t.User == "":
		return "no user was given to log in"
	case n.Messages > len(f.small):
		return fmt.Sprintf("the maildrop has fewer than %d messages of at most %d octets", n.Messages, maxRetrieved)
	case n.TLS && t.TLS == NoTLS:
		return "the server is not checked over TLS"
	case n.STLS && t.TLS != STLS:
		return "the server is not checked over STLS"
	case n.Clear && t.TLS == Implicit:
		return "the server is checked over implicit TLS"
	case n.Timestamp && f.timestamp == "":
		return "the greeting has no timestamp for APOP"
	case n.Destructive && !t.Destructive:
		return "deletes mail, which was not allowed"
	case n.Capability != "" && !slices.ContainsFunc(f.before, capability) && !slices.ContainsFunc(f.after, capability):
		return "CAPA does not announce " + n.Capability
	}
	return ""
}

func runCase(ctx context.Context, target *Target, found *facts, c *Case) Result {
	start := time.Now()
	result := Result{Name: c.Name, Section: c.Section, Severity: c.Severity, Why: c.Why}
	if missing := c.Needs.missing(target, found); missing != "" {
		result.Outcome, result.Detail = NotApplicable, missing
		return result
	}
	ctx, cancel := context.WithTimeout(ctx, target.Timeout)
	defer cancel()
	s := newSession(ctx, target, found)
	err := s.run(c)
	s.finish()
	result.Duration = time.Since(start)
	var none notApplicable
	switch {
	case err == nil:
		result.Outcome = Pass
	case errors.As(err, &none):
		result.Outcome, result.Detail = NotApplicable, err.Error()
	default:
		result.Outcome, result.Detail, result.Seen = Fail, s.log.redact(err.Error()), s.log.lines
	}
	return result
}
