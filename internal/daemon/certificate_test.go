package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

const (
	errEACCES        = syscall.EACCES
	errEADDRNOTAVAIL = syscall.EADDRNOTAVAIL
)

func TestSelfSigned(t *testing.T) {
	state := filepath.Join(t.TempDir(), "a", "state")
	p, err := SelfSigned(state, "mail.example.org")
	if err != nil || !p.New {
		t.Fatalf("%+v, %v", p, err)
	}
	pair, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "mail.example.org"} {
		if err := pair.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if key, ok := pair.PrivateKey.(*ecdsa.PrivateKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("key %T", pair.PrivateKey)
	}
	if pair.Leaf.IsCA {
		t.Error("who trusts the certificate would trust everything that its key signs")
	}
	if info, err := os.Stat(p.Key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: mode %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("state: mode %v, %v", info.Mode(), err)
	}

	before := readFile(t, p.Certificate)
	if again, err := SelfSigned(state, "mail.example.org"); err != nil || again.New || readFile(t, p.Certificate) != before {
		t.Errorf("the certificate was not kept: %+v, %v", again, err)
	}
	if other, err := SelfSigned(state, "pop.example.org"); err != nil || !other.New {
		t.Errorf("a certificate for another host was kept: %+v, %v", other, err)
	}
	if err := os.WriteFile(p.Key, []byte("cut short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if mended, err := SelfSigned(state, "pop.example.org"); err != nil || !mended.New {
		t.Errorf("a broken pair was kept: %+v, %v", mended, err)
	}
	if left, err := os.ReadDir(state); err != nil || len(left) != 2 {
		t.Errorf("files in state: %v, %v", left, err)
	}
	if byAddress, err := SelfSigned(t.TempDir(), "192.0.2.1"); err != nil || !usable(byAddress, "192.0.2.1") {
		t.Errorf("a certificate for an address: %v", err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
