package maildir

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

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

// move renames a file as another program would, not over another one, and
// within one login not twice: see most.
func (o *oracle) move(file, to string) bool {
	dir, name := o.split(file)
	toDir, toName := o.split(to)
	if n := dir.child(name); n != nil && toDir.child(toName) == nil && !o.moved[n] {
		if o.within {
			o.moved[n] = true
		}
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
	switch op := o.rng.IntN(30); {
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
	case op < 26: // a backup by links
		dir, name := o.split(file)
		dir.child(name).ctime = o.stamp()
	case op < 27: // renamed, and its name is used again; see removing
		if !o.removing && o.move(file, flagged) {
			o.write(file)
		}
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

// modelNotifier tells one process what changed.
type modelNotifier struct {
	*model
	dirs  map[int]*node
	queue []modelEvent
}

// modelEvent says of a name in a folder that it came, or went.
type modelEvent struct {
	dir  *node
	name string
	came bool
}

func (m *model) newNotifier() notifier {
	n := &modelNotifier{model: m, dirs: make(map[int]*node)}
	m.watch = append(m.watch, n)
	return n
}

func (m *model) tell(dir *node, name string, came bool) {
	for _, n := range m.watch {
		if m.deaf && m.rng.IntN(4) == 0 {
			continue
		}
		n.queue = append(n.queue, modelEvent{dir, name, came})
	}
}

func (n *modelNotifier) add(dir int) (int, error) {
	n.next++
	n.dirs[n.next] = n.dir(dir)
	return n.next, nil
}

func (n *modelNotifier) remove(wd int) { delete(n.dirs, wd) }

func (n *modelNotifier) events(each func(wd int, lost bool, name string, came bool)) {
	for _, e := range n.queue {
		for wd, dir := range n.dirs {
			if dir == e.dir {
				n.calls["notified"]++
				each(wd, false, e.name, e.came)
			}
		}
	}
	n.queue = nil
	if n.rng.IntN(200) == 0 {
		each(-1, true, "", false)
	}
}
