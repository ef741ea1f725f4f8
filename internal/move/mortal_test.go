package move_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// mortal is a store in a process that dies before its k-th call.
type mortal struct {
	maildrop.Store
	fate *fate
}

// fate is shared by the stores of a process.
type fate struct {
	mu    sync.Mutex
	calls int
	at    int
	dead  bool
	open  []maildrop.Maildrop
}

var errDead = errors.New("this process is dead")

func (f *fate) call(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return errDead
	}
	if f.calls++; f.calls == f.at {
		f.dead = true
		return errDead
	}
	return do()
}

// buried gives back what the kernel takes from a dead process.
func (f *fate) buried() {
	for _, m := range f.open {
		m.Close()
	}
}

func (m *mortal) Open(ctx context.Context, name string) (opened maildrop.Maildrop, err error) {
	err = m.fate.call(func() error {
		d, err := m.Store.Open(ctx, name)
		if err == nil {
			m.fate.open = append(m.fate.open, d)
			opened = &mortalDrop{d.(maildrop.Importer), m.fate}
		}
		return err
	})
	return opened, err
}

type mortalDrop struct {
	maildrop.Importer
	fate *fate
}

func (m *mortalDrop) Open(ctx context.Context, i int) (r io.ReadCloser, err error) {
	err = m.fate.call(func() error {
		r, err = m.Importer.Open(ctx, i)
		return err
	})
	if err != nil && r != nil {
		r.Close()
	}
	return &mortalReader{r, m.fate}, err
}

type mortalReader struct {
	io.ReadCloser
	fate *fate
}

func (m *mortalReader) Read(p []byte) (n int, err error) {
	callErr := m.fate.call(func() error {
		n, err = m.ReadCloser.Read(p)
		return nil
	})
	if callErr != nil {
		return 0, callErr
	}
	return n, err
}

func (m *mortalDrop) Remove(ctx context.Context, marked []int) error {
	// Each removal is a call of its own, so that some are done.
	for _, i := range marked {
		if err := m.fate.call(func() error { return m.Importer.Remove(ctx, []int{i}) }); err != nil {
			return err
		}
	}
	return nil
}

func (m *mortalDrop) SetAside(ctx context.Context, marked []int, period time.Duration) error {
	return m.fate.call(func() error { return m.Importer.SetAside(ctx, marked, period) })
}

func (m *mortalDrop) SetNote(ctx context.Context, key string, note []byte) error {
	return m.fate.call(func() error { return m.Importer.SetNote(ctx, key, note) })
}

func (m *mortalDrop) Note(ctx context.Context, key string) (note []byte, err error) {
	err = m.fate.call(func() error {
		note, err = m.Importer.Note(ctx, key)
		return err
	})
	return note, err
}

func (m *mortalDrop) NoteKeys(ctx context.Context) (keys []string, err error) {
	err = m.fate.call(func() error {
		keys, err = m.Importer.NoteKeys(ctx)
		return err
	})
	return keys, err
}

func (m *mortalDrop) Relist(ctx context.Context) error {
	return m.fate.call(func() error { return m.Importer.Relist(ctx) })
}

func (m *mortalDrop) Settle(ctx context.Context, settled bool) error {
	return m.fate.call(func() error { return m.Importer.Settle(ctx, settled) })
}

func (m *mortalDrop) Kept(ctx context.Context) (uids []string, err error) {
	err = m.fate.call(func() error {
		uids, err = m.Importer.Kept(ctx)
		return err
	})
	return uids, err
}

func (m *mortalDrop) Import(ctx context.Context, list []maildrop.Message) (in maildrop.Import, err error) {
	err = m.fate.call(func() error {
		in, err = m.Importer.Import(ctx, list)
		return err
	})
	return &mortalImport{in, m.fate}, err
}

type mortalImport struct {
	maildrop.Import
	fate *fate
}

func (m *mortalImport) Put(ctx context.Context, i int, r io.Reader) error {
	text, err := io.ReadAll(r) // its own calls, before
	if err != nil {
		return err
	}
	return m.fate.call(func() error { return m.Import.Put(ctx, i, strings.NewReader(string(text))) })
}
