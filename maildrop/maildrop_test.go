package maildrop_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/poplin-mail/poplin/maildrop"
)

func TestSize(t *testing.T) {
	for content, want := range map[string]int64{
		"": 0, "a": 3, "a\n": 3, "a\r\n": 3, "\n": 2, "\r": 3, "\r\r\n": 3, "a\nb\r\nc": 9, ".\n": 3, "\n\r": 5, "\x00\xff": 4,
	} {
		if got, err := maildrop.Size(iotest.OneByteReader(strings.NewReader(content))); got != want || err != nil {
			t.Errorf("Size of %q is %d, error %v; want %d", content, got, err, want)
		}
	}
	fault := errors.New("fault")
	if _, err := maildrop.Size(iotest.ErrReader(fault)); !errors.Is(err, fault) {
		t.Errorf("Size of a reader that fails: error %v", err)
	}
}

// TestErrorsDiffer: each of the errors calls for another reply.
func TestErrorsDiffer(t *testing.T) {
	all := []error{maildrop.ErrInUse, maildrop.ErrTemporary, maildrop.ErrPermanent, maildrop.ErrGone, maildrop.ErrReadOnly}
	for i, a := range all {
		for j, b := range all {
			if errors.Is(a, b) != (i == j) {
				t.Errorf("errors.Is(%v, %v) is %v", a, b, i != j)
			}
		}
	}
}

func TestValidKey(t *testing.T) {
	for key, want := range map[string]bool{
		"a": true, "az09-_": true, strings.Repeat("k", 64): true,
		"": false, strings.Repeat("k", 65): false, "A": false, "a.b": false, "a/b": false, "a b": false, "`": false, "{": false, "\xe4": false, "a\x00": false,
	} {
		if got := maildrop.ValidKey(key); got != want {
			t.Errorf("ValidKey(%q) is %v", key, got)
		}
	}
}
