package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/internal/fetch/disk/disktest"
)

// mboxIn opens the mbox of a folder.
func mboxIn(fsys disk.FS, dir string) (*Mbox, error) {
	return OpenMbox(fsys, MboxOptions{Path: filepath.Join(dir, "mbox"), Staging: filepath.Join(dir, "staged"), LockTimeout: 50 * time.Millisecond})
}

func openMbox(t *testing.T, dir string) *Mbox {
	t.Helper()
	b, err := mboxIn(disktest.New(t, disktest.Fault{}), dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parseMbox is a reader of mbox files that knows nothing of the writer: it gives
// the messages, unquoted and without their blank line.
func parseMbox(text string) (messages []string) {
	var lines []string
	flush := func() {
		if lines != nil {
			messages = append(messages, strings.TrimSuffix(strings.Join(lines, ""), "\n"))
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "From ") {
			flush()
			lines = []string{}
			continue
		}
		if strings.HasPrefix(line, ">") && strings.HasPrefix(strings.TrimLeft(line, ">"), "From ") {
			line = line[1:]
		}
		lines = append(lines, line)
	}
	flush()
	return messages
}

// inMbox gives a message as a reader of the mbox has it.
func inMbox(i int, text string) string {
	text = "X-Poplin-Id: " + id(i) + "\n" + text
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text
}

const others = "From eve@example.com Thu Nov 26 09:00:00 2026\nSubject: others\n\ntheirs\n"

// TestMboxForm checks the octets.
func TestMboxForm(t *testing.T) {
	for name, tt := range map[string]struct{ before, text, want string }{
		"empty file": {"", "Return-Path: <anna@example.org>\nReceived: by b; Fri, 27 Nov 2026 10:00:00 +0100\nSubject: x\n\nFrom a\n>From b\nFrom\n",
			"From anna@example.org Fri Nov 27 09:00:00 2026\nX-Poplin-Id: " + id(0) +
				"\nReturn-Path: <anna@example.org>\nReceived: by b; Fri, 27 Nov 2026 10:00:00 +0100\nSubject: x\n\n>From a\n>>From b\nFrom\n\n"},
		"no end of the last line": {others + "\n", "Date: Fri, 6 Nov 2026 10:00:00 +0000\n\nFrom ",
			others + "\nFrom MAILER-DAEMON Fri Nov  6 10:00:00 2026\nX-Poplin-Id: " + id(0) + "\nDate: Fri, 6 Nov 2026 10:00:00 +0000\n\n>From \n\n"},
		"no blank line":      {others, "Date: Fri, 6 Nov 2026 10:00:00 +0000\n", others + "\nFrom MAILER-DAEMON Fri Nov  6 10:00:00 2026\nX-Poplin-Id: " + id(0) + "\nDate: Fri, 6 Nov 2026 10:00:00 +0000\n\n"},
		"part of a line":     {others + "par", "Date: Fri, 6 Nov 2026 10:00:00 +0000\n", others + "par\n\nFrom MAILER-DAEMON Fri Nov  6 10:00:00 2026\nX-Poplin-Id: " + id(0) + "\nDate: Fri, 6 Nov 2026 10:00:00 +0000\n\n"},
		"one octet":          {"\n", "Date: Fri, 6 Nov 2026 10:00:00 +0000\n", "\n\nFrom MAILER-DAEMON Fri Nov  6 10:00:00 2026\nX-Poplin-Id: " + id(0) + "\nDate: Fri, 6 Nov 2026 10:00:00 +0000\n\n"},
		"a hostile envelope": {"", "Return-Path: <a b\tFrom x>\nDate: Fri, 6 Nov 2026 10:00:00 +0000\n", "From MAILER-DAEMON Fri Nov  6 10:00:00 2026\nX-Poplin-Id: " + id(0) + "\nReturn-Path: <a b\tFrom x>\nDate: Fri, 6 Nov 2026 10:00:00 +0000\n\n"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "mbox")
		if tt.before != "" {
			write(t, path, tt.before)
		}
		deliver(t, openMbox(t, dir), tt.text)
		if got := read(t, path); got != tt.want {
			t.Errorf("%s: %q\nwant %q", name, got, tt.want)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: the file is %v, error %v", name, info, err)
		}
		if left := files(t, filepath.Join(dir, "staged")); len(left) > 0 {
			t.Errorf("%s: %d messages are staged still", name, len(left))
		}
		if _, err := os.Stat(path + ".lock"); err == nil {
			t.Errorf("%s: the lock is there still", name)
		}
	}
}

// FuzzMboxQuoting: what is written can be read back, whatever it is and in
// whatever pieces it comes.
func FuzzMboxQuoting(f *testing.F) {
	for _, text := range letters() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var whole, pieces bytes.Buffer
		if err := writeForm(&whole, "id", strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		if err := writeForm(&pieces, "id", bytewise{strings.NewReader(text)}); err != nil {
			t.Fatal(err)
		}
		if whole.String() != pieces.String() {
			t.Errorf("%q at once, %q octet by octet", whole.String(), pieces.String())
		}
		want := "X-Poplin-Id: id\n" + text
		if !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if got := parseMbox("From a b\n" + whole.String() + "From c d\n"); len(got) != 2 || got[0] != want {
			t.Errorf("%q is read as %q", text, got)
		}
	})
}

// bytewise gives one octet at a time, and no WriteTo.
type bytewise struct{ r *strings.Reader }

func (b bytewise) Read(p []byte) (int, error) { return b.r.Read(p[:min(1, len(p))]) }

// TestMboxFaults: whatever call fails, each message is there once and whole in
// the end, behind what was there before, of which no octet has changed.
func TestMboxFaults(t *testing.T) {
	texts := letters()[:3]
	for i, before := range []string{others + "\n", others + "a part of a li", ""} {
		testFaults(t, i == 0, texts, func(t *testing.T) (func(disk.FS) (Target, error), func() string) {
			dir := t.TempDir()
			if before != "" {
				write(t, filepath.Join(dir, "mbox"), before)
			}
			open := func(fsys disk.FS) (Target, error) { return mboxIn(fsys, dir) }
			return open, func() string {
				if left := unswept(t, filepath.Join(dir, "staged"), texts, open); left != "" {
					return left
				}
				got, ok := strings.CutPrefix(read(t, filepath.Join(dir, "mbox")), before)
				if !ok {
					return "what others wrote has changed"
				}
				var want []string
				for i, text := range texts {
					want = append(want, inMbox(i, text))
				}
				return holdsAll(parseMbox(strings.TrimLeft(got, "\n")), want)
			}
		})
	}
}

// TestMboxFull: where a delivery fails, the mbox is what it was at once.
func TestMboxFull(t *testing.T) {
	for _, short := range []bool{false, true} {
		disktest.Each(t, disktest.Fault{Err: syscall.ENOSPC, Short: short}, func(d *disktest.Disk) {
			dir := t.TempDir()
			path := filepath.Join(dir, "mbox")
			write(t, path, others)
			b, err := mboxIn(d, dir)
			if err != nil {
				return
			}
			m, err := stage(b, id(0), "one\n")
			if err != nil {
				return
			}
			if err := b.Deliver(t.Context(), []*Message{m})[0]; err != nil && read(t, path) != others {
				t.Errorf("%v: the mbox holds %q", d, read(t, path))
			}
		})
	}
}

// replacing is a file system on which a mail program puts another file in place
// of the mbox, right before that is locked.
type replacing struct {
	disk.FS
	t    *testing.T
	path string
}

func (r *replacing) OpenFile(name string, flag int, perm os.FileMode) (disk.File, error) {
	f, err := r.FS.OpenFile(name, flag, perm)
	if name == r.path && flag&os.O_RDWR != 0 {
		r.path = ""
		write(r.t, name+".new", others)
		if err := os.Rename(name+".new", name); err != nil {
			r.t.Error(err)
		}
	}
	return f, err
}

func TestMboxReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mbox")
	b, err := OpenMbox(&replacing{disk.OS{}, t, path}, MboxOptions{Path: path, Staging: filepath.Join(dir, "staged")})
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, b, "one\n")
	if got := parseMbox(read(t, path)); len(got) != 2 {
		t.Errorf("the mbox holds %q", got)
	}
}

