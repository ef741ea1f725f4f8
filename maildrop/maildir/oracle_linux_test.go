package maildir

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

var (
	oracleSteps = flag.Int("steps", defaultSteps, "steps of TestOracle")
	oracleSeed  = flag.Uint64("seed", 0, "seed of TestOracle; 0: by chance")
)

// oracle drives Maildirs on a model of a file system at random, as two
// processes of Poplin and other programs do, also in the middle of a login,
// and compares what is served with what a reader sees that knows no index.
type oracle struct {
	*model
	path    string // of the folder that the model stands for
	terms   terms
	stores  [2]*Store
	made    int
	uids    map[message]string   // as they were listed
	order   []string             // of the last login
	intact  bool                 // the index connects the logins
	lost    bool                 // it does surely not
	linked  bool                 // since it was set to false
	refused bool                 // in this session
	past    map[identity][]int64 // sizes that were listed
	always  map[message]bool     // during a login: what was there all the time
	ever    map[message]bool     // and what was there at any time
	moved   map[*node]bool       // during this login
	// removing says that messages are removed. One whose name another file has
	// by the time that it is unlinked is taken for that one: no system call
	// removes a file by its inode.
	removing bool
	known    map[identity]message
	tally    map[string]int
}

// message is one message as a reader without an index knows it.
type message struct {
	base string
	*node
}

// failure is what run gives up with.
type failure string

