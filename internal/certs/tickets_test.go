package certs

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// resumes tells whether a client that has a ticket of one server is taken by
// another without a certificate.
func resumes(t *testing.T, from, to *Certificates, version uint16) bool {
	t.Helper()
	config := &tls.Config{ServerName: "one.example", InsecureSkipVerify: true, MaxVersion: version,
		ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	handshake(t, from, config)
	for range 500 { // the ticket of TLS 1.3 comes behind the handshake
		if _, ok := config.ClientSessionCache.Get("one.example"); ok {
			break
		}
		time.Sleep(time.Millisecond)
	}
	client, server := handshake(t, to, config)
	if client.DidResume != server.DidResume {
		t.Fatalf("the client resumes: %v, the server: %v", client.DidResume, server.DidResume)
	}
	return client.DidResume
}

// Servers that share a file take each other's tickets, before and after the
// key that makes them is changed, until it is taken out of the file.
func TestTicketKeys(t *testing.T) {
	dir := t.TempDir()
	certificate := pair(t, dir, "a", time.Now().Add(1000*time.Hour), "one.example")
	file := filepath.Join(dir, "tickets")
	old, next := strings.Repeat("0a", 32)+"\n", strings.Repeat("B1", 32)+"\n"
	node := func(keys string) *Certificates {
		t.Helper()
		write(t, file, []byte(keys))
		c, err := New(Options{Pairs: []Pair{certificate}, TicketKeys: file})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, knows, second, last := node("# a comment\n\n"+old), node(old+next), node(next+old), node(next)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, tt := range []struct {
			what     string
			from, to *Certificates
			want     bool
		}{
			{"the same key", first, first, true},
			{"the same key elsewhere", first, knows, true},
			{"a key that makes no tickets any more", first, second, true},
			{"a key that makes none yet", second, knows, true},
			{"a key that is gone", first, last, false},
			{"a key that is not there yet", second, first, false},
		} {
			if got := resumes(t, tt.from, tt.to, version); got != tt.want {
				t.Errorf("%s, %s: resumed %v", tls.VersionName(version), tt.what, got)
			}
		}
	}
}

func TestTicketKeysWrong(t *testing.T) {
	dir := t.TempDir()
	certificate := pair(t, dir, "a", time.Now().Add(1000*time.Hour), "one.example")
	file := filepath.Join(dir, "tickets")
	key := strings.Repeat("0a", 32)
	for what, keys := range map[string]string{
		"empty":      "",
		"short":      key[2:],
		"long":       key + "00",
		"not hex":    "xy" + key[2:],
		"not alone":  key + " " + key,
		"one of two": key + "\n" + key[1:],
		"too many":   strings.Repeat(key+"\n", maxTicketKeys+1),
	} {
		write(t, file, []byte(keys))
		_, err := New(Options{Pairs: []Pair{certificate}, TicketKeys: file})
		if err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "0a0a") {
			t.Errorf("%s: %v", what, err)
		}
	}
	write(t, file, []byte(key))
	c, err := New(Options{Pairs: []Pair{certificate}, TicketKeys: file})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o604); err != nil {
		t.Fatal(err)
	}
	if err := c.Reload(); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("open to others: %v", err)
	}
	if !resumes(t, c, c, tls.VersionTLS13) {
		t.Error("the keys that were read before are no longer used")
	}
	before := c.signature()
	write(t, file, []byte(strings.Repeat("0b", 32)+"\n"))
	if c.signature() == before {
		t.Error("a change of the keys is not seen")
	}
}
