// Package journal keeps what is known of the messages of one account: which
// were delivered where, which the server was asked to delete, and which are
// gone. It is a file to which is only ever added, in frames: what Write is
// given becomes one, with a checksum, and is durable when Write returns.
//
// A frame that was cut off at the end of the file is cut away when the journal
// is opened: what it said was not acted upon yet. Damage anywhere else is
// refused by name, since a journal that has forgotten something would have
// mail fetched twice, or taken for delivered that is not.
package journal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

const (
	fileName = "journal"
	lockName = "lock"

	// maxFile bounds what is read: some millions of messages.
	maxFile = 4 << 30
)

// ErrInUse says that another process works with the account.
var ErrInUse = errors.New("another poplin fetches this account")

// DamagedError says that a journal cannot be trusted.
type DamagedError struct {
	Path   string
	Offset int64
	Reason string
}

// Error implements error.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is damaged at octet %d (%s): nothing is fetched, lest mail be fetched twice. "+
		"Restore the file from a backup, or move it away and run `poplin doctor ACCOUNT --rebuild MAILDIR`, which makes it anew from the mail that is there", e.Path, e.Offset, e.Reason)
}

// Journal is the journal of one account. It is used by many goroutines at
// once.
type Journal struct {
	fs   disk.FS
	dir  string
	lock disk.File
	key  []byte
	dry  bool // nothing is written to the disk

	mu    sync.Mutex
	file  disk.File
	next  uint64 // number of the next frame
	size  int64
	err   error // of an earlier Write
	state state
}

