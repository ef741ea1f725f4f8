package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	recordVersion = 1
	maxRecord     = 3 * maxToken // octets of a file

	// lockWait is how long another process is waited for that renews tokens
	// of the same account: longer than its requests can take.
	lockWait = time.Minute
	lockPoll = 20 * time.Millisecond
)

var (
	errNone    = errors.New("no token is stored")
	errDamaged = errors.New("the file of the token is damaged")
)

// record is what is stored of an account.
type record struct {
	Version      int       `json:"version"`
	Account      string    `json:"account"` // for whoever looks at the file
	ClientID     string    `json:"client_id"`
	TokenURL     string    `json:"token_url"`
	AccessToken  string    `json:"access_token"`
	RefreshToken string    `json:"refresh_token,omitempty"`
	Expiry       time.Time `json:"expiry,omitzero"` // zero: never
	Issued       time.Time `json:"issued"`
}

// good tells whether the access token can be given out.
func (r *record) good(refused string) bool {
	return r.AccessToken != refused && (r.Expiry.IsZero() || time.Until(r.Expiry) > early)
}

// valid tells whether the tokens can be sent (RFC 6749 appendices A.12 and
// A.17).
func (r *record) valid() bool {
	return r.AccessToken != "" && printable(r.AccessToken) && printable(r.RefreshToken)
}

func printable(token string) bool {
	return len(token) <= maxToken && !strings.ContainsFunc(token, func(r rune) bool { return r < 0x20 || r > 0x7E })
}

// decode reads a record. Its errors hold nothing of what it read.
func decode(data []byte) (*record, error) {
	var r record
	if json.Unmarshal(data, &r) != nil || r.Version != recordVersion || !r.valid() {
		return nil, errDamaged
	}
	return &r, nil
}

// store is the file of one account and its lock.
type store struct{ folder, name string }

// newStore finds the file's name. An account's name is no path: what is not
// plain is written as %XX.
func newStore(folder, account string) (store, error) {
	if folder == "" {
		return store{}, errors.New("no folder for tokens: set state")
	}
	name := url.PathEscape(account)
	if account == "" || len(name) > 200 {
		return store{}, errors.New("an account that logs in by OAuth needs a name, of 200 octets at most")
	}
	return store{folder, name}, nil
}

func (s store) path() string { return filepath.Join(s.folder, s.name+".json") }

// read gives the record. A file that others can read is refused: who knows
// what they have made of it.
func (s store) read() (*record, error) {
	f, err := os.OpenFile(s.path(), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNone
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errDamaged
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s holds a token and is open to other users (mode %04o): run `chmod 600 %s`", s.path(), info.Mode().Perm(), s.path())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return nil, err
	}
	return decode(data)
}

// prepare makes the folder. One in which others may put files is refused.
func (s store) prepare() error {
	info, err := os.Stat(s.folder)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(s.folder, 0o700); err != nil {
			return err
		}
		return syncFolder(filepath.Dir(s.folder))
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder", s.folder)
	}
	if info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("every user of this machine may put files into %s (mode %04o): run `chmod 700 %s`", s.folder, info.Mode().Perm(), s.folder)
	}
	return nil
}

// lock takes the account's lock. The kernel lets go of it when the process
// ends; the file stays.
func (s store) lock(ctx context.Context) (unlock func(), err error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.folder, s.name+".lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		select {
		case <-within.Done():
			f.Close()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, &TemporaryError{Reason: "another process holds the tokens of this account"}
		case <-time.After(lockPoll):
		}
	}
}

// draft is a record that is being written, under the lock.
type draft struct {
	store store
	file  *os.File
	moved bool // into place
}

// begin makes the new file. Its name is fixed: under the lock it can only be
// what a killed process left, which holds tokens, and goes.
func (s store) begin() (*draft, error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	name := filepath.Join(s.folder, "."+s.name+".json.new")
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &draft{store: s, file: f}, nil
}

// commit puts the record in place of the one before. When it returns nil the
// record survives a power loss; otherwise there is one of the two, whole.
func (d *draft) commit(r *record) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if _, err = d.file.Write(append(data, '\n')); err != nil {
		return err
	}
	if err = d.file.Sync(); err != nil {
		return err
	}
	if err = d.file.Close(); err != nil {
		return err
	}
	if err = os.Rename(d.file.Name(), d.store.path()); err != nil {
		return err
	}
	d.moved = true
	return syncFolder(d.store.folder)
}

// drop removes what commit has not put in place.
func (d *draft) drop() {
	if !d.moved {
		d.file.Close() // a second time, perhaps
		os.Remove(d.file.Name())
	}
}

// remove deletes the record, under the lock.
func (s store) remove() error {
	if err := os.Remove(s.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFolder(s.folder)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
