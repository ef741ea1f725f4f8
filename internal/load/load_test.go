package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/pop3server"
	"github.com/poplin-mail/poplin/pop3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "correct horse"

// anybody lets in everybody who knows the secret.
type anybody struct{}

func (anybody) Password(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	if l.Password != secret {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return pop3server.Account{Name: l.Username, Maildrop: l.Username}, nil
}

// message has a dot at the beginning of a line, and lines enough for TOP.
const message = "Subject: x\n\n.dot\nline\nline\n"

// serve serves maildrops in memory to some users, each with that many messages.
func serve(t testing.TB, users, messages int, change ...func(*pop3server.Options)) (*memory.Store, Config) {
	t.Helper()
	store := memory.New()
	server, client := pop3test.TLSConfigs()
	options := pop3server.Options{InsecureAuth: true, TLSConfig: server, MaxSessionsPerAddr: -1, MaxSessionsPerNetwork: -1}
	for _, f := range change {
		f(&options)
	}
	s, err := pop3server.New(store, anybody{}, options)
	if err != nil {
		t.Fatal(err)
	}
	config := Config{Work: Poll, Connections: users, Duration: 200 * time.Millisecond, Ramp: 1000, Noop: 50 * time.Millisecond}
	for i := range users {
		u := User{fmt.Sprintf("user%d", i), secret}
		config.Users = append(config.Users, u)
		store.Create(u.Name)
		for range messages {
			if _, err := store.Deliver(t.Context(), u.Name, strings.NewReader(message)); err != nil {
				t.Fatal(err)
			}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-served })
	config.Target = target(t, l.Addr().String())
	config.Target.TLSConfig = client
	return store, config
}

// target is a server in clear text.
func target(t testing.TB, addr string) *Target {
	t.Helper()
	target := &Target{Addr: addr, TLS: None, Mechanism: MechanismUser, Timeout: 10 * time.Second}
	if err := target.Resolve(t.Context()); err != nil {
		t.Fatal(err)
	}
	return target
}

// measure runs to the end.
func measure(t *testing.T, config Config) *Result {
	t.Helper()
	result, err := Run(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// measureUntil runs until there is enough, however slow the machine is.
func measureUntil(t *testing.T, config Config, operations int64, failed int) *Result {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	config.Duration, config.Every = time.Hour, time.Millisecond
	config.Progress = func(p Progress) {
		if p.Operations >= operations && p.Failed >= failed {
			cancel()
		}
	}
	result, err := Run(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// wireSize is the message as it is on the wire, with CRLF.
const wireSize = int64(len(message) + 5)

// Each work does what it says, and nothing is deleted but by Drain.
func TestWorks(t *testing.T) {
	for _, pipeline := range []bool{false, true} {
		for _, work := range []Work{Login, Poll, Top, Retrieve} {
			store, config := serve(t, 3, 4)
			config.Work, config.Pipeline = work, pipeline
			r := measureUntil(t, config, 24, 0)
			if r.Failed != 0 || r.Sessions == 0 || r.OtherSize != 0 || r.Deleted != 0 {
				t.Errorf("%s: %+v", work, r)
			}
			l := r.Latency
			if l.Connect == nil || l.Login == nil || l.Session == nil || l.Noop != nil || l.Session.P99 < l.Session.P50 || l.Session.Max < l.Session.P99 {
				t.Errorf("%s: %+v", work, l)
			}
			switch work {
			case Login, Poll:
				if r.Operation != "session" || r.Operations != r.Sessions || r.Messages != 0 || l.FirstOctet != nil {
					t.Errorf("%s: %+v", work, r)
				}
			default:
				if r.Operation != "message" || r.Operations != r.Messages || r.Messages < 4*r.Sessions-3*4 || l.FirstOctet == nil {
					t.Errorf("%s: %+v", work, r)
				}
			}
			if work == Retrieve && r.Octets != wireSize*r.Messages || work == Top && r.Octets != 14*r.Messages {
				t.Errorf("%s: %d octets in %d messages", work, r.Octets, r.Messages)
			}
			for _, u := range config.Users {
				if left := left(t, store, u.Name); left != 4 {
					t.Errorf("%s: %d messages are left of 4", work, left)
				}
			}
		}
	}
}

// left gives how many messages there are, once the session that was cut is
// found out.
func left(t *testing.T, store *memory.Store, user string) int {
	t.Helper()
	d, err := store.Open(t.Context(), user)
	for errors.Is(err, maildrop.ErrInUse) {
		time.Sleep(time.Millisecond)
		d, err = store.Open(t.Context(), user)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	return len(d.Messages())
}

// Drain takes every message of every user once, and ends then.
func TestDrain(t *testing.T) {
	for _, pipeline := range []bool{false, true} {
		store, config := serve(t, 5, 3)
		config.Work, config.Pipeline, config.Connections, config.Duration = Drain, pipeline, 2, time.Minute
		r := measure(t, config)
		if r.Failed != 0 || r.Sessions != 5 || r.Messages != 15 || r.Deleted != 15 || r.Octets != 15*wireSize {
			t.Errorf("%+v", r)
		}
		for _, u := range config.Users {
			if left := left(t, store, u.Name); left != 0 {
				t.Errorf("%d messages are left", left)
			}
		}
	}
}

func TestIdle(t *testing.T) {
	_, config := serve(t, 20, 0)
	config.Work = Idle
	config.Server = func() (Usage, error) { return Usage{Memory: 1 << 20}, nil }
	r := measure(t, config)
	if r.Failed != 0 || r.Opened != 20 || r.Kept != 20 || r.Operations < 20 || r.Latency.Noop == nil || r.Latency.Noop.Count != uint64(r.Operations) || r.ServerMemory != 1<<20 {
		t.Errorf("%+v", r)
	}
}

func TestTLS(t *testing.T) {
	_, config := serve(t, 2, 1)
	config.Target.TLS, config.Target.Mechanism = STLS, AnyMechanism
	server, err := config.Target.Probe(t.Context(), config.Users[0])
	if err != nil || server.TLS != "TLS 1.3" || server.Messages != 1 || server.Octets != wireSize || !server.Pipelining || server.Name != "Poplin" {
		t.Errorf("%+v, %v", server, err)
	}
	if r := measureUntil(t, config, 1, 0); r.Failed != 0 || r.Sessions == 0 {
		t.Errorf("%+v", r)
	}
	s := pop3test.NewServer(t)
	config.Target.Addr, config.Target.TLS = s.TLSAddr, Implicit
	config.Users = []User{{s.User, s.Password}}
	config.Connections = 1
	if err := config.Target.Resolve(t.Context()); err != nil {
		t.Fatal(err)
	}
	if server, err := config.Target.Probe(t.Context(), config.Users[0]); err != nil || server.TLS != "TLS 1.3" {
		t.Errorf("%+v, %v", server, err)
	}
	if r := measureUntil(t, config, 1, 0); r.Failed != 0 || r.Sessions == 0 {
		t.Errorf("%+v", r)
	}
}

// Ctrl-C ends a run of any length in the midst of whatever it does, and that
// is no failure.
func TestInterrupted(t *testing.T) {
	for _, work := range Works {
		store, config := serve(t, 3, 20)
		config.Work, config.Duration, config.Noop = work, time.Hour, time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		config.Every, config.Progress = time.Millisecond, func(p Progress) {
			if p.Operations > 0 || work == Idle && p.Elapsed > 0 {
				cancel()
			}
		}
		r, err := Run(ctx, config)
		cancel()
		if err != nil || r.Failed != 0 || r.Seconds > 3000 {
			t.Errorf("%s: %+v, %v", work, r, err)
		}
		if work == Idle && r.Kept != 3 {
			t.Errorf("%d connections of 3 are said to be kept", r.Kept)
		}
		if work != Drain && (!r.Interrupted || left(t, store, "user0") != 20) {
			t.Errorf("%s: %+v", work, r)
		}
	}
}

// Progress is told while it goes, and in the end it is what the result says.
func TestProgress(t *testing.T) {
	_, config := serve(t, 2, 1)
	config.Warm, config.Duration = 20*time.Millisecond, time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last Progress
	config.Every, config.Progress = 5*time.Millisecond, func(p Progress) {
		if p.Operations < last.Operations || p.Elapsed < last.Elapsed || p.Elapsed == 0 && p.Operations > 0 {
			t.Errorf("%+v after %+v", p, last)
		}
		if last = p; p.Operations > 10 {
			cancel()
		}
	}
	r, err := Run(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	if last.Operations == 0 || last.Operations > r.Operations || last.P99 == 0 {
		t.Errorf("%+v, %+v", last, r)
	}
}

// Scripts read these names.
func TestResultJSON(t *testing.T) {
	_, config := serve(t, 1, 1)
	config.Work = Retrieve
	config.Server = func() (Usage, error) { return Tree(os.Getpid()) }
	text, err := json.Marshal(measure(t, config))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"work", "connections", "seconds", "operation", "operations", "operations_per_second", "octets_per_second", "latency_ms", "first_octet", "p50", "p90", "p99", "max", "failed", "failures", "server_cpu_us_per_operation", "client_cpu_us_per_operation"} {
		if !strings.Contains(string(text), `"`+name+`":`) {
			t.Errorf("%s is not in %s", name, text)
		}
	}
	config.Server = func() (Usage, error) { return Tree(1 << 30) }
	for _, work := range []Work{Poll, Idle, Drain} {
		config.Work = work
		if _, err := Run(t.Context(), config); err == nil || !strings.Contains(err.Error(), "no process") {
			t.Errorf("%s: %v", work, err)
		}
	}
}

func TestParseStat(t *testing.T) {
	parent, used, ok := parseStat([]byte("7 (a) b (c)) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 5\n"))
	if !ok || parent != 3 || used != time.Second {
		t.Errorf("%d, %v, %v", parent, used, ok)
	}
	for _, text := range []string{"", "7 (a", "7 (a) S 3"} {
		if _, _, ok := parseStat([]byte(text)); ok {
			t.Errorf("%q is taken", text)
		}
	}
	u, err := Tree(os.Getpid())
	if err != nil || u.Memory < 1<<20 {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestLocal(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "127.9.9.9:1": true, "[::ffff:127.0.0.1]:1": true, "192.0.2.1:1": false, "[2001:db8::1]:1": false} {
		if got := target(t, addr).Local(); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if err := (&Target{Addr: "nowhere"}).Resolve(t.Context()); err == nil {
		t.Error("an address without a port is taken")
	}
}

// A drain whose time is over deletes nothing: it has not read everything.
func TestDrainClosing(t *testing.T) {
	for _, pipeline := range []bool{false, true} {
		store, config := serve(t, 1, 3)
		r := &run{Config: config}
		r.Work, r.Pipeline = Drain, pipeline
		r.closing.Store(true)
		if err := r.once(t.Context(), config.Users[0]); !errors.Is(err, errClosing) {
			t.Errorf("the session ends in %v", err)
		}
		if left := left(t, store, "user0"); left != 3 {
			t.Errorf("%d messages are left of 3", left)
		}
	}
}

// When the time is over sessions end with QUIT, so that the next run finds
// every maildrop free.
func TestClosing(t *testing.T) {
	for _, pipeline := range []bool{false, true} {
		var log ends
		_, config := serve(t, 3, 500, func(o *pop3server.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		for _, work := range []Work{Retrieve, Top, Poll, Login, Idle, Retrieve} {
			config.Work, config.Pipeline, config.Duration, config.Noop = work, pipeline, 5*time.Millisecond, time.Hour
			if r := measure(t, config); r.Failed != 0 {
				t.Errorf("%s: %+v", work, r)
			}
		}
		if log.all.Load() == 0 || log.cut.Load() > 0 {
			t.Errorf("of %d sessions %d did not end with QUIT", log.all.Load(), log.cut.Load())
		}
	}
}

// ends counts how the server says that sessions ended.
type ends struct{ all, cut atomic.Int64 }

func (e *ends) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("session ended")) {
		e.all.Add(1)
		if !bytes.Contains(line, []byte("reason=quit")) {
			e.cut.Add(1)
		}
	}
	return len(line), nil
}
