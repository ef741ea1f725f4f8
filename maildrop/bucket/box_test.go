package bucket_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// user is the maildrop of a box.
const user = "user@example.org"

// box is an object store and two nodes: one that meets faults, and one that
// does not.
type box struct {
	*testing.T
	objects *buckettest.Store
	gateway *buckettest.Gateway // of Store
	*bucket.Store
	other *bucket.Store
	mu    sync.Mutex
	fault func(n int, c buckettest.Call) buckettest.Fault // of the n-th call since begin; nil: none
	began int
}

func newBox(t *testing.T, opts bucket.Options) *box {
	t.Helper()
	b := &box{T: t, objects: &buckettest.Store{}}
	b.gateway = &buckettest.Gateway{Store: b.objects, Fault: func(c buckettest.Call) buckettest.Fault {
		b.mu.Lock()
		fault, n := b.fault, c.N-b.began
		b.mu.Unlock()
		if fault == nil {
			return buckettest.None
		}
		return fault(n, c)
	}}
	opts.Bucket, opts.Engine = "mail", b.gateway
	b.Store = newStore(t, opts)
	opts.Engine, opts.Economy = &buckettest.Gateway{Store: b.objects, Skew: 3 * time.Second}, false
	b.other = newStore(t, opts)
	return b
}

func newStore(t *testing.T, opts bucket.Options) *bucket.Store {
	t.Helper()
	s, err := bucket.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// begin has calls meet faults; end ends that, and gives the number of calls.
func (b *box) begin(fault func(n int, c buckettest.Call) buckettest.Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.began = b.gateway.Calls()
	b.fault = fault
}

func (b *box) end() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = nil
	return b.gateway.Calls() - b.began
}

// pass waits until every lease is over.
func (b *box) pass() { time.Sleep(2 * bucket.DefaultLease) }

// content makes a message that no other is like.
func content(n int) string {
	return fmt.Sprintf("Subject: message %d\r\n\r\n%s\r\n", n, strings.Repeat("x", 100*n))
}

// fill delivers messages, and gives their UIDs.
func (b *box) fill(n int) []string {
	b.Helper()
	uids := make([]string, n)
	for i := range uids {
		r, err := b.other.Deliver(b.Context(), user, strings.NewReader(content(i)))
		if err != nil {
			b.Fatal(err)
		}
		uids[i] = r.UID
	}
	return uids
}

func uidsOf(list []maildrop.Message) []string {
	uids := make([]string, len(list))
	for i, m := range list {
		uids[i] = m.UID
	}
	return uids
}

// read gives a message.
func (b *box) read(m maildrop.Maildrop, i int) (string, error) {
	r, err := m.Open(b.Context(), i)
	if err != nil {
		return "", err
	}
	defer r.Close()
	all, err := io.ReadAll(r)
	return string(all), err
}

// stored opens the maildrop by the other node, and gives what is in it, by
// UID. Everything must be whole.
func (b *box) stored() map[string]string {
	b.Helper()
	m, err := b.other.Open(b.Context(), user)
	if err != nil {
		b.Fatalf("Open by the other node: %v", err)
	}
	defer m.Close()
	found := make(map[string]string)
	for i, msg := range m.Messages() {
		text, err := b.read(m, i)
		if err != nil || int64(len(text)) != msg.Size {
			b.Errorf("message %s is stored with %d octets, error %v; want %d", msg.UID, len(text), err, msg.Size)
		}
		found[msg.UID] = text
	}
	return found
}

// temporary checks an error that came of a fault.
func (b *box) temporary(what string, err error) {
	b.Helper()
	if err != nil && !errors.Is(err, maildrop.ErrTemporary) {
		b.Errorf("%s: %v, want an error that wraps ErrTemporary", what, err)
	}
}

// table runs f with each fault at its k-th call, for every k until no call
// fails; once, and from there on.
func table(t *testing.T, f func(t *testing.T, lasting bool, fault func(n int, c buckettest.Call) buckettest.Fault) (calls int)) {
	for _, fault := range buckettest.Faults() {
		for _, lasting := range []bool{false, true} {
			name := fault.String()
			if lasting {
				name += ", lasting"
			}
			t.Run(name, func(t *testing.T) {
				for k := 1; ; k++ {
					calls := 0
					t.Run(fmt.Sprint(k), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							calls = f(t, lasting, func(n int, _ buckettest.Call) buckettest.Fault {
								if n == k || lasting && n > k {
									return fault
								}
								return buckettest.None
							})
						})
					})
					if calls < k {
						sites(t, k-1)
						return
					}
				}
			})
		}
	}
}

// sites checks that calls were made to fail.
func sites(t *testing.T, n int) {
	if n < 2 {
		t.Errorf("only %d calls were made to fail", n)
	}
	t.Logf("sites: %d", n)
}

// want checks which messages there are: those of must, and beside them only
// some of may.
func (b *box) want(found map[string]string, must, may []string) {
	b.Helper()
	for _, uid := range must {
		if _, ok := found[uid]; !ok {
			b.Errorf("message %s is lost", uid)
		}
	}
	for uid := range found {
		if !slices.Contains(must, uid) && !slices.Contains(may, uid) {
			b.Errorf("message %s is there, and must not be", uid)
		}
	}
}
