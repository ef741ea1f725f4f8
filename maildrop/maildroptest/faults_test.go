package maildroptest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/memory"
)

// fault is a Store that breaks the contract, the check that must find it, and
// words of what it must say.
type fault struct {
	name, check, words string
	breaks             func(h *Harness, s *memory.Store)
}

func (f fault) harness() Harness {
	s := memory.New()
	h := Harness{Store: s, Deliverer: s, Views: true, Create: func(name string) error { s.Create(name); return nil }}
	f.breaks(&h, s)
	return h
}

// hooked is a Store whose Maildrops are changed on their way out.
type hooked struct {
	maildrop.Store
	hook func(m *drop)
}

func (h hooked) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	m, err := h.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	d := &drop{Maildrop: m, list: slices.Clone(m.Messages())}
	d.open, d.remove, d.close = m.Open, m.Remove, m.Close
	d.Notes, _ = m.(maildrop.Notes)
	d.Aside, _ = m.(maildrop.Aside)
	d.setAside = d.Aside.SetAside
	h.hook(d)
	return d, nil
}

func (h hooked) Undelete(ctx context.Context, name string, since time.Time) (int, error) {
	return h.Store.(maildrop.Undeleter).Undelete(ctx, name, since)
}

// drop is a Maildrop with replaceable methods.
type drop struct {
	maildrop.Maildrop
	maildrop.Notes
	maildrop.Aside
	list     []maildrop.Message
	listed   int
	again    []maildrop.Message // from the second Messages on, if not nil
	open     func(ctx context.Context, i int) (io.ReadCloser, error)
	remove   func(ctx context.Context, marked []int) error
	setAside func(ctx context.Context, marked []int, period time.Duration) error
	close    func() error
}

func (d *drop) Messages() []maildrop.Message {
	if d.listed++; d.listed > 1 && d.again != nil {
		return d.again
	}
	return d.list
}
func (d *drop) Open(ctx context.Context, i int) (io.ReadCloser, error) { return d.open(ctx, i) }
func (d *drop) Remove(ctx context.Context, marked []int) error         { return d.remove(ctx, marked) }
func (d *drop) Close() error                                           { return d.close() }
func (d *drop) SetAside(ctx context.Context, marked []int, period time.Duration) error {
	return d.setAside(ctx, marked, period)
}

// drops makes a fault of the Maildrop.
func drops(hook func(d *drop)) func(h *Harness, s *memory.Store) {
	return func(h *Harness, s *memory.Store) { h.Store = hooked{s, hook} }
}

// opens makes a fault of Store.Open.
type opens func(ctx context.Context, name string) (maildrop.Maildrop, error)

func (o opens) Open(ctx context.Context, name string) (maildrop.Maildrop, error) { return o(ctx, name) }

// delivers makes a fault of Deliver.
type delivers func(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error)

func (d delivers) Deliver(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
	return d(ctx, name, r)
}

// content makes a fault of the octets that are stored.
func content(change func(s string) string) func(h *Harness, s *memory.Store) {
	return func(h *Harness, s *memory.Store) {
		h.Deliverer = delivers(func(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
			b, err := io.ReadAll(r)
			if err != nil {
				return maildrop.Receipt{}, err
			}
			return s.Deliver(ctx, name, strings.NewReader(change(string(b))))
		})
	}
}

// sizes makes a fault of the sizes that are listed.
func sizes(size func(content string) int64) func(h *Harness, s *memory.Store) {
	return drops(func(d *drop) {
		for i := range d.list {
			r, _ := d.Maildrop.Open(context.Background(), i)
			b, _ := io.ReadAll(r)
			d.list[i].Size = size(string(b))
		}
	})
}

// waiting gives up on the lock of a Store after a moment.
func waiting(ctx context.Context, s *memory.Store, name string) (maildrop.Maildrop, error) {
	m, err := s.Open(ctx, name)
	if errors.Is(err, maildrop.ErrInUse) {
		return nil, errors.New("locked")
	}
	return m, err
}

