package maildroptest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/poplin-mail/poplin/maildrop/memory"
)

// recorder is a testing.TB that keeps failures to itself.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	failed []string
	undo   []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.undo = append(r.undo, f) }

func (r *recorder) Context() context.Context { return context.Background() }

func (r *recorder) record(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, text)
}

func (r *recorder) Error(args ...any)                 { r.record(fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.record(fmt.Sprintf(format, args...)) }

func (r *recorder) Fatal(args ...any) {
	r.record(fmt.Sprint(args...))
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.record(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// failures runs a check and gives what it said.
func failures(c check, newHarness func(t testing.TB) Harness) []string {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, f := range slices.Backward(r.undo) {
				f()
			}
		}()
		c.start(r, newHarness)
	}()
	<-done
	return r.failed
}

// sound makes the Harness of a Store that keeps the contract.
func sound(testing.TB) Harness {
	s := memory.New()
	return Harness{Store: s, Deliverer: s, Views: true, Create: func(name string) error { s.Create(name); return nil }}
}

// everyCheck are all parts of the contract.
var everyCheck = slices.Concat(checks, viewChecks)

func TestSoundStorePasses(t *testing.T) { Run(t, sound) }

// TestWithoutCreate runs the suite on a Harness with the least in it.
func TestWithoutCreate(t *testing.T) {
	Run(t, func(testing.TB) Harness {
		s := memory.New()
		return Harness{Store: s, Deliverer: s}
	})
}

func TestHarnessNeedsStore(t *testing.T) {
	s := memory.New()
	for _, h := range []Harness{{}, {Store: s}, {Deliverer: s}} {
		got := failures(checks[0], func(testing.TB) Harness { return h })
		if len(got) != 1 || !strings.Contains(got[0], "needs a Store") {
			t.Errorf("with Harness %+v: %q, want one failure that says what is missing", h, got)
		}
	}
}

// TestBrokenStoresFail breaks a Store in one way after the other. The check
// named must fail, and say the words.
func TestBrokenStoresFail(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			at := slices.IndexFunc(everyCheck, func(c check) bool { return c.name == f.check })
			if at < 0 {
				t.Fatalf("no check is called %s", f.check)
			}
			got := strings.Join(failures(everyCheck[at], func(testing.TB) Harness { return f.harness() }), "\n")
			if !strings.Contains(got, f.words) {
				t.Errorf("%s says %q, want it to say %q", f.check, got, f.words)
			}
		})
	}
}

// TestEveryCheckCanFail: a check that no broken Store fails is no check.
func TestEveryCheckCanFail(t *testing.T) {
	for _, c := range everyCheck {
		if !slices.ContainsFunc(faults, func(f fault) bool { return f.check == c.name }) {
			t.Errorf("no broken Store is known that %s tells from a sound one", c.name)
		}
	}
}

func TestWireForm(t *testing.T) {
	for content, want := range map[string]string{
		"": "", "a": "a\r\n", "\n": "\r\n", "\r": "\r\r\n", "a\r\nb\n": "a\r\nb\r\n", "\r\r\n": "\r\r\n", "\n\r": "\r\n\r\r\n", ".": ".\r\n",
	} {
		if got := wireForm(content); got != want {
			t.Errorf("wireForm(%q) = %q, want %q", content, got, want)
		}
	}
}
