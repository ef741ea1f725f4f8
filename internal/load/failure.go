package load

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"slices"
	"sync"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// Failure is one kind of failure, and how often it came.
type Failure struct {
	Kind      string `json:"kind"`
	Count     int    `json:"count"`
	Temporary bool   `json:"temporary"` // the server says that it passes
	Sample    string `json:"sample"`    // the first of them, in one line
}

// loginError is an error of the login, where -ERR means something else than in
// the middle of a session.
type loginError struct{ error }

func (e loginError) Unwrap() error { return e.error }

// kindOf says in a few words what kind of failure an error is.
func kindOf(err error) (kind string, temporary bool) {
	var (
		refusal     *pop3.Error
		protocol    *pop3client.ProtocolError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		network     *net.OpError
	)
	switch {
	case errors.As(err, &refusal) && refusal.Code.Under(pop3.InUse):
		return "maildrop in use", true
	case errors.As(err, &refusal) && refusal.Code.Under(pop3.LoginDelay):
		return "login too early", true
	case errors.As(err, &refusal) && refusal.Temporary():
		return "temporary failure", true
	case errors.As(err, &refusal) && errors.As(err, new(loginError)):
		return "login refused", false
	case errors.As(err, &refusal):
		return "-ERR", false
	case errors.As(err, &protocol):
		return "wrong reply", false
	case errors.As(err, &certificate):
		return "certificate", false
	case errors.As(err, &record), errors.As(err, &alert):
		return "TLS", false
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "time-out", false
	case errors.As(err, &network) && network.Op == "dial":
		return "no connection", false
	case errors.Is(err, pop3client.ErrNoLogin):
		return "no such login", false
	}
	return "connection cut", false
}

// Temporary reports whether the server says that the failure passes.
func Temporary(err error) bool {
	_, temporary := kindOf(err)
	return temporary
}

// failures counts them by kind.
type failures struct {
	mu    sync.Mutex
	kinds map[string]*Failure
	all   int
}

func (f *failures) add(err error) {
	kind, temporary := kindOf(err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all++
	if f.kinds == nil {
		f.kinds = map[string]*Failure{}
	}
	if f.kinds[kind] == nil {
		f.kinds[kind] = &Failure{Kind: kind, Temporary: temporary, Sample: pop3.Sanitize(err.Error())}
	}
	f.kinds[kind].Count++
}

func (f *failures) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all
}

// list gives them, the most frequent first.
func (f *failures) list() []Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []Failure{}
	for _, one := range f.kinds {
		all = append(all, *one)
	}
	slices.SortFunc(all, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}
