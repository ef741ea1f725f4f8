package memory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/maildroptest"
)

func TestContract(t *testing.T) {
	maildroptest.Run(t, func(testing.TB) maildroptest.Harness {
		s := New()
		return maildroptest.Harness{
			Store:     s,
			Deliverer: s,
			Views:     true,
			Create:    func(name string) error { s.Create(name); return nil },
			Discard:   func(name, uid string) error { return discard(s, name, uid) },
		}
	})
}

// TestContractAdd is the same for messages that come by Add.
func TestContractAdd(t *testing.T) {
	maildroptest.Run(t, func(testing.TB) maildroptest.Harness {
		s := New()
		var count atomic.Int64
		return maildroptest.Harness{
			Store: s,
			Put: func(name string, content []byte) error {
				return s.Add(name, fmt.Sprintf("uid-%d", count.Add(1)), content)
			},
		}
	})
}

// discard removes a message as no caller of the package can.
func discard(s *Store, name, uid string) error {
	d := s.drop(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	before := len(d.messages)
	d.messages = slices.DeleteFunc(d.messages, func(m *message) bool { return m.UID == uid })
	if len(d.messages) == before {
		return errors.New("no such message")
	}
	return nil
}

func TestUnknownName(t *testing.T) {
	s := New()
	if _, err := s.Open(t.Context(), "nobody"); !errors.Is(err, maildrop.ErrPermanent) {
		t.Errorf("Open of an unknown name: %v, want ErrPermanent", err)
	}
	if _, err := s.Open(t.Context(), "nobody"); !errors.Is(err, maildrop.ErrPermanent) {
		t.Errorf("second Open of an unknown name: %v; the first must not have made it", err)
	}
}

func TestCreateKeepsMessages(t *testing.T) {
	s := New()
	if _, err := s.Deliver(t.Context(), "a", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	s.Create("a")
	m, err := s.Open(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(m.Messages()); n != 1 {
		t.Errorf("%d messages after Create of a maildrop that exists, want 1", n)
	}
}

func TestAdd(t *testing.T) {
	s := New()
	for _, uid := range []string{"", "a b", "a\n", "é", strings.Repeat("x", 71)} {
		if err := s.Add("a", uid, nil); err == nil {
			t.Errorf("Add with UID %q succeeds", uid)
		}
	}
	if err := s.Add("a", "one", []byte("x")); err != nil {
		t.Fatal(err)
	}
	m, err := s.Open(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if uid := m.Messages()[0].UID; uid != "one" {
		t.Errorf("UID is %q, want one", uid)
	}
	if err := m.Remove(t.Context(), []int{0}); err != nil {
		t.Fatal(err)
	}
	if err := s.Add("a", "one", []byte("y")); err == nil {
		t.Error("Add with the UID of a message that was removed succeeds")
	}
}

// TestStoresDiffer: a client that meets a new Store must not take its first
// message for the first message of the old one.
func TestStoresDiffer(t *testing.T) {
	seen := make(map[string]bool)
	for range 10 {
		receipt, err := New().Deliver(t.Context(), "a", strings.NewReader("x"))
		if err != nil || seen[receipt.UID] {
			t.Errorf("first UID of a new Store is %q, error %v", receipt.UID, err)
		}
		seen[receipt.UID] = true
	}
}

func TestMisuse(t *testing.T) {
	s := New()
	for _, uid := range []string{"1", "2"} {
		if err := s.Add("a", uid, []byte(uid)); err != nil {
			t.Fatal(err)
		}
	}
	m, err := s.Open(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Open(cancelled, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Open with a context that has ended: %v", err)
	}
	for _, i := range []int{-1, 2} {
		if _, err := m.Open(t.Context(), i); err == nil {
			t.Errorf("Open of message %d succeeds", i)
		}
	}
	if err := m.Remove(t.Context(), []int{-1, 1, 2}); err == nil {
		t.Error("Remove of messages -1 and 2 succeeds")
	}
	if _, err := m.Open(t.Context(), 1); !errors.Is(err, maildrop.ErrGone) {
		t.Errorf("Open of the message removed beside them: %v, want ErrGone", err)
	}
	m.Close()
	if _, err := m.Open(t.Context(), 0); err == nil {
		t.Error("Open after Close succeeds")
	}
	if err := m.Remove(t.Context(), []int{0}); err == nil {
		t.Error("Remove after Close succeeds")
	}
	if m, err = s.Open(t.Context(), "a"); err != nil || len(m.Messages()) != 1 {
		t.Errorf("after Remove behind Close there are %v, error %v; want one message", m.Messages(), err)
	}
}

func Example() {
	s := New()
	s.Add("alice", "uid-1", []byte("Subject: hello\n\nHello, Alice.\n"))
	m, err := s.Open(context.Background(), "alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	for i, msg := range m.Messages() {
		fmt.Println(i, msg.UID, msg.Size)
	}
	r, err := m.Open(context.Background(), 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	content, _ := io.ReadAll(r)
	fmt.Printf("%q\n", content)
	// Output:
	// 0 uid-1 33
	// "Subject: hello\n\nHello, Alice.\n"
}
