package maildroptest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing/iotest"

	"github.com/poplin-mail/poplin/maildrop"
)

// distributor gives the Deliverer where it is more than that.
func (b *bench) distributor() (maildrop.Distributor, bool) {
	d, ok := b.Deliverer.(maildrop.Distributor)
	return d, ok
}

// emptied gives the Deliverer where it is more than that, and maildrops can be
// made that hold nothing.
func (b *bench) emptied() (maildrop.Distributor, bool) {
	d, ok := b.distributor()
	return d, ok && b.Create != nil
}

// recipients makes maildrops, and names them.
func (b *bench) recipients(n int) []maildrop.Recipient {
	b.Helper()
	to := make([]maildrop.Recipient, n)
	for i := range to {
		to[i].Maildrop = fmt.Sprintf("user%d@example.org", i)
		b.create(to[i].Maildrop)
	}
	return to
}

func checkDistribute(b *bench) {
	d, ok := b.distributor()
	if !ok {
		return
	}
	to := b.recipients(70)
	const content = "Subject: to all\n\nof them"
	outcomes, err := d.Distribute(b.ctx, to, iotest.OneByteReader(strings.NewReader(content)))
	if err != nil || len(outcomes) != len(to) {
		b.Fatalf("Distribute to %d maildrops gives %d outcomes, error %v", len(to), len(outcomes), err)
	}
	for i, o := range outcomes {
		if o.Err != nil {
			b.Errorf("outcome %d: %v", i, o.Err)
			continue
		}
		list := b.expect("distributed to all", to[i].Maildrop, content)
		if o.UID != list[0].UID || o.Octets != list[0].Size {
			b.Errorf("Receipt %d is %+v, and the message is listed as %+v: they must agree", i, o.Receipt, list[0])
		}
	}
	// What one of them does with it is no other's business.
	m := b.open(to[0].Maildrop)
	if err := m.Remove(b.ctx, []int{0}); err != nil {
		b.Errorf("Remove of a message that others have too: %v", err)
	}
	b.close(m)
	b.expect("one removed it", to[0].Maildrop)
	b.expect("another removed it", to[1].Maildrop, content)
}

func checkDistributeFailingReader(b *bench) {
	d, ok := b.emptied()
	if !ok {
		return
	}
	to := b.recipients(3)
	broken := errors.New("connection lost")
	_, err := d.Distribute(b.ctx, to, iotest.DataErrReader(&failing{strings.NewReader("part of a message"), broken}))
	b.wants("Distribute from a reader that fails", err, broken, "the caller must know that nothing was delivered")
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	_, err = d.Distribute(ctx, to, strings.NewReader("x"))
	b.wants("Distribute that was cancelled", err, context.Canceled, "the caller must know that nothing was delivered")
	for _, r := range to {
		b.expect("after Distribute failed", r.Maildrop)
	}
}

// failing ends with an error in the place of io.EOF.
type failing struct {
	r   *strings.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.r.Len() == 0 {
		return 0, f.err
	}
	return f.r.Read(p)
}

func checkQuota(b *bench) {
	d, ok := b.emptied()
	if !ok {
		return
	}
	to := b.recipients(3)
	to[0].Quota.Octets = 25
	to[1].Quota.Messages = 3
	const content = "01234567\r\n" // as many octets in whatever form it is stored
	delivered := []int{0, 0, 0}
	put := func(rounds int) {
		b.Helper()
		for range rounds {
			outcomes, err := d.Distribute(b.ctx, to, strings.NewReader(content))
			if err != nil {
				b.Fatalf("Distribute: %v", err)
			}
			for i, o := range outcomes {
				if o.Err == nil {
					delivered[i]++
				} else {
					b.wants("a delivery over quota", o.Err, maildrop.ErrOverQuota, "the sender must be told why")
				}
			}
		}
	}
	wants := func(why string, want ...int) {
		b.Helper()
		for i, n := range want {
			m := b.open(to[i].Maildrop)
			if got := len(m.Messages()); got != n || delivered[i] < n {
				b.Errorf("%s: maildrop %d holds %d messages, want %d", why, i, got, n)
			}
			b.close(m)
			u, err := d.Usage(b.ctx, to[i].Maildrop)
			if (err != nil || u != maildrop.Usage{Octets: int64(n * len(content)), Messages: int64(n)}) {
				b.Errorf("%s: Usage of maildrop %d is %+v, error %v, want %d messages of %d octets", why, i, u, err, n, len(content))
			}
		}
	}
	wants("before any delivery", 0, 0, 0)
	put(5)
	wants("quotas of 25 octets, of 3 messages, and none, after 5 messages of 10 octets", 2, 3, 5)
	for i := range to {
		m := b.open(to[i].Maildrop)
		if err := m.Remove(b.ctx, []int{0, 1}); err != nil {
			b.Fatalf("Remove: %v", err)
		}
		b.close(m)
	}
	wants("two removed in each", 0, 1, 3)
	put(1)
	wants("there is room again", 1, 2, 4)
}