// TestMboxTorn: cut at every octet, and with zeros in place of what was not
// written, and with what other programs did before Poplin came back.
func TestMboxTorn(t *testing.T) {
	const text = "Return-Path: <anna@example.org>\nDate: Fri, 6 Nov 2026 10:00:00 +0000\nSubject: s\n\nbody\nFrom x\n"
	const next = "From eve@example.com Thu Nov 26 09:00:00 2026\nSubject: another\n\nit\n\n"
	dir := t.TempDir()
	deliver(t, openMbox(t, dir), text)
	form := read(t, filepath.Join(dir, "mbox"))
	dir = t.TempDir()
	b := openMbox(t, dir)
	idEnds := strings.Index(form, id(0)) + len(id(0))
	note := fmt.Sprintf("%d %d anna@example.org", len(others)+1, time.Date(2026, 11, 6, 10, 0, 0, 0, time.UTC).Unix())
	elsewhere := fmt.Sprintf("%d %d anna@example.org", 7, time.Date(2026, 11, 6, 10, 0, 0, 0, time.UTC).Unix())
	for cut := range len(form) + 1 {
		part := form[:cut]
		zeros := part + strings.Repeat("\x00", 1+len(form)-cut)
		for name, tt := range map[string]struct {
			ours, note string
			left       string // of ours, when it is not taken for delivered; "-": all
		}{
			"torn":                      {part, note, ""},
			"zeros":                     {zeros, note, ""},
			"torn, another place":       {part, elsewhere, ""},
			"torn, no note":             {part, "", ""},
			"torn, and other mail":      {part + next, note, "-"},
			"torn, and other mail, sep": {part + "\n\n" + next, note, "-"},
			"zeros, and other mail":     {zeros + "\n" + next, note, "-"},
		} {
			if tt.note != note && cut < idEnds {
				tt.left = "-" // it could be anybody's
			}
			for _, stillStaged := range []bool{true, false} {
				want, left := Staged, ""
				if tt.left == "-" {
					left = tt.ours
				}
				batch, _ := prepared(t, b, text)
				if !stillStaged {
					b.staging.Discard(id(0))
					want = Absent
					if cut > idEnds {
						left = tt.ours // it may be a message that somebody made shorter
					}
				}
				// Without its blank line it is whole, if that is what follows.
				if strings.HasPrefix(tt.ours, form) || cut == len(form)-1 && (strings.HasSuffix(tt.ours, next) || !stillStaged) {
					want, left = Delivered, tt.ours
				}
				path := filepath.Join(dir, "mbox")
				write(t, path, others+"\n"+tt.ours)
				got, err := b.Settle(t.Context(), batch[0], tt.note)
				if err != nil || got != want {
					t.Fatalf("%s at %d, staged %v: %v, error %v, want %v", name, cut, stillStaged, got, err, want)
				}
				if now := read(t, path); now != others+"\n"+left {
					t.Fatalf("%s at %d, staged %v: the mbox holds\n%q, want\n%q", name, cut, stillStaged, now, others+"\n"+left)
				}
				if got != Staged {
					continue
				}
				if err := b.Deliver(t.Context(), batch)[0]; err != nil {
					t.Fatal(err)
				}
				if now := read(t, path); !strings.HasPrefix(now, others+"\n"+left) || !strings.HasSuffix(now, "\n"+form) {
					t.Fatalf("%s at %d: then the mbox holds %q", name, cut, now)
				}
				settled(t, b, batch[0], tt.note, Delivered)
			}
		}
	}
}

