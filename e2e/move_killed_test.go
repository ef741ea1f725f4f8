package e2e

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/bench/gateways"
	"github.com/poplin-mail/poplin/maildrop"
	maildirs "github.com/poplin-mail/poplin/maildrop/maildir"
)

var (
	moveTime = flag.Duration("move-time", 16*time.Second, "how long TestMoveKilled kills `poplin move`, for each direction and each store that users see at first")
	moveSeed = flag.Uint64("move-seed", 0, "the seed of TestMoveKilled; 0: one by chance")
)

// moveUsers is how many maildrops are moved: more than one run moves at the
// same time, so that there are always some that users can get at.
const moveUsers = 12

// lockStands is how long the lock in a bucket stands at most of a process that
// was killed: the lease of bucketToml and an eighth.
const lockStands = 9 * time.Second

// TestMoveKilled kills `poplin move` again and again, and has it stand still
// for longer than a lease, while users of the store that the configuration
// names retrieve and delete, and mail comes in. In the end every message that
// no user deleted is at the destination, once, with its octets and its
// unique-id; none is that a user deleted; and the source is empty.
func TestMoveKilled(t *testing.T) {
	seed := cmp.Or(*moveSeed, rand.Uint64())
	for i, way := range []struct{ from, to, live string }{
		{"maildir", "bucket", "bucket"},
		{"bucket", "maildir", "maildir"},
		{"maildir", "bucket", "maildir"},
		{"bucket", "maildir", "bucket"},
	} {
		t.Run(way.from+" to "+way.to+", users see the "+way.live, func(t *testing.T) {
			t.Parallel()
			t.Logf("-move-seed=%d", seed)
			b := newMoveBed(t, way.from, way.to, way.live, seed+uint64(i)<<32)
			b.killed(t, *moveTime)
			if way.live == way.from {
				b.switched(t)
				b.killed(t, *moveTime/2)
			}
			b.move(t)
			for _, u := range b.users {
				u.finds(t, "at last")
				u.emptied(t)
			}
			b.nothingLeft(t)
			t.Log(b.summary())
			b.verdict(t)
		})
	}
}

// moveBed is an installation whose mail is moved.
type moveBed struct {
	poplinServer
	gateways *gateways.Gateways
	from, to string // stores
	live     string // the one that users see
	source   moveStore
	users    []*moveUser
	rng      *rand.Rand

	runs, kills, stops int // of `poplin move`

	mu     sync.Mutex
	faults map[string][]string // by their kind, each once
}

// moveStore is a store past the server.
type moveStore interface {
	maildrop.Store
	maildrop.Deliverer
}

// newMoveBed starts a server on one of two stores, and fills the source.
func newMoveBed(t *testing.T, from, to, live string, seed uint64) *moveBed {
	t.Helper()
	g := startGateways(t)
	toml := bucketToml(g.Balancer(), g.Endpoint(0), g.Endpoint(1))
	toml = strings.Replace(toml, "store = \"bucket\"\n", "store = \"LIVE\"\npath = \"DIR/mail/{user}\"\nuidl = \"dovecot\"\n", 1)
	b := &moveBed{
		poplinServer: newPoplin(t, true, strings.Replace(toml, "LIVE", live, 1)),
		gateways:     g,
		from:         from, to: to, live: live,
		rng:    rand.New(rand.NewPCG(seed, 0)),
		faults: make(map[string][]string),
	}
	run(t, command(t, poplin, "bucket", "init", "--config", b.config))
	files, err := maildirs.New(maildirs.Options{Path: filepath.Join(b.dir, "mail/{user}"), UIDL: "dovecot"})
	if err != nil {
		t.Fatal(err)
	}
	b.source = newBucketBox(t, g).store
	if from == "maildir" {
		b.source = files
	}
	for i := range moveUsers {
		u := newMoveUser(b, fmt.Sprintf("u%02d", i), rand.New(rand.NewPCG(seed, uint64(i)+1)))
		b.users = append(b.users, u)
		if err := files.Create(t.Context(), u.name); err != nil {
			t.Fatal(err)
		}
	}
	b.letIn(t)
	var all sync.WaitGroup
	for i, u := range b.users {
		if from == "maildir" && i%3 == 0 {
			u.fillAsDovecot(t)
			continue
		}
		all.Go(func() { u.fill(t) })
	}
	all.Wait()
	b.restart(t, "")
	return b
}