// unlocked gives each Open a Maildrop without the lock.
func unlocked(h *Harness, s *memory.Store) {
	var mu sync.Mutex
	h.Store = opens(func(ctx context.Context, name string) (maildrop.Maildrop, error) {
		mu.Lock()
		defer mu.Unlock()
		m, err := s.Open(ctx, name)
		if err == nil {
			err = m.Close()
			time.Sleep(time.Millisecond)
		}
		return m, err
	})
}

var faults = slices.Concat(viewFaults, distributeFaults, listerFaults, []fault{
	{"lists a message that is not there", "Empty", "lists none", drops(func(d *drop) { d.list = append(d.list, maildrop.Message{UID: "x"}) })},
	{"newest first", "Listing", "oldest first", drops(func(d *drop) {
		n := len(d.list)
		slices.Reverse(d.list)
		d.open = func(ctx context.Context, i int) (io.ReadCloser, error) { return d.Maildrop.Open(ctx, n-1-i) }
	})},
	{"another list the second time", "Listing", "must be the same at each", drops(func(d *drop) {
		d.again = d.list[:len(d.list)-1]
		d.listed = -1
	})},
	{"size of the file", "Sizes", "bare LF", sizes(func(s string) int64 { return int64(len(s)) })},
	{"size with stuffed dots", "Sizes", "dot at the first octet", sizes(func(s string) int64 {
		n := len(wireForm(s))
		return int64(n + strings.Count("\n"+s, "\n."))
	})},
	{"loses what follows a dot", "Sizes", "end of data inside", content(func(s string) string {
		before, _, _ := strings.Cut(s, "\r\n.\r\n")
		return before
	})},
	{"lone CR becomes a line end", "Sizes", "lone CR", content(func(s string) string { return strings.ReplaceAll(s, "\r", "\n") })},
	{"cuts lines", "LongLine", "1 MB", content(func(s string) string { return s[:min(len(s), 64<<10)] })},
	{"reads a message once", "ReadTwice", "can be read again", drops(func(d *drop) {
		reads := make(map[int]int)
		d.open = func(ctx context.Context, i int) (io.ReadCloser, error) {
			if reads[i]++; reads[i] > 2 {
				return io.NopCloser(strings.NewReader("")), nil
			}
			return d.Maildrop.Open(ctx, i)
		}
	})},
	{"received in another century", "Received", "Received", drops(func(d *drop) { d.list[0].Received = time.Unix(1, 0) })},
	{"no lock", "Lock", "until Close no other Open", unlocked},
	{"another error for the lock", "Lock", "in use", func(h *Harness, s *memory.Store) {
		h.Store = opens(func(ctx context.Context, name string) (maildrop.Maildrop, error) { return waiting(ctx, s, name) })
	}},
	{"Remove unlocks", "Lock", "Remove does not give the lock back", drops(func(d *drop) {
		d.remove = func(ctx context.Context, marked []int) error {
			return errors.Join(d.Maildrop.Remove(ctx, marked), d.Maildrop.Close())
		}
	})},
	{"Close keeps the lock", "Lock", "no session holds", drops(func(d *drop) { d.close = func() error { return nil } })},
	{"no lock in a race", "LockRace", "at the same time succeeded", unlocked},
	{"second Close fails", "CloseTwice", "may be called twice", drops(func(d *drop) {
		closed := false
		d.close = func() error {
			if closed {
				return errors.New("closed")
			}
			closed = true
			return d.Maildrop.Close()
		}
	})},
	{"second Close unlocks another session", "CloseTwice", "lock of another session", func(h *Harness, s *memory.Store) {
		var last maildrop.Maildrop
		h.Store = hooked{s, func(d *drop) {
			last = d.Maildrop
			d.close = func() error { return last.Close() }
		}}
	}},
	{"one lock for all", "OthersNotLocked", "no session holds", func(h *Harness, s *memory.Store) {
		locked := false
		h.Store = hooked{s, func(d *drop) {
			locked = true
			d.close = func() error { locked = false; return d.Maildrop.Close() }
		}}
		inner := h.Store
		h.Store = opens(func(ctx context.Context, name string) (maildrop.Maildrop, error) {
			if locked {
				return nil, maildrop.ErrInUse
			}
			return inner.Open(ctx, name)
		})
	}},
	{"list grows", "Snapshot", "a delivery changed the list", func(h *Harness, s *memory.Store) {
		var open *drop
		h.Store = hooked{s, func(d *drop) { open = d }}
		h.Deliverer = delivers(func(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
			if open != nil {
				open.list = append(open.list, maildrop.Message{UID: "new"})
			}
			return s.Deliver(ctx, name, r)
		})
	}},
	{"delivery fails while it is open", "Snapshot", "was not taken", func(h *Harness, s *memory.Store) {
		h.Deliverer = delivers(func(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
			m, err := s.Open(ctx, name)
			if err != nil {
				return maildrop.Receipt{}, err
			}
			m.Close()
			return s.Deliver(ctx, name, r)
		})
	}},
	{"Close removes", "CloseRemovesNothing", "Close removes nothing", drops(func(d *drop) {
		d.close = func() error { d.Maildrop.Remove(context.Background(), []int{0}); return d.Maildrop.Close() }
	})},
	{"Remove does nothing", "Remove", "deletes the messages marked", drops(func(d *drop) {
		d.remove = func(context.Context, []int) error { return nil }
	})},
	{"Remove counts from 1", "Remove", "no others", drops(func(d *drop) {
		d.remove = func(ctx context.Context, marked []int) error {
			for n := range marked {
				marked[n] = (marked[n] + 1) % len(d.list)
			}
			return d.Maildrop.Remove(ctx, marked)
		}
	})},
	{"UIDs are numbers", "Remove", "the same in every session", drops(func(d *drop) {
		for i := range d.list {
			d.list[i].UID = string(rune('a' + i))
		}
	})},
	{"Remove of nothing removes", "RemoveNothing", "deletes none", drops(func(d *drop) {
		d.remove = func(ctx context.Context, marked []int) error { return d.Maildrop.Remove(ctx, append(marked, 0)) }
	})},
	{"the last stays", "RemoveAll", "deletes all messages", drops(func(d *drop) {
		d.remove = func(ctx context.Context, marked []int) error { return d.Maildrop.Remove(ctx, marked[1:]) }
	})},
	{"Remove empties the maildrop", "RemoveLeavesNewMail", "came after Open", func(h *Harness, s *memory.Store) {
		h.Store = hooked{s, func(d *drop) {
			d.remove = func(ctx context.Context, marked []int) error {
				d.Maildrop.Close()
				all, err := s.Open(ctx, user)
				if err != nil {
					return err
				}
				defer all.Close()
				for i := range all.Messages() {
					all.Remove(ctx, []int{i})
				}
				return nil
			}
		}}
	}},
	{"another message for one that is gone", "Gone", "want ErrGone", discarding(func(d *drop) {
		d.open = func(ctx context.Context, i int) (io.ReadCloser, error) { return d.Maildrop.Open(ctx, 0) }
	})},
	{"another error for one that is gone", "Gone", "never gets another message", discarding(func(d *drop) {
		open := d.open
		d.open = func(ctx context.Context, i int) (io.ReadCloser, error) {
			r, err := open(ctx, i)
			if err != nil {
				err = errors.New("no such file")
			}
			return r, err
		}
	})},
	{"Remove of one that is gone fails", "Gone", "counts as removed", discarding(func(d *drop) {
		d.remove = func(ctx context.Context, marked []int) error {
			return errors.Join(d.Maildrop.Remove(ctx, marked), errors.New("no such file"))
		}
	})},
	{"UID of the content", "UIDs", "equal ones too", sameUIDs},
	{"UID with a blank", "UIDs", "0x21 to 0x7E", drops(func(d *drop) { d.list[0].UID = "a b" })},
	{"UIDs reused", "UIDsNotReused", "never used again", sameUIDs},
	{"receipt of another message", "Receipt", "must agree", func(h *Harness, s *memory.Store) {
		h.Deliverer = delivers(func(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
			receipt, err := s.Deliver(ctx, name, r)
			receipt.Octets++
			return receipt, err
		})
	}},
	{"one read is all", "Readers", "however it gives it", func(h *Harness, s *memory.Store) {
		h.Deliverer = delivers(func(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
			buf := make([]byte, 1<<20)
			n, _ := r.Read(buf)
			return s.Deliver(ctx, name, bytes.NewReader(buf[:n]))
		})
	}},
	{"half a message", "FailingReader", "nothing is delivered", func(h *Harness, s *memory.Store) {
		h.Deliverer = delivers(func(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
			b, err := io.ReadAll(r)
			receipt, storeErr := s.Deliver(ctx, name, bytes.NewReader(b))
			return receipt, errors.Join(err, storeErr)
		})
	}},
	{"reader's error ignored", "FailingReader", "want the error of a reader", func(h *Harness, s *memory.Store) {
		h.Deliverer = delivers(func(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
			io.Copy(io.Discard, r)
			return maildrop.Receipt{}, nil
		})
	}},
	{"no context", "Cancelled", "context that has ended", func(h *Harness, s *memory.Store) {
		h.Store = opens(func(ctx context.Context, name string) (maildrop.Maildrop, error) {
			return s.Open(context.WithoutCancel(ctx), name)
		})
	}},
	{"delivers after the end of its context", "Cancelled", "before its reader did", func(h *Harness, s *memory.Store) {
		h.Deliverer = delivers(func(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
			return s.Deliver(context.WithoutCancel(ctx), name, r)
		})
	}},
	{"cancelled Open keeps the lock", "Cancelled", "no session holds", func(h *Harness, s *memory.Store) {
		h.Store = opens(func(ctx context.Context, name string) (maildrop.Maildrop, error) {
			m, err := s.Open(context.WithoutCancel(ctx), name)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return m, err
		})
	}},
	{"loses one of two at a time", "ConcurrentDelivery", "each must be there once", func(h *Harness, s *memory.Store) {
		var mu sync.Mutex
		count := 0
		h.Deliverer = delivers(func(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
			mu.Lock()
			defer mu.Unlock()
			if count++; count == 3 {
				return maildrop.Receipt{}, nil
			}
			return s.Deliver(ctx, name, r)
		})
	}},
	{"one maildrop for all", "ConcurrentMaildrops", "at the same time", func(h *Harness, s *memory.Store) {
		h.Deliverer = delivers(func(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
			return s.Deliver(ctx, user, r)
		})
	}},
})

// discarding makes a Store whose messages can be removed from outside, with a
// fault of its Maildrop.
func discarding(hook func(d *drop)) func(h *Harness, s *memory.Store) {
	return func(h *Harness, s *memory.Store) {
		gone := make(map[string]bool)
		h.Discard = func(name, uid string) error { gone[uid] = true; return nil }
		h.Store = hooked{s, func(d *drop) {
			d.open = func(ctx context.Context, i int) (io.ReadCloser, error) {
				if gone[d.list[i].UID] {
					return nil, maildrop.ErrGone
				}
				return d.Maildrop.Open(ctx, i)
			}
			hook(d)
		}}
	}
}

// sameUIDs makes equal messages have one UID.
func sameUIDs(h *Harness, s *memory.Store) {
	h.Store = hooked{s, func(d *drop) {
		for i := range d.list {
			r, _ := d.Maildrop.Open(context.Background(), i)
			b, _ := io.ReadAll(r)
			d.list[i].UID = string(bytes.TrimSpace(b))
		}
	}}
}
