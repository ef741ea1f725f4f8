package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/internal/fetch/disk/disktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// id gives the i-th id.
func id(i int) string { return fmt.Sprintf("%032x", 0xabc0+i) }

// stage brings a message into a target's staging.
func stage(tg Target, id, text string) (*Message, error) {
	s, err := tg.Stage(id)
	if err != nil {
		return nil, err
	}
	if _, err := s.Write([]byte(text)); err != nil {
		s.Abort()
		return nil, err
	}
	return s.Finish(id)
}

// staged does that for all, and fails the test where it fails.
func staged(t *testing.T, tg Target, texts ...string) (batch []*Message) {
	t.Helper()
	for i, text := range texts {
		m, err := stage(tg, id(i), text)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, m)
	}
	return batch
}

// prepared does that, and prepares them.
func prepared(t *testing.T, tg Target, texts ...string) (batch []*Message, notes []string) {
	t.Helper()
	batch = staged(t, tg, texts...)
	notes, errs := tg.Prepare(t.Context(), batch)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return batch, notes
}

// deliver does all that there is to do for messages.
func deliver(t *testing.T, tg Target, texts ...string) {
	t.Helper()
	batch, _ := prepared(t, tg, texts...)
	if err := errors.Join(tg.Deliver(t.Context(), batch)...); err != nil {
		t.Fatal(err)
	}
	for _, m := range batch {
		tg.Discard(m.ID)
	}
}

// settled asks what became of a message.
func settled(t *testing.T, tg Target, m *Message, note string, want Outcome) {
	t.Helper()
	got, err := tg.Settle(t.Context(), m, note)
	if err != nil || got != want {
		t.Errorf("Settle: %v, error %v, want %v", got, err, want)
	}
}

// engine does with a target what package fetch does, with a journal that
// survives everything.
type engine struct {
	texts   []string
	open    func(fsys disk.FS) (Target, error)
	intents map[string]intent
	done    map[string]bool
}

type intent struct {
	message *Message
	note    string
}

func newEngine(texts []string, open func(fsys disk.FS) (Target, error)) *engine {
	return &engine{texts, open, make(map[string]intent), make(map[string]bool)}
}

// run is one run of it, with all messages in one batch.
func (e *engine) run(ctx context.Context, fsys disk.FS) error {
	tg, err := e.open(fsys)
	if err != nil {
		return err
	}
	defer tg.Close()
	for i := range e.texts {
		in, begun := e.intents[id(i)]
		if !begun {
			continue
		}
		outcome, err := tg.Settle(ctx, in.message, in.note)
		if err == nil && outcome == Staged {
			err = tg.Deliver(ctx, []*Message{in.message})[0]
			outcome = Delivered
		}
		if err != nil {
			return err
		}
		e.done[id(i)] = outcome == Delivered
		delete(e.intents, id(i))
		tg.Discard(id(i))
	}
	var batch []*Message
	for i, text := range e.texts {
		if e.done[id(i)] {
			continue
		}
		m, err := stage(tg, id(i), text)
		if err != nil {
			return err
		}
		batch = append(batch, m)
	}
	if len(batch) == 0 {
		return nil
	}
	notes, errs := tg.Prepare(ctx, batch)
	var ready []*Message
	for i, m := range batch {
		if errs[i] != nil {
			tg.Discard(m.ID)
			err = errs[i]
			continue
		}
		ready = append(ready, m)
		e.intents[m.ID] = intent{m, notes[i]}
	}
	for i, failed := range tg.Deliver(ctx, ready) {
		if failed != nil {
			err = failed
			continue
		}
		e.done[ready[i].ID] = true
		delete(e.intents, ready[i].ID)
		tg.Discard(ready[i].ID)
	}
	return err
}

// faults are all ways in which a call fails.
var faults = map[string]struct {
	disktest.Fault
	power bool
}{
	"EIO":            {},
	"disk full":      {Fault: disktest.Fault{Err: syscall.ENOSPC, Short: true}},
	"over quota":     {Fault: disktest.Fault{Err: syscall.EDQUOT, Short: true}},
	"killed":         {Fault: disktest.Fault{Dies: true}},
	"killed halfway": {Fault: disktest.Fault{Dies: true, Short: true}},
	"no power":       {Fault: disktest.Fault{Dies: true}, power: true},
	"power halfway":  {Fault: disktest.Fault{Dies: true, Short: true}, power: true},
}

// testFaults fails each call of a run, and where it is twice some calls of the
// run that recovers from that. Fresh makes a place where mail goes, and gives what tells what is
// wrong with what is there in the end.
func testFaults(t *testing.T, twice bool, texts []string, fresh func(t *testing.T) (open func(disk.FS) (Target, error), wrong func() string)) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := func(first, second int) (hit bool) {
				open, wrong := fresh(t)
				e := newEngine(texts, open)
				var story []string
				d := disktest.New(t, disktest.Fault{})
				for _, at := range []int{first, second, 0} {
					fault.At = at
					d = d.Restart(fault.Fault)
					err := e.run(t.Context(), d)
					hit = hit || at == second && d.Hit() || second == 0 && d.Hit()
					if d.Hit() && fault.power {
						d.PowerLoss()
					}
					if err != nil && !d.Hit() {
						t.Errorf("%q, then %v", story, err)
					}
					story = append(story, d.String())
				}
				d.PowerLoss()
				d.Close()
				if text := wrong(); text != "" {
					t.Errorf("%q: %s", story, text)
				}
				return hit
			}
			ways := 0
			for first := 1; run(first, 0) && !t.Failed(); first++ {
				ways++
				const apart = 29
				for second := 1 + first%apart; twice && fault.Short && fault.power && run(first, second) && !t.Failed(); second += apart {
					ways++
				}
			}
			t.Logf("%d ways to fail", ways)
		})
	}
}

// letters are messages with all that targets may stumble over.
func letters() []string {
	return []string{
		"Return-Path: <anna@example.org>\nReceived: from a by b;\n\tFri, 27 Nov 2026 10:00:00 +0100 (CET)\nSubject: one\n\nFrom here on\n>From there\nFrom\nFro",
		"Subject: two\n\n" + strings.Repeat("a line of text\n", 5000),
		"",
		"\n\n\n",
		"Date: Thu, 26 Nov 2026 09:00:00 +0000\nSubject: five\n\n\x00\r\n\rlone\r\n.\n..\n",
		"From the very first line on\n\nFrom ",
		"Return-Path: <>\n>From: x\n\n>>>>From \n>>>>from \n\xff\n",
	}
}

// holdsAll tells what is wrong with messages that should be those.
func holdsAll(got, want []string) string {
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return ""
	}
	return fmt.Sprintf("there are %d messages, want %d: %.200q", len(got), len(want), got)
}

// unswept tells what is wrong with what is left in a staging. A process that is
// killed behind a delivery leaves messages, which go when they are old.
func unswept(t *testing.T, dir string, texts []string, open func(disk.FS) (Target, error)) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !slices.Contains(texts, read(t, path)) {
			return "a message is left in the staging that is not whole"
		}
		old := time.Now().Add(-stale - time.Minute)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := open(disktest.New(t, disktest.Fault{})); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) > 0 {
		return fmt.Sprintf("%d messages are never taken out of the staging", len(left))
	}
	return ""
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// files gives the contents of the files in a folder.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, read(t, filepath.Join(dir, e.Name())))
	}
	return all
}
