package pop3client

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

var (
	pipeliningCapability = pop3.Capability{Name: pop3.CapPipelining}
	empty                = []pop3.Listing{}
	none                 = []pop3.UID{}
)

// What is known about the deletes: done, not all done, unknown, and nothing
// done because QUIT was never sent.
func TestQuit(t *testing.T) {
	c := connect(t, "C: QUIT\nS: +OK bye")
	must(t, c.Quit(t.Context()))
	must(t, c.Abort())
	must(t, c.Quit(t.Context())) // the result of the first
	var q *QuitError
	c = connect(t, "C: QUIT\nCLOSE")
	for range 2 {
		if err := c.Quit(t.Context()); !errors.As(err, &q) || q.Deletion != DeletionUnknown {
			t.Errorf("Quit without an answer, asked twice, gives %v", err)
		}
	}
	c = connect(t, "")
	c.Abort()
	if err := c.Quit(t.Context()); !errors.As(err, &q) || q.Err != ErrClosed || q.Deletion != NothingDeleted {
		t.Errorf("Quit after Abort gives %v", err)
	}
	for script, want := range map[string]Deletion{
		"C: QUIT\nS: -ERR [SYS/TEMP] some deleted messages not removed": NotAllDeleted,
		"C: QUIT\nCLOSE":         DeletionUnknown,
		"C: QUIT\nS+ +OK\nCLOSE": DeletionUnknown,
		"C: QUIT\nS: bye":        DeletionUnknown,
		"S: +OK unasked":         NothingDeleted,
	} {
		script, marked := script, want == NothingDeleted
		if marked {
			script = "C: DELE 1\nS: +OK\n" + script
		}
		c := connect(t, script)
		if marked {
			c.Dele(t.Context(), 1) // what nobody asked for may be found here already
		}
		err := c.Quit(t.Context())
		if !errors.As(err, &q) || q.Deletion != want || !strings.Contains(err.Error(), want.String()) {
			t.Errorf("%q: %v, want %v", script, err, want)
		}
		if want == NotAllDeleted {
			wantRefusal(t, err, pop3.SysTemp, "some deleted messages not removed")
		}
		if err := c.Noop(t.Context()); err == nil {
			t.Errorf("%q: the session goes on after Quit", script)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		c, done := silent(t, insecure, "C: QUIT")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.Quit(ctx); !errors.As(err, &q) || q.Deletion != DeletionUnknown || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("QUIT without an answer gives %v", err)
		}
		must(t, <-done)
	})
}
