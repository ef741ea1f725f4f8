package daemon

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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

// TestSharedSecret: servers with the same file tell strangers the same, and say
// what is wrong with a file.
func TestSharedSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shared")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Repeat("0a", 32)+"\n", 0o640)
	var salts []string
	for range 2 {
		cfg := newConfig(t)
		cfg.Users.SecretFile = file
		writeUsers(t, cfg, "anna:{PLAIN}secret\n")
		d, _ := start(t, cfg)
		salts = append(salts, stranger(t, d, pairBelow(cfg.State).Certificate))
		if _, err := os.Lstat(filepath.Join(cfg.State, "secret")); err == nil {
			t.Error("there is a secret below state too")
		}
	}
	if salts[0] != salts[1] {
		t.Errorf("a stranger sees salt %s at one server, and %s at another", salts[0], salts[1])
	}
	other := newConfig(t)
	d, _ := start(t, other)
	if salt := stranger(t, d, pairBelow(other.State).Certificate); salt == salts[0] {
		t.Error("a server with a secret of its own has the same salt: the file does not count")
	}
	for text, mode := range map[string]os.FileMode{strings.Repeat("0a", 31): 0o600, strings.Repeat("0a", 33): 0o600, strings.Repeat("xy", 32): 0o600, strings.Repeat("0b", 32): 0o644} {
		write(text, mode)
		cfg := newConfig(t)
		cfg.Users.SecretFile = file
		if _, err := New(cfg, nil); err == nil || !strings.HasPrefix(err.Error(), "users.secret_file: ") || strings.Contains(err.Error(), text) {
			t.Errorf("%d digits, mode %v: %v", len(text), mode, err)
		}
		if wrong := CheckFiles(cfg); len(wrong) != 1 || !strings.HasPrefix(wrong[0].Error(), "users.secret_file: ") {
			t.Errorf("%d digits, mode %v: CheckFiles says %v", len(text), mode, wrong)
		}
	}
}

// stranger begins SCRAM with a name that nobody has, and gives the salt.
func stranger(t *testing.T, d *Daemon, certificate string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", d.Addrs()[1].Addr.String(), trust(t, certificate).TLSConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := bufio.NewReader(conn)
	lines.ReadString('\n')
	fmt.Fprintf(conn, "AUTH SCRAM-SHA-256 %s\r\n", base64.StdEncoding.EncodeToString([]byte("n,,n=nobody,r=abcdefghijklmnop")))
	line, err := lines.ReadString('\n')
	first, decoding := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(line, "+ ")))
	if err != nil || decoding != nil {
		t.Fatalf("%q, %v", line, err)
	}
	_, salt, ok := strings.Cut(string(first), ",s=")
	if !ok {
		t.Fatalf("%q has no salt", first)
	}
	return salt
}

func TestNetworks(t *testing.T) {
	got := fmt.Sprint(networks([]string{"192.0.2.1", "10.1.2.3/8", "2001:db8::1", "2001:db8::1/32"}))
	if want := "[192.0.2.1/32 10.0.0.0/8 2001:db8::1/128 2001:db8::/32]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