// Open opens the journal in a folder, and makes both where they are missing. The
// error is ErrInUse where another process has it, and wraps a *DamagedError
// where it cannot be read.
func Open(fsys disk.FS, dir string) (*Journal, error) {
	if err := disk.MakeFolder(fsys, dir); err != nil {
		return nil, err
	}
	if err := closed(fsys, dir); err != nil {
		return nil, err
	}
	lock, err := fsys.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	j := &Journal{fs: fsys, dir: dir, lock: lock}
	if err = lock.Lock(); errors.Is(err, disk.ErrLocked) {
		err = ErrInUse
	}
	if err == nil {
		err = j.load()
	}
	if err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

// Read opens the journal for one that only looks: the disk stays as it is,
// and what is written is forgotten when the journal is closed. Where there is
// none, nothing is known. Errors are as for Open.
func Read(fsys disk.FS, dir string) (*Journal, error) {
	j := &Journal{fs: fsys, dir: dir, dry: true}
	var err error
	if j.lock, err = fsys.OpenFile(filepath.Join(dir, lockName), os.O_RDONLY|syscall.O_NOFOLLOW, 0); errors.Is(err, fs.ErrNotExist) {
		err = nil // nobody has ever fetched the account
	} else if err == nil {
		if err = closed(fsys, dir); err == nil {
			err = j.lock.Lock()
		}
	}
	if errors.Is(err, disk.ErrLocked) {
		err = ErrInUse
	}
	if err == nil {
		err = j.load()
	}
	if err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

// closed refuses a folder that others can write to: who does could have mail
// taken for fetched, and then deleted on the server.
func closed(fsys disk.FS, dir string) error {
	f, err := fsys.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.Mode().Perm()&0o022 != 0 {
		err = fmt.Errorf("%s can be changed by others, who could have mail lost: nothing is fetched; chmod go-w %[1]s", dir)
	}
	return err
}

func (j *Journal) path() string { return filepath.Join(j.dir, fileName) }

// load reads the file, or makes it.
func (j *Journal) load() error {
	mode := os.O_RDWR | os.O_APPEND
	if j.dry {
		mode = os.O_RDONLY
	}
	f, err := j.fs.OpenFile(j.path(), mode|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		j.key = make([]byte, 32)
		rand.Read(j.key)
		return j.rewrite()
	}
	if err != nil {
		return err
	}
	j.file = f
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return fmt.Errorf("%s is no file that a journal can be: move it away", j.path())
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, info.Size()), data); err != nil {
		return fmt.Errorf("%s: %w", j.path(), err)
	}
	good, err := j.replay(data)
	if err != nil {
		return err
	}
	if j.dry {
		return nil
	}
	if good < info.Size() {
		if err := f.Truncate(good); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	j.size = good
	if j.state.lines > 4*j.state.live()+1000 {
		return j.rewrite()
	}
	return nil
}

// replay takes in the frames, and gives how many octets of the file are good.
func (j *Journal) replay(data []byte) (int64, error) {
	damaged := func(at int64, reason string) (int64, error) {
		return 0, &DamagedError{j.path(), at, reason}
	}
	var at int64
	for at < int64(len(data)) {
		f, rest, err := cutFrame(data[at:])
		if err == nil && (at == 0) != (f.number == 0) || err == nil && f.number != 0 && f.number != j.next {
			err = fmt.Errorf("frame %d follows frame %d", f.number, int64(j.next)-1)
		}
		if err != nil {
			if at == 0 {
				return damaged(0, "its beginning is not that of a journal")
			}
			if laterFrame(data[at:], j.next) {
				return damaged(at, err.Error())
			}
			return at, nil
		}
		if f.number == 0 {
			err = j.begin(f.payload)
		} else {
			err = j.state.replay(f.payload)
		}
		if err != nil {
			return damaged(at, err.Error())
		}
		j.next = f.number + 1
		at = int64(len(data) - len(rest))
	}
	if at == 0 {
		return damaged(0, "it is empty")
	}
	return at, nil
}

// version is the form of the file.
const version = "poplin-journal-1"

// begin reads the first frame.
func (j *Journal) begin(payload []byte) error {
	var key, form string
	if _, err := fmt.Sscanf(string(payload), "%s %s\n", &form, &key); err != nil || form != version {
		return fmt.Errorf("it is of another version than %s", version)
	}
	decoded, err := hex.DecodeString(key)
	if err != nil || len(decoded) != 32 {
		return errors.New("its key is not one")
	}
	j.key = decoded
	return nil
}

// rewrite writes the file anew, with what is live only.
func (j *Journal) rewrite() error {
	if j.dry {
		return nil
	}
	content := appendFrame(nil, 0, fmt.Appendf(nil, "%s %x\n", version, j.key))
	j.next = 1
	if lines := j.state.snapshot(); len(lines) > 0 {
		content = appendFrame(content, 1, lines)
		j.next = 2
	}
	if err := disk.Replace(j.fs, j.dir, fileName, 0o600, content); err != nil {
		return err
	}
	if j.file != nil {
		j.file.Close()
	}
	var err error
	j.file, err = j.fs.OpenFile(j.path(), os.O_RDWR|os.O_APPEND|syscall.O_NOFOLLOW, 0)
	j.size = int64(len(content))
	j.state.lines = j.state.live()
	return err
}

// Key is the secret that the names of delivered messages follow from.
func (j *Journal) Key() []byte { return j.key }

// Write adds records. When the error is nil they are durable, and only then
// does the state know them. After an error the journal takes nothing more.
func (j *Journal) Write(records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	if j.dry {
		for _, r := range records {
			j.state.apply(r)
		}
		return nil
	}
	var payload []byte
	for _, r := range records {
		payload = r.append(payload)
	}
	frame := appendFrame(nil, j.next, payload)
	n, err := j.file.Write(frame)
	if err == nil && n < len(frame) {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.err = fmt.Errorf("the journal %s cannot be written: %w", j.path(), err)
		return j.err
	}
	j.next++
	j.size += int64(len(frame))
	for _, r := range records {
		j.state.apply(r)
	}
	return nil
}

// Close gives the account to others.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.err = fs.ErrClosed
	var err error
	for _, f := range []disk.File{j.file, j.lock} {
		if f == nil { // of a journal that is only read
			continue
		}
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}
	return err
}
