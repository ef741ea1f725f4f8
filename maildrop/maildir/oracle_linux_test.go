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
	oracleSteps = flag.Int("steps", 100_000, "steps of TestOracle")
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
	known   map[identity]message
	tally   map[string]int
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

func (o *oracle) content() []byte {
	pieces := []string{"a", "\n", "\r\n", "\r", ".", "\n.", "xyz\n", "Subject: y\n\n"}
	var b []byte
	for range o.rng.IntN(8) {
		b = append(b, pieces[o.rng.IntN(len(pieces))]...)
	}
	return b
}

// write puts a new file under a name, in place of what had it.
func (o *oracle) write(file string) {
	n := o.node(unix.S_IFREG)
	n.data = o.content()
	dir, name := o.split(file)
	n.past = slices.Clone(o.past[identity{baseOf(name), n.ino}])
	o.put(dir, name, n)
}

// hadSizes notes sizes that a later file with that name and inode may be
// listed with, until it is retrieved.
func (o *oracle) hadSizes(base string, n *node) {
	id := identity{base, n.ino}
	for _, size := range append([]int64{wireSize(n.data)}, n.past...) {
		if !slices.Contains(o.past[id], size) {
			o.past[id] = append(o.past[id], size)
		}
	}
}

func wireSize(data []byte) int64 {
	n, _ := maildrop.Size(bytes.NewReader(data))
	return n
}

// move renames a file as another program would, not over another one.
func (o *oracle) move(file, to string) bool {
	dir, name := o.split(file)
	toDir, toName := o.split(to)
	if n := dir.child(name); n != nil && toDir.child(toName) == nil {
		o.put(toDir, toName, n)
		o.drop(dir, name)
		return true
	}
	return false
}

func (o *oracle) newName() string {
	o.made++
	return fmt.Sprintf("%d.M%dP1.h", 1_700_000_000+o.rng.IntN(50), o.made)
}

// act does what another program may do, or a person.
func (o *oracle) act() {
	files := o.files()
	file := ""
	if len(files) > 0 {
		file = files[o.rng.IntN(len(files))]
	}
	_, name, _ := strings.Cut(file, "/")
	flagged := "cur/" + baseOf(name) + ":2," + []string{"", "S", "RS", "FT"}[o.rng.IntN(4)]
	switch op := o.rng.IntN(28); {
	case op < 6:
		o.write("new/" + o.newName())
	case op < 7:
		for range o.rng.IntN(20) {
			o.write("new/" + o.newName())
		}
	case op < 8 && !o.within:
		s := o.stores[o.rng.IntN(2)]
		if _, err := s.Deliver(context.Background(), user, bytes.NewReader(o.content())); err != nil {
			o.fail("Deliver: %v", err)
		}
	case op < 9:
		o.write("new/odd name " + o.newName() + strings.Repeat("y", o.rng.IntN(80)))
	case op < 10:
		o.write("cur/.hidden")
	case op < 11:
		o.put(o.top.child("new"), o.newName(), o.node(unix.S_IFIFO))
	case op < 12 && !o.within: // the index goes, or is damaged
		o.spoil()
	case op < 13 && !o.within:
		o.restart(o.rng.IntN(2))
	case file == "":
	case op < 17:
		o.move(file, flagged)
	case op < 18:
		o.move(file, "new/"+baseOf(name))
	case op < 20 || len(files) > 25:
		for range 1 + len(files)/12 {
			file = files[o.rng.IntN(len(files))]
			dir, name := o.split(file)
			o.drop(dir, name)
		}
	case op < 21: // replaced by another file of the same name
		o.write(file)
	case op < 22: // the same, but the first one went before
		dir, name := o.split(file)
		o.drop(dir, name)
		o.write(file)
	case op < 23: // two files with one base
		if dir, name := o.split(flagged); dir.child(name) == nil {
			o.write(flagged)
		}
	case op < 24: // two names of one file
		dir, name := o.split(file)
		if to, toName := o.split(flagged); to.child(toName) == nil {
			o.put(to, toName, dir.child(name))
			o.linked = true
		}
	case op < 25: // written to in place
		dir, name := o.split(file)
		n := dir.child(name)
		n.past = append(n.past, wireSize(n.data))
		n.data, n.mtime, n.ctime = o.content(), o.stamp(), o.stamp()
	default: // a change that leaves the mtime of the folder
		dir, name := o.split(file)
		mtime := dir.mtime
		if o.rng.IntN(2) == 0 {
			o.drop(dir, name)
		} else {
			o.write(file + "x")
		}
		dir.mtime, dir.ctime = mtime, o.stamp()
	}
}

// spoil removes the index, or damages it.
func (o *oracle) spoil() {
	n := o.top.child(indexName)
	if n == nil {
		return
	}
	o.intact = false
	o.clock += o.model.tick // or the damage could not be seen
	n.mtime, n.ctime = o.stamp(), o.stamp()
	n.data = slices.Clone(n.data)
	switch o.rng.IntN(4) {
	case 0:
		o.drop(o.top, indexName)
		o.lost = true
	case 1:
		n.data[o.rng.IntN(len(n.data))] ^= 1 << o.rng.IntN(8)
	case 2:
		n.data = n.data[:o.rng.IntN(len(n.data))]
	default:
		n.data = append(n.data, o.content()...)
		n.data = append(n.data, 0)
	}
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

// interfere has other programs act between the calls that follow.
func (o *oracle) interfere(disturbed bool) {
	o.always = o.survey()
	o.ever = maps.Clone(o.always)
	if !disturbed || o.rng.IntN(2) > 0 {
		return
	}
	often := 4 + o.rng.IntN(60)
	o.before = func() {
		if o.rng.IntN(often) == 0 {
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
	}
	o.know()
	o.compare(m)
	for range min(3, m.count) {
		o.retrieve(m, o.rng.IntN(m.count))
	}
	if o.rng.IntN(4) == 0 {
		o.remove(m)
	}
	if o.refused { // the next login reads everything
		o.refused, o.intact, o.lost = false, false, true
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
	o.linked = false
	err := m.Remove(context.Background(), marked)
	o.before = nil
	if err != nil {
		for k := range o.ever {
			changed = changed || len(k.past) > 0
		}
		if !changed {
			o.fail("Remove: %v", err)
		}
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

// TestOracle fails where a login differs from what there is. Its seed is
// printed; -seed repeats it.
func TestOracle(t *testing.T) {
	seed := *oracleSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed %d", seed)
	o := newOracle(t, seed, nil)
	if err := o.run(*oracleSteps); err != nil {
		t.Errorf("with -seed %d: %v", seed, err)
	}
	t.Logf("%v, calls %v", o.tally, o.calls)
	if n := o.tally["logins that read no directory"]; n < *oracleSteps/100 {
		t.Errorf("%d logins read no directory: the test has lost its point", n)
	}
}

// TestOracleTells: the oracle finds an index that is broken on purpose.
func TestOracleTells(t *testing.T) {
	for what, change := range map[string]func(o *oracle){
		"no guard for changes in one tick": func(o *oracle) { o.terms.tick, o.terms.settling = -1, -1 },
		"no look at ctime":                 func(o *oracle) { o.liar = func(st *unix.Stat_t) { st.Ctim = unix.Timespec{} } },
		"no look at inodes": func(o *oracle) {
			o.liar = func(st *unix.Stat_t) { st.Ino = 1 }
		},
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