// TestMboxRewritten: a mail program has changed the mbox before Poplin comes
// back. A message that it made shorter in the middle of that comes twice rather
// than perhaps not at all.
func TestMboxRewritten(t *testing.T) {
	texts := []string{"Subject: one\n\nbody\n", "Subject: two\n\nbody\n", "Subject: three\n\nlong body\n"}
	dir := t.TempDir()
	path := filepath.Join(dir, "mbox")
	write(t, path, others+"\n")
	b := openMbox(t, dir)
	batch, notes := prepared(t, b, texts...)
	if err := errors.Join(b.Deliver(t.Context(), batch)...); err != nil {
		t.Fatal(err)
	}
	text := strings.TrimPrefix(read(t, path), others+"\n") // which was deleted
	text = strings.Replace(text, "Subject: one\n", "Subject: one\nStatus: RO\nX-Status: A\n", 1)
	text = strings.Replace(text, "long body", "body", 1)
	write(t, path, text)
	for i, want := range []Outcome{Delivered, Delivered, Staged} {
		settled(t, b, batch[i], notes[i], want)
	}
	if got := read(t, path); got != text {
		t.Errorf("the mbox holds %q, want %q", got, text)
	}
	write(t, path, "")
	settled(t, b, batch[0], notes[0], Staged)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	settled(t, b, batch[0], notes[0], Staged)
}