func (o *oracle) fail(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

func newOracle(t testing.TB, seed uint64, change func(o *oracle)) *oracle {
	rng := rand.New(rand.NewPCG(seed, 0))
	o := &oracle{model: newModel(rng), path: t.TempDir(), terms: usual, uids: make(map[message]string), past: make(map[identity][]int64), tally: make(map[string]int)}
	if err := os.Mkdir(o.path+"/"+user, 0o700); err != nil {
		t.Fatal(err)
	}
	o.terms.now = o.now
	o.dropped = func(name string, n *node) { o.hadSizes(baseOf(name), n) }
	o.terms.journalFrom = 1
	o.terms.watchFrom = 1
	if change != nil {
		change(o)
	}
	o.restart(0)
	o.restart(1)
	return o
}

// restart makes a process begin anew. Where it has little memory its cache
// holds few messages.
func (o *oracle) restart(i int) {
	s, err := New(Options{Path: o.path + "/{user}", Hostname: "h", IndexCache: []int{0, 2000, -1}[o.rng.IntN(3)]})
	if err != nil {
		o.fail("%v", err)
	}
	s.sys, s.terms = o.model, o.terms
	o.watch = slices.DeleteFunc(o.watch, func(n *modelNotifier) bool { return o.stores[i] != nil && o.stores[i].watches.from == n })
	s.watches.from = o.newNotifier()
	s.names = func(time.Time) string { return o.newName() }
	o.stores[i] = s
}

// run does a number of steps, and gives what was wrong.
func (o *oracle) run(steps int) (err error) {
	defer func() {
		if f, ok := recover().(failure); ok {
			err = errors.New(string(f))
		} else if err := recover(); err != nil {
			panic(err)
		}
	}()
	for step := range steps {
		switch o.rng.IntN(8) {
		case 0:
			o.session(true)
		case 1:
			o.clock += 3e9
			o.session(false)
		case 2:
			o.wait()
		case 3:
			o.write("new/" + o.newName())
			o.session(false)
		default:
			o.act()
		}
		if len(o.fds) != 0 {
			o.fail("step %d leaves %d descriptors open", step, len(o.fds))
		}
	}
	return nil
}

func (o *oracle) wait() {
	o.clock += []int64{0, 1e6, 5e6, 30e6, 300e6, 3e9, 3e9, 3600e9}[o.rng.IntN(8)]
}

// survey reads the Maildir in the simplest way there is.
func (o *oracle) survey() map[message]bool {
	all := make(map[message]bool)
	for _, dir := range []string{"new", "cur"} {
		for _, s := range o.top.child(dir).slots {
			if s.node != nil && s.mode&unix.S_IFMT == unix.S_IFREG && s.name[0] != '.' {
				base, _, _ := strings.Cut(s.name, ":")
				all[message{base, s.node}] = true
			}
		}
	}
	return all
}

// note keeps what is there now for the login that is under way.
func (o *oracle) note() {
	now := o.survey()
	for m := range o.always {
		if !now[m] {
			delete(o.always, m)
		}
	}
	for m := range now {
		o.ever[m] = true
	}
}

// most is how often others act during one login or removal. Where they move one
// message twice in the clock tick of both passes of a listing, it can be
// missed: a listing cannot stand more.
const most = 2

// interfere has other programs act between the calls that follow.
func (o *oracle) interfere(disturbed bool) {
	o.moved = make(map[*node]bool)
	o.always = o.survey()
	o.ever = maps.Clone(o.always)
	if !disturbed || o.rng.IntN(2) > 0 {
		return
	}
	often, left := 4+o.rng.IntN(60), most
	o.before = func() {
		if left > 0 && o.rng.IntN(often) == 0 {
			left--
			if o.act(); o.rng.IntN(2) == 0 {
				o.wait()
			}
			o.note()
		}
	}
}

// session logs in, checks everything, and perhaps removes something.
func (o *oracle) session(disturbed bool) {
	s := o.stores[o.rng.IntN(2)]
	o.interfere(disturbed)
	reads := o.calls["readDir"]
	opened, err := s.Open(context.Background(), user)
	o.before = nil
	if err != nil {
		o.fail("Open: %v", err)
	}
	m := opened.(*session)
	defer m.Close()
	o.tally["logins"]++
	if reads == o.calls["readDir"] {
		o.tally["logins that read no directory"]++
		if before := o.order; m.count > len(before) {
			o.tally["of them with mail that came"]++
		}
	}
	o.know()
	o.compare(m)
	for range min(3, m.count) {
		if o.rng.IntN(2) == 0 {
			m.Rest()
		}
		o.retrieve(m, o.rng.IntN(m.count))
	}
	if o.rng.IntN(4) == 0 {
		o.remove(m)
	}
	if o.refused { // the next login reads everything
		o.refused, o.intact, o.lost = false, false, true
		o.clock += o.model.tick // or the file that comes could look like the one that goes
		for k := range o.survey() {
			k.past = nil
		}
		clear(o.past)
	}
}

// know notes which messages there are, and were during the login.
func (o *oracle) know() {
	o.known = make(map[identity]message)
	for _, all := range []map[message]bool{o.ever, o.survey()} {
		for k := range all {
			o.known[identity{k.base, k.ino}] = k
		}
	}
}

// messageOf finds the message with index i, among those that there were.
func (o *oracle) messageOf(m *session, i int) message {
	r := m.record(i)
	k, found := o.known[identity{r.base(), r.ino}]
	if !found {
		o.fail("message %d, %s of inode %d, is none that there was", i, r.name, r.ino)
	}
	return k
}

// compare checks a login.
func (o *oracle) compare(m *session) {
	listed := make(map[message]bool)
	uids := make(map[message]string)
	bases := make(map[string]int)
	for k := range o.ever {
		bases[k.base]++
	}
	used := make(map[string]bool)
	var order []string
	for i, msg := range m.Messages() {
		k := o.messageOf(m, i)
		if listed[k] {
			o.fail("%s is listed twice", k.base)
		}
		listed[k] = true
		if !o.hasSize(k, msg.Size) {
			o.fail("size of %s is %d, want %d, or one of %v that it had", k.base, msg.Size, wireSize(k.data), k.past)
		}
		if used[msg.UID] || !validUID(msg.UID) {
			o.fail("UID %q is used twice, or is none", msg.UID)
		}
		used[msg.UID] = true
		o.hadSizes(k.base, k.node)
		order = append(order, msg.UID)
		uids[k] = msg.UID
		if had := o.uids[k]; o.intact && had != "" && had != msg.UID {
			o.fail("UID of %s was %q and is %q", k.base, had, msg.UID)
		}
		if o.lost && bases[k.base] == 1 && msg.UID != nameUID(k.base) {
			o.fail("UID of %s is %q without an index, want %q", k.base, msg.UID, nameUID(k.base))
		}
		if msg.Size != m.Size(i) || msg.UID != m.UID(i) {
			o.fail("message %d is %v alone, and %v among all", i, m.at(i), msg)
		}
	}
	for k := range o.always {
		if !listed[k] {
			o.fail("%s of inode %d was there all the time, and is not listed", k.base, k.ino)
		}
	}
	if o.intact {
		var kept []string
		for _, uid := range o.order {
			if used[uid] {
				kept = append(kept, uid)
			}
		}
		if !slices.Equal(order[:min(len(kept), len(order))], kept) {
			o.fail("order is %q, want %q first, as before", order, kept)
		}
	}
	o.uids, o.order, o.intact, o.lost = uids, order, true, false
}

// hasSize tells whether a message has a size, or had it before it was written
// to in place.
func (o *oracle) hasSize(k message, size int64) bool {
	for m := range o.ever { // of which two can have had one inode
		if m.base == k.base && m.ino == k.ino && (size == wireSize(m.data) || slices.Contains(m.past, size)) {
			return true
		}
	}
	return false
}

// retrieve reads a message: it is what there is, of the size that was listed,
// or refused.
func (o *oracle) retrieve(m *session, i int) {
	k := o.messageOf(m, i)
	r, err := m.Open(context.Background(), i)
	if err != nil {
		if !errors.Is(err, maildrop.ErrGone) || len(k.past) == 0 && o.survey()[k] {
			o.fail("%s is not read: %v", k.base, err)
		}
		if o.survey()[k] { // the next login lists it as it is
			o.refused = true
			o.tally["refused"]++
		}
		return
	}
	content, err := io.ReadAll(r)
	r.Close()
	if err != nil || !bytes.Equal(content, k.data) || wireSize(content) != m.Size(i) {
		o.fail("%s reads as %q, of %d octets, error %v; want %q", k.base, content, m.Size(i), err, k.data)
	}
}

// remove marks some messages and enters the UPDATE state.
func (o *oracle) remove(m *session) {
	var marked []int
	var files []message
	changed := false
	listed := make(map[message]bool)
	for i := range m.count {
		k := o.messageOf(m, i)
		listed[k] = true
		if o.rng.IntN(6) == 0 {
			marked, files = append(marked, i), append(files, k)
			changed = changed || len(k.past) > 0
		}
	}
	o.interfere(true)
	before := o.always
	o.linked, o.removing = false, true
	err := m.Remove(context.Background(), marked)
	o.before, o.removing = nil, false
	if err != nil {
		for k := range o.ever {
			changed = changed || len(k.past) > 0
		}
		if !changed {
			o.fail("Remove: %v", err)
		}
		o.refused = o.refused || strings.Contains(err.Error(), "changed it since login")
		return
	}
	left := o.survey()
	for _, k := range files {
		if left[k] && len(k.past) == 0 && !o.linked {
			o.fail("%s was removed, and is there", k.base)
		}
	}
	for k := range before {
		if listed[k] && !left[k] && !slices.Contains(files, k) {
			o.fail("%s was not marked, and is gone", k.base)
		}
	}
	o.tally["removed"] += len(files)
}

// worldSteps is how many steps TestOracle does with a Maildir.
const worldSteps = 10_000

// TestOracle fails where a login differs from what there is. Its seed is
// printed; -seed repeats it.
func TestOracle(t *testing.T) {
	first := *oracleSeed
	if first == 0 {
		first = rand.Uint64() >> 8
	}
	for n := range uint64(max(1, *oracleSteps/worldSteps)) {
		seed := first + n
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			o := newOracle(t, seed, nil)
			steps := min(*oracleSteps, worldSteps)
			if err := o.run(steps); err != nil {
				t.Errorf("with -seed %d: %v", seed, err)
			}
			t.Logf("%v, calls %v", o.tally, o.calls)
			if a, b := o.tally["logins that read no directory"], o.tally["of them with mail that came"]; a < steps/100 || b < steps/1000 {
				t.Errorf("%d logins read no directory, %d of them with mail that came: the test has lost its point", a, b)
			}
		})
	}
}

// TestOracleTells: the oracle finds an index that is broken on purpose.
func TestOracleTells(t *testing.T) {
	for what, change := range map[string]func(o *oracle){
		"no guard for changes in one tick": func(o *oracle) { o.terms.tick, o.terms.settling = -1, -1 },
		"no look at ctime":                 func(o *oracle) { o.liar = func(st *unix.Stat_t) { st.Ctim = unix.Timespec{} } },
		"no look at inodes":                func(o *oracle) { o.liar = func(st *unix.Stat_t) { st.Ino = 1 } },
		"changes that are not told":        func(o *oracle) { o.deaf = true },
	} {
		t.Run(what, func(t *testing.T) {
			for seed := range uint64(50) {
				if err := newOracle(t, seed, change).run(5000); err != nil {
					t.Logf("found with seed %d: %v", seed, err)
					return
				}
			}
			t.Error("not found")
		})
	}
}
