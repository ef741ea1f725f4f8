package maildroptest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing/iotest"

	"github.com/poplin-mail/poplin/maildrop"
)

func checkReceipt(b *bench) {
	if b.Deliverer == nil {
		return
	}
	b.create(user)
	for _, content := range []string{"a\nb", "", "c\r\n"} {
		receipt, err := b.Deliverer.Deliver(b.ctx, user, strings.NewReader(content))
		if err != nil {
			b.Fatalf("Deliver: %v", err)
		}
		m := b.open(user)
		list := m.Messages()
		b.close(m)
		if len(list) == 0 {
			b.Fatal("a message that was delivered is not listed")
		}
		if last := list[len(list)-1]; receipt.UID != last.UID || receipt.Octets != last.Size {
			b.Errorf("Receipt of %q is %+v, and the message is listed as %+v: they must agree", content, receipt, last)
		}
	}
}

func checkReaders(b *bench) {
	if b.Deliverer == nil {
		return
	}
	content := strings.Repeat("one line of it\n", 5000) + "."
	readers := []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader}
	var contents []string
	b.create(user)
	for _, wrap := range readers {
		if _, err := b.Deliverer.Deliver(b.ctx, user, wrap(strings.NewReader(content))); err != nil {
			b.Fatalf("Deliver: %v", err)
		}
		contents = append(contents, content)
	}
	b.expect("Deliver stores what the reader gives up to io.EOF, however it gives it", user, contents...)
}

func checkFailingReader(b *bench) {
	if b.Deliverer == nil {
		return
	}
	b.create(user)
	b.put(user, "before\r\n")
	broken := errors.New("the sender went away")
	for _, sent := range []int{0, 1, 1000, 200_000} {
		r := io.MultiReader(strings.NewReader(strings.Repeat("x", sent)), iotest.ErrReader(broken))
		if receipt, err := b.Deliverer.Deliver(b.ctx, user, r); err == nil {
			b.Errorf("Deliver gives %+v, want the error of a reader that failed after %d octets", receipt, sent)
		}
	}
	b.expect("with an error from the reader nothing is delivered", user, "before\r\n")
}

func checkCancelled(b *bench) {
	b.create(user)
	b.put(user, "before\r\n")
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if m, err := b.Store.Open(ctx, user); err == nil {
		m.Close()
		b.Error("Store.Open succeeds with a context that has ended")
	}
	b.close(b.open(user)) // fails where that Open kept the lock
	if b.Deliverer != nil {
		if _, err := b.Deliverer.Deliver(ctx, user, strings.NewReader("x")); err == nil {
			b.Error("Deliver succeeds with a context that has ended")
		}
		ctx, cancel := context.WithCancel(b.ctx)
		defer cancel()
		if _, err := b.Deliverer.Deliver(ctx, user, &cancelling{cancel: cancel, left: 1000}); err == nil {
			b.Error("Deliver succeeds though its context ended before its reader did")
		}
	}
	m := b.open(user)
	if err := m.Remove(ctx, []int{0}); err == nil {
		b.Error("Maildrop.Remove succeeds with a context that has ended")
	}
	b.close(m)
	b.expect("what a context ended did nothing", user, "before\r\n")
}

// cancelling ends a context at its first octet, and gives more.
type cancelling struct {
	cancel func()
	left   int
}

func (c *cancelling) Read(p []byte) (int, error) {
	c.cancel()
	if c.left == 0 {
		return 0, io.EOF
	}
	c.left--
	return copy(p, "x"), nil
}

func checkConcurrentDelivery(b *bench) {
	contents := numbered(24)
	b.create(user)
	m := maildrop.Maildrop(nil)
	if b.Create != nil {
		m = b.open(user)
	}
	var wg sync.WaitGroup
	for _, content := range contents {
		wg.Go(func() {
			if err := b.deliver(user, []byte(content)); err != nil {
				b.Errorf("deliveries at the same time, while a session holds the maildrop: %v", err)
			}
		})
	}
	wg.Wait()
	if m != nil {
		b.close(m)
	}
	m = b.open(user)
	defer b.close(m)
	var got, want []string
	for i := range m.Messages() {
		got = append(got, b.read(m, i))
	}
	for _, content := range contents {
		want = append(want, wireForm(content))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		b.Errorf("after %d deliveries at the same time there are %d messages, or others: each must be there once, whole", len(want), len(got))
	}
	if all := uids(m.Messages()); len(slices.Compact(slices.Sorted(slices.Values(all)))) != len(all) {
		b.Errorf("after deliveries at the same time UIDs are %q: they must differ", all)
	}
}