// letIn makes users of one password, which costs the server little to check.
func (b *moveBed) letIn(t *testing.T) {
	t.Helper()
	add := command(t, poplin, "user", "add", "--config", b.config, "--scheme", "scram-sha-256", "u")
	add.Stdin = strings.NewReader(b.password + "\n")
	run(t, add)
	path := filepath.Join(b.dir, "users")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, _ := strings.Cut(string(text), "\nu:")
	for _, u := range b.users {
		text = fmt.Appendf(text, "%s:%s\n", u.name, strings.TrimSuffix(secret, "\n"))
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// switched stops the server, moves what came last, and has users see the
// destination: as docs/howto/move.md says, all that they had is there already.
func (b *moveBed) switched(t *testing.T) {
	t.Helper()
	b.process.signal(syscall.SIGTERM)
	b.process.wait(t)
	b.move(t)
	b.store = strings.Replace(b.store, "store = \""+b.from+"\"", "store = \""+b.to+"\"", 1)
	b.live = b.to
	b.restart(t, "")
	for _, u := range b.users {
		u.switched()
		u.finds(t, "behind the switch")
	}
}

// nothingLeft fails where the stores have anything of a run left that was
// killed: a lock, or the mark that makes sessions keep what they delete.
func (b *moveBed) nothingLeft(t *testing.T) {
	t.Helper()
	marks, err := filepath.Glob(filepath.Join(b.dir, "mail/*/poplin.unsettled"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(marks, objects(t, b.gateways, "/k/")...) {
		if !strings.Contains(path, "/poplin-check/") { // of a run that was killed while it tried the store out
			b.fault("a lock or a mark is left", "%s", path)
		}
	}
}

// move runs `poplin move` undisturbed.
func (b *moveBed) move(t *testing.T) {
	t.Helper()
	run(t, command(t, poplin, b.arguments("--all", "--quiet", "--wait", "1m")...))
}

func (b *moveBed) arguments(more ...string) []string {
	return append([]string{"move", "--config", b.config, "--from", b.from, "--to", b.to}, more...)
}

// killed runs and kills `poplin move` while users come and go.
func (b *moveBed) killed(t *testing.T, howLong time.Duration) {
	t.Helper()
	var work sync.WaitGroup
	stop := make(chan struct{})
	for _, u := range b.users {
		work.Go(func() { u.comesAndGoes(t, stop) })
	}
	still := make(chan struct{}, 2) // processes that stand still
	for end := time.Now().Add(howLong); time.Now().Before(end); {
		p := launch(t, b.someMove())
		b.runs++
		if b.ends(p) {
			if code := p.cmd.ProcessState.ExitCode(); code != 0 && code != 75 {
				b.fault("a move that was not killed failed", "it ends with %d: %s", code, p.log)
			}
			continue
		}
		lasts, then := lockStands+b.upTo(3*time.Second), b.upTo(time.Second)
		if b.rng.IntN(5) > 0 || len(still) == cap(still) {
			p.signal(syscall.SIGKILL)
			<-p.done
			b.kills++
			time.Sleep(b.upTo(300 * time.Millisecond))
			continue
		}
		b.stops++
		still <- struct{}{}
		p.signal(syscall.SIGSTOP)
		work.Go(func() {
			time.Sleep(lasts)
			p.signal(syscall.SIGCONT)
			select { // it fails, where it finds that its lock is another's
			case <-p.done:
			case <-time.After(then):
				p.signal(syscall.SIGKILL)
				<-p.done
			}
			<-still
		})
	}
	close(stop)
	work.Wait()
}

// someMove is a run for users in any order.
func (b *moveBed) someMove() *exec.Cmd {
	wait := []string{"0s", "0s", "1s", "10s"}[b.rng.IntN(4)]
	args := b.arguments("--json", "--wait", wait, "--at-once", fmt.Sprint(1+b.rng.IntN(5)))
	for _, i := range b.rng.Perm(len(b.users))[:1+b.rng.IntN(len(b.users))] {
		args = append(args, b.users[i].name)
	}
	return exec.Command(poplin, args...)
}

// ends leaves a run alone until some maildrops are done, and a moment longer.
// It is true when the run ends before.
func (b *moveBed) ends(p *process) bool {
	ended := func(d time.Duration) bool {
		select {
		case <-p.done:
			return true
		case <-time.After(d):
			return false
		}
	}
	maildrops := b.rng.IntN(4) // with 0 it may not even have begun
	for end := time.Now().Add(4 * time.Second); strings.Count(p.log.String(), "\n") < maildrops && time.Now().Before(end); {
		if ended(5 * time.Millisecond) {
			return true
		}
	}
	return ended(b.upTo(400 * time.Millisecond))
}

func (b *moveBed) upTo(most time.Duration) time.Duration {
	return time.Duration(b.rng.Int64N(int64(most) + 1))
}

// fault takes note of what must not be. What many sessions see is one fault.
func (b *moveBed) fault(kind, format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if text := fmt.Sprintf(format, args...); !slices.Contains(b.faults[kind], text) {
		b.faults[kind] = append(b.faults[kind], text)
	}
}

// verdict fails the test where there are faults, or where nothing was tried.
func (b *moveBed) verdict(t *testing.T) {
	t.Helper()
	for kind, all := range b.faults {
		t.Errorf("%s, %d times, at first:\n%s", kind, len(all), strings.Join(all[:min(len(all), 10)], "\n"))
	}
	if b.kills == 0 || b.sum(func(u *moveUser) int { return len(u.deleted) }) == 0 {
		t.Error("nothing was killed, or nothing deleted")
	}
}

func (b *moveBed) sum(of func(u *moveUser) int) (n int) {
	for _, u := range b.users {
		n += of(u)
	}
	return n
}

func (b *moveBed) summary() string {
	return fmt.Sprintf("%d runs of move, %d killed, %d stood still; %d messages, %d deleted; %d sessions, %d without an answer to QUIT, %d logins found the maildrop in use",
		b.runs, b.kills, b.stops, b.sum(func(u *moveUser) int { return len(u.byName) }), b.sum(func(u *moveUser) int { return len(u.deleted) }),
		b.sum(func(u *moveUser) int { return u.sessions }), b.sum(func(u *moveUser) int { return u.refused }), b.sum(func(u *moveUser) int { return u.busy }))
}
