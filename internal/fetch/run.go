package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/internal/fetch/journal"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// run is one run for an account.
type run struct {
	*Account
	opts    Options
	journal *journal.Journal
	names   []string // of the targets
	down    []error  // by target: why it takes nothing more in this run
	client  *pop3client.Client
	report  *Report
	came    []arrival // in this session
	left    map[leaving]bool
	begun   time.Time
	telling sync.Mutex // events, and what workers add to the report
}

// Run retrieves what is new, and deletes on the server what the policy says.
// The error is a *Trouble, or several of them joined; the Report is there with
// it too.
func (a *Account) Run(ctx context.Context, opts Options) (*Report, error) {
	r := &run{Account: a, opts: opts, names: a.targetNames(), down: make([]error, len(a.Targets)), begun: time.Now(), report: &Report{Account: a.Name}}
	open := journal.Open
	if opts.DryRun {
		open = journal.Read
	}
	j, err := open(cmp.Or[disk.FS](a.Disk, disk.OS{}), a.State)
	if errors.Is(err, journal.ErrInUse) {
		return r.report, &Trouble{true, err}
	} else if err != nil {
		return r.report, lasting("%w", err)
	}
	defer j.Close()
	r.journal = j
	if !j.Room(r.names) {
		return r.report, lasting("the account has had more than %d targets: use a new name for it, or fewer targets", journal.MaxTargets)
	}
	r.recover(ctx)
	err = r.sessions(ctx)
	for i, down := range r.down {
		if down != nil {
			err = errors.Join(err, &Trouble{passes(down), fmt.Errorf("%s: %w", r.names[i], down)})
		}
	}
	if ctx.Err() == nil && !opts.DryRun {
		if lapse := j.Forget(time.Now().Add(-cmp.Or(a.Grace, defaultGrace))); lapse != nil {
			err = errors.Join(err, lasting("%w", lapse))
		}
	}
	return r.report, err
}

// sessions holds one session with the server, or several.
func (r *run) sessions(ctx context.Context) error {
	for cuts := 0; ; {
		before := r.report.Retrieved
		wait, err := r.session(ctx)
		if cuts++; errors.Is(err, errOversize) && wait == 0 && cuts < tries {
			continue // that message is not asked for again, and the others are
		}
		if err != nil || !r.Sessions || r.report.Retrieved == before || r.opts.DryRun {
			return err
		}
		r.opts.Watch.stage(fmt.Sprintf("waiting %v for the next session", wait))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return trouble(ctx.Err())
		}
	}
}

// longestDelay is the most that a server gets of what it asks for between two
// logins: no server means decades.
const longestDelay = 24 * time.Hour

// session is one session. It gives how long the server wants a client to wait
// before the next.
func (r *run) session(ctx context.Context) (wait time.Duration, err error) {
	r.opts.Watch.stage("connecting")
	if r.client, err = r.Connect(ctx); err != nil {
		return 0, trouble(err)
	}
	defer r.client.Abort()
	items, err := r.list(ctx)
	if caps, err := r.client.Capabilities(ctx); err == nil {
		wait = min(caps.LoginDelay(), longestDelay)
		r.report.LoginDelay = wait
	}
	if err != nil {
		return wait, trouble(err)
	}
	r.tell(Event{Kind: Connected, Count: len(items)})
	if r.report.Listed == 0 {
		r.report.Listed = len(items)
	}
	if err := r.reconcile(ctx, items); errors.As(err, new(*Trouble)) {
		return wait, errors.Join(err, trouble(r.client.Quit(ctx))) // nothing was retrieved, or marked
	} else if err != nil {
		return wait, trouble(err)
	}
	if err := r.newTargets(items); err != nil {
		return wait, errors.Join(err, trouble(r.client.Quit(ctx)))
	}
	if r.opts.DryRun {
		r.plan(items)
		return wait, trouble(r.client.Quit(ctx))
	}
	unsafe, err := r.retrieve(ctx, items)
	switch {
	case err != nil:
		return wait, trouble(r.distrust(err))
	case r.PoppedAtQuit && unsafe > 0:
		return wait, &Trouble{true, fmt.Errorf("%d messages were retrieved and are not safe everywhere: this server takes what was retrieved for done at QUIT, so the session was broken off, and nothing was deleted", unsafe)}
	}
	return wait, trouble(r.distrust(r.leave(ctx, items)))
}

// distrust looks at what came in a session that ends in err. Where the server
// sent a reply too many, or one that is none, messages may have been taken for
// others. Those that have another size than was announced are not taken for
// fetched then, whatever they are, and come again; but not if the server's sizes
// are never right.
func (r *run) distrust(err error) error {
	var confused *pop3client.ProtocolError
	exact := func(it arrival) bool { return it.octets == it.size }
	if !errors.As(err, &confused) || !slices.ContainsFunc(r.came, exact) {
		return err
	}
	var records []journal.Record
	for _, it := range r.came {
		r.journal.Look(it.Key, func(e *journal.Entry) {
			if e != nil && !e.At.IsZero() && !e.Part && len(e.Intents) == 0 && !exact(it) && it.size >= 0 {
				records = append(records, journal.Renewed{Key: it.Key})
			}
		})
	}
	return errors.Join(err, r.write(records...))
}

// fall notes that a target takes nothing more in this run.
func (r *run) fall(i int, err error) {
	r.down[i] = err
	r.report.Down = append(r.report.Down, fmt.Sprintf("%s: %v", r.names[i], err))
	r.tell(Event{Kind: Down, Target: r.names[i], Text: err.Error()})
}

func (r *run) tell(e Event) {
	if w := r.opts.Watch; w != nil && w.Event != nil {
		r.telling.Lock()
		defer r.telling.Unlock()
		e.Account = r.Name
		w.Event(e)
	}
}

// trouble says what kind of trouble an error of the session is.
func trouble(err error) error {
	var already *Trouble
	if err == nil || errors.As(err, &already) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return &Trouble{true, errors.New("broken off: the next run goes on from here")}
	}
	var refused *pop3.Error
	var dns *net.DNSError
	var network net.Error
	var passing interface { // of a provider of tokens
		error
		Temporary() bool
	}
	var system syscall.Errno
	var operation *net.OpError
	switch {
	case errors.As(err, &refused):
		return &Trouble{refused.Temporary(), err}
	case errors.As(err, &dns):
		return &Trouble{!dns.IsNotFound, err}
	case errors.As(err, &operation) && operation.Op == "remote error": // an alert of TLS, but for what may pass
		return &Trouble{strings.HasSuffix(operation.Err.Error(), "internal error"), err}
	case errors.As(err, &network), errors.As(err, &system):
		return &Trouble{true, err}
	case errors.As(err, &passing):
		return &Trouble{passing.Temporary(), err}
	}
	passes := errors.Is(err, errOversize) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, context.DeadlineExceeded)
	return &Trouble{passes, err}
}