// TestMboxShared: between Prepare and Deliver another program appends.
func TestMboxShared(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mbox")
	b := openMbox(t, dir)
	batch, notes := prepared(t, b, "Subject: one\n\nbody\n", "Subject: two\n\nbody\n")
	write(t, path, others)
	if err := errors.Join(b.Deliver(t.Context(), batch)...); err != nil {
		t.Fatal(err)
	}
	if got := parseMbox(read(t, path)); len(got) != 3 || got[1] != inMbox(0, "Subject: one\n\nbody\n") {
		t.Errorf("the mbox holds %q", got)
	}
	for i := range batch {
		settled(t, b, batch[i], notes[i], Delivered)
	}
}

// TestMboxRecordLock: the locks of other programs are waited for, of either
// kind of fcntl(2), and of this process too.
func TestMboxRecordLock(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mbox")
	write(t, path, others)
	b := openMbox(t, dir)
	batch, _ := prepared(t, b, "one\n")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for kind, typ := range map[int]int16{unix.F_OFD_SETLK: unix.F_WRLCK, unix.F_OFD_SETLKW: unix.F_RDLCK} {
		if err := unix.FcntlFlock(f.Fd(), kind, &unix.Flock_t{Type: typ}); err != nil {
			t.Fatal(err)
		}
		if err := b.Deliver(t.Context(), batch)[0]; err == nil || !strings.Contains(err.Error(), "is locked by another program") {
			t.Errorf("with a lock of type %d: %v", typ, err)
		}
		if _, err := b.Settle(t.Context(), batch[0], ""); err == nil {
			t.Errorf("Settle with a lock of type %d does not fail", typ)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Deliver(ctx, batch)[0]; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	f.Close()
	if err := b.Deliver(t.Context(), batch)[0]; err != nil {
		t.Errorf("without: %v", err)
	}
}

// TestMboxDotlock: others' dotlocks are waited for, and taken away only when
// nobody can be holding them.
func TestMboxDotlock(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	const noProcess = 1<<22 + 1 // above the kernel's limit
	for name, tt := range map[string]struct {
		text          string
		old, oldMbox  bool
		folder, taken bool
	}{
		"new":                     {text: "1\n"},
		"empty":                   {},
		"old, mbox in use":        {old: true},
		"new, mbox not in use":    {oldMbox: true},
		"old":                     {old: true, oldMbox: true, taken: true},
		"old folder":              {old: true, oldMbox: true, folder: true},
		"ours, dead":              {text: fmt.Sprintf("%d\npoplin %s\n", noProcess, host), taken: true},
		"ours, of this process":   {text: fmt.Sprintf("%d\npoplin %s\n", os.Getpid(), host), taken: true},
		"ours, alive":             {text: fmt.Sprintf("%d\npoplin %s\n", os.Getppid(), host)},
		"ours, of another host":   {text: fmt.Sprintf("%d\npoplin other%s\n", noProcess, host)},
		"of another program":      {text: fmt.Sprintf("%d\n", noProcess)},
		"of another program, old": {text: fmt.Sprintf("%d\n", noProcess), old: true, oldMbox: true, taken: true},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "mbox")
		write(t, path, others)
		if tt.folder {
			if err := os.Mkdir(path+".lock", 0o700); err != nil {
				t.Fatal(err)
			}
		} else {
			write(t, path+".lock", tt.text)
		}
		long := time.Now().Add(-staleLock - time.Minute)
		if tt.old {
			if err := os.Chtimes(path+".lock", long, long); err != nil {
				t.Fatal(err)
			}
		}
		if tt.oldMbox {
			if err := os.Chtimes(path, long, long); err != nil {
				t.Fatal(err)
			}
		}
		b := openMbox(t, dir)
		batch, _ := prepared(t, b, "one\n")
		err := b.Deliver(t.Context(), batch)[0]
		if (err == nil) != tt.taken {
			t.Errorf("%s: %v, want taken %v", name, err, tt.taken)
		}
		if _, err := os.Lstat(path + ".lock"); (err != nil) != tt.taken {
			t.Errorf("%s: afterwards the lock: %v", name, err)
		}
	}
}

// stealing puts a lock in place of the stale one just before that is renamed.
type stealing struct {
	disk.FS
	t *testing.T
}

func (s stealing) Rename(from, to string) error {
	s.t.Helper()
	if err := os.Remove(from); err != nil {
		s.t.Error(err)
	}
	write(s.t, from, "fresh")
	return s.FS.Rename(from, to)
}

// TestMboxDotlockRace: another program takes the stale lock away first, and has
// one of its own then.
func TestMboxDotlockRace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mbox")
	write(t, path, others)
	write(t, path+".lock", "")
	long := time.Now().Add(-staleLock - time.Minute)
	for _, name := range []string{path, path + ".lock"} {
		if err := os.Chtimes(name, long, long); err != nil {
			t.Fatal(err)
		}
	}
	b, err := mboxIn(stealing{disk.OS{}, t}, dir)
	if err != nil {
		t.Fatal(err)
	}
	batch, _ := prepared(t, b, "one\n")
	if err := b.Deliver(t.Context(), batch)[0]; err == nil {
		t.Error("the message is delivered under another program's lock")
	}
	if got := read(t, path+".lock"); got != "fresh" {
		t.Errorf("the other program's lock holds %q", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 3 {
		t.Errorf("in the folder there are %v", entries)
	}
}

// closedFolder is a file system in which no dotlock can be made.
type closedFolder struct{ disk.FS }

func (c closedFolder) OpenFile(name string, flag int, perm os.FileMode) (disk.File, error) {
	if strings.HasSuffix(name, ".lock") {
		return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EACCES}
	}
	return c.FS.OpenFile(name, flag, perm)
}

func TestMboxClosedFolder(t *testing.T) {
	dir := t.TempDir()
	b, err := mboxIn(closedFolder{disk.OS{}}, dir)
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, b, "one\n")
	if got := parseMbox(read(t, filepath.Join(dir, "mbox"))); len(got) != 1 {
		t.Errorf("the mbox holds %q", got)
	}
}

// TestMboxNoFile: only ordinary files are written to.
func TestMboxNoFile(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"a pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a link":   func(path string) error { return os.Symlink("/dev/null", path) },
	} {
		dir := t.TempDir()
		b := openMbox(t, dir)
		batch := staged(t, b, "one\n")
		if err := make(filepath.Join(dir, "mbox")); err != nil {
			t.Fatal(err)
		}
		if _, errs := b.Prepare(t.Context(), batch); errs[0] == nil && name != "a pipe" {
			t.Errorf("%s: Prepare does not fail", name)
		}
		var refused *Refusal
		if err := b.Deliver(t.Context(), batch)[0]; err == nil || errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
