package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestSecretKey: one secret for an installation, whoever asks first.
func TestSecretKey(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	var mu sync.Mutex
	var keys [][]byte
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			key, err := secretKey(state)
			if err != nil || len(key) != 32 {
				t.Errorf("key of %d octets, error %v", len(key), err)
			}
			mu.Lock()
			defer mu.Unlock()
			keys = append(keys, key)
		})
	}
	wg.Wait()
	for _, key := range keys {
		if !bytes.Equal(key, keys[0]) || bytes.Equal(key, make([]byte, 32)) {
			t.Fatal("two secrets for one installation")
		}
	}
	if left, _ := filepath.Glob(filepath.Join(state, ".*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	path := filepath.Join(state, "secret")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := secretKey(state); err == nil {
		t.Error("a secret that others may read is taken")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secretKey(state); err == nil {
		t.Error("an empty secret is taken")
	}
}

func TestNetworks(t *testing.T) {
	got := fmt.Sprint(networks([]string{"192.0.2.1", "10.1.2.3/8", "2001:db8::1", "2001:db8::1/32"}))
	if want := "[192.0.2.1/32 10.0.0.0/8 2001:db8::1/128 2001:db8::/32]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
