package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3test"
)

// What fails is counted by kind, from the first session on.
func TestFailures(t *testing.T) {
	_, config := serve(t, 2, 1)
	config.Users[1].Password = "wrong"
	r := measureUntil(t, config, 1, 1)
	if r.Failed == 0 || len(r.Failures) != 1 || r.Failures[0].Kind != "login refused" || r.Failures[0].Count != r.Failed || r.Temporary() || r.Sessions == 0 {
		t.Errorf("%+v", r)
	}
	if strings.Contains(fmt.Sprint(r), "wrong") {
		t.Errorf("the password is in %+v", r)
	}
	if _, err := config.Target.Probe(t.Context(), config.Users[1]); err == nil || Temporary(err) {
		t.Errorf("Probe gives %v", err)
	}
	_, config = serve(t, 1, 1)
	config.Users, config.Connections = append(config.Users, config.Users[0]), 2 // one maildrop, twice
	config.Work, config.Duration = Idle, 50*time.Millisecond
	r = measure(t, config)
	if r.Opened != 1 || r.Kept != 1 || len(r.Failures) != 1 || r.Failures[0].Kind != "maildrop in use" || !r.Temporary() {
		t.Errorf("%+v", r)
	}
	if (&Result{}).Temporary() {
		t.Error("no failure at all is taken for one that passes")
	}
}

// broken serves one scripted connection after the other.
func broken(t *testing.T, script string) Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := pop3test.ParseScript(script, false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			parsed.PlayServer(ctx, conn, pop3test.Player{})
		}
	}()
	t.Cleanup(func() { cancel(); l.Close(); <-served })
	return Config{Target: target(t, l.Addr().String()), Users: []User{{"u", "p"}}, Connections: 1, Work: Retrieve, Duration: 100 * time.Millisecond, Ramp: 1000, Noop: time.Second}
}

const loggedIn = "S: +OK\nC: USER u\nS: +OK\nC: PASS p\nS: +OK\n"

// Whatever a server does wrong is a failure of its kind.
func TestBrokenServers(t *testing.T) {
	for script, want := range map[string]string{
		loggedIn + "C: LIST\nS: +OK\nS: 1 5\nS: .\nC: RETR 1\nS: +OK\nS: abc\n! server cuts":       "connection cut",
		loggedIn + "C: LIST\nS: +OK\nS: 1 5\nS: .\nC: RETR 1\nS: -ERR gone\n! client cuts":         "-ERR",
		loggedIn + "C: LIST\nS: +OK\nS: 1 5\nS: .\nC: RETR 1\nS: -ERR [SYS/TEMP] x\n! client cuts": "temporary failure",
		loggedIn + "C: LIST\nS: hello\n! client cuts":                                              "wrong reply",
		loggedIn + "! server cuts":                     "connection cut",
		"S: -ERR [LOGIN-DELAY] later\n! client cuts":   "login too early",
		"S: +OK\nC: USER u\nS: -ERR no\n! client cuts": "login refused",
	} {
		r := measureUntil(t, broken(t, script), 0, 1)
		if r.Failed == 0 || len(r.Failures) != 1 || r.Failures[0].Kind != want || r.Failures[0].Sample == "" || r.Sessions != 0 || r.Messages != 0 {
			t.Errorf("%s: %q: %+v", want, script, r)
		}
	}
}

// A connection that the server does not keep is not said to be kept.
func TestIdleCut(t *testing.T) {
	config := broken(t, loggedIn+"C: NOOP\nS: +OK\n! server cuts")
	config.Work, config.Noop = Idle, time.Millisecond
	if r := measureUntil(t, config, 0, 1); r.Opened != 1 || r.Kept != 0 || r.Failures[0].Kind != "connection cut" {
		t.Errorf("%+v", r)
	}
}

// A size other than announced is told, and is no failure.
func TestOtherSize(t *testing.T) {
	r := measureUntil(t, broken(t, loggedIn+"C: LIST\nS: +OK\nS: 1 7\nS: .\nC: RETR 1\nS: +OK\nS: abc\nS: .\nC: QUIT\nS: +OK\n! server closes"), 1, 0)
	if r.Failed != 0 || r.Messages == 0 || r.OtherSize != r.Messages || r.Octets != 5*r.Messages {
		t.Errorf("%+v", r)
	}
}

// A message whose pipeline is cut deletes nothing.
func TestDrainCut(t *testing.T) {
	config := broken(t, loggedIn+"C: LIST\nS: +OK\nS: 1 5\nS: 2 5\nS: .\nC: RETR 1\nS: +OK\nS: abc\nS: .\nC: DELE 1\nS: +OK\nC: RETR 2\nS: +OK\nS: a\n! server cuts")
	config.Work = Drain
	if r := measure(t, config); r.Deleted != 0 || r.Failed != 1 || r.Messages != 1 {
		t.Errorf("%+v", r)
	}
}

func TestKinds(t *testing.T) {
	for want, err := range map[string]error{
		"time-out":      fmt.Errorf("x: %w", os.ErrDeadlineExceeded),
		"no connection": &net.OpError{Op: "dial", Err: errors.New("refused")},
		"-ERR":          fmt.Errorf("x: %w", &pop3.Error{Text: "no"}),
	} {
		if kind, temporary := kindOf(err); kind != want || temporary {
			t.Errorf("%v is of kind %q", err, kind)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := target(t, l.Addr().String())
	l.Close()
	if _, err := closed.Probe(t.Context(), User{}); err == nil {
		t.Error("nobody listens, and Probe succeeds")
	} else if kind, _ := kindOf(err); kind != "no connection" {
		t.Errorf("%v is of kind %q", err, kind)
	}
}
