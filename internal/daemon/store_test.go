package daemon

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
	"github.com/poplin-mail/poplin/pop3client"
)

// inBucket is a configuration whose maildrops are in an object store with
// those buckets.
func inBucket(t *testing.T, buckets ...string) (*config.Config, *buckettest.Server) {
	t.Helper()
	objects := buckettest.NewServer(buckets...)
	server := httptest.NewServer(objects)
	t.Cleanup(server.Close)
	cfg := newConfig(t)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("0a", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Maildrops.Store = config.Bucket
	b := &cfg.Maildrops.Bucket
	b.Endpoints, b.AccessKey, b.SecretKey, b.Buckets, b.KeyFiles = []string{server.URL, server.URL}, "access", "secret", 2, []string{key}
	if err := os.MkdirAll(cfg.State, 0o700); err != nil {
		t.Fatal(err)
	}
	return cfg, objects
}

// TestBucket: buckets are made, the store is tried out, mail is delivered,
// retrieved, removed, kept for undelete, and expired.
func TestBucket(t *testing.T) {
	cfg, objects := inBucket(t)
	if err := CheckStore(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "all buckets are there") || !strings.HasSuffix(err.Error(), " (`poplin bucket init` makes them)") {
		t.Errorf("a store without the buckets: %v", err)
	}
	made, err := MakeBuckets(t.Context(), cfg)
	if err != nil || len(made) != 2 || !made[0].Made || made[0].Bucket != "mail-00" {
		t.Errorf("MakeBuckets: %+v, %v", made, err)
	}
	if made, err = MakeBuckets(t.Context(), cfg); err != nil || made[1].Made {
		t.Errorf("MakeBuckets again: %+v, %v", made, err)
	}
	if err := CheckStore(t.Context(), cfg, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	agent, done, err := Agent(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	defer agent.Store.(interface{ Close() error }).Close()
	for _, text := range []string{"Subject: one\n\nx\n", "Subject: two\n\ny\n", "Subject: three\n\nz\n"} {
		if _, err := agent.Store.Deliver(t.Context(), "anna", strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Retention.Expire = 24 * time.Hour
	cfg.Console.Listen = []string{"127.0.0.1:0"}
	d, _ := start(t, cfg)
	opts := trust(t, pairBelow(cfg.State).Certificate)
	c, err := pop3client.Dial(t.Context(), d.Addrs()[1].Addr.String(), opts)
	if err := logIn(t, c, err, "secret"); err != nil {
		t.Fatal(err)
	}
	if stat, err := c.Stat(t.Context()); err != nil || stat.Messages != 3 {
		t.Errorf("STAT: %+v, %v", stat, err)
	}
	if err := c.Dele(t.Context(), 2); err != nil {
		t.Error(err)
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Errorf("QUIT: %v", err)
	}
	if u, err := agent.Store.Usage(t.Context(), "anna"); err != nil || u.Messages != 2 {
		t.Errorf("after QUIT there are %+v, %v", u, err)
	}
	for _, name := range []string{"mail-00", "mail-01"} {
		for _, key := range objects.Objects.Store.Keys(name, "") {
			if strings.Contains(key, "/m/") && !strings.HasSuffix(key, ".s") {
				t.Errorf("message %s is not encrypted", key)
			}
		}
	}
	_, text := get(t, d, "/metrics")
	for _, want := range []string{`calls_total{op="list",outcome="ok"} 1`, `calls_total{op="put",outcome="ok"} 2`, `calls_total{op="delete",outcome="ok"} 2`,
		`requests_total{class="write",status="2xx"} 3`, `requests_total{class="delete",status="2xx"} 2`} {
		if !strings.Contains(text, "\npoplin_bucket_"+want+"\n") {
			t.Errorf("the metrics lack poplin_bucket_%s", want)
		}
	}
	u, err := Undeleter(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := u.Undelete(t.Context(), "anna", time.Time{}); err != nil || n != 0 {
		t.Errorf("Undelete: %d, %v", n, err)
	}
	e, finish, err := NewExpiry(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer finish()
	if names, err := e.Names(t.Context()); err != nil || len(names) != 1 || names[0] != "anna" {
		t.Errorf("Names: %q, %v", names, err)
	}
	if x, err := e.Run(t.Context(), "anna", false); err != nil || x.Messages != 0 {
		t.Errorf("expired: %+v, %v", x, err)
	}
	for _, store := range []any{u, e.store} {
		store.(interface{ Close() error }).Close()
	}
}

// TestBucketFails: what is wrong with the store, and what is not one.
func TestBucketFails(t *testing.T) {
	cfg, objects := inBucket(t, "mail-00", "mail-01")
	objects.Objects.Fault = func(c buckettest.Call) buckettest.Fault {
		if c.Op == "list" {
			return buckettest.Stale
		}
		return buckettest.None
	}
	if err := CheckStore(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "listings show what was written") {
		t.Errorf("a store that lists late: %v", err)
	}
	for name, spoil := range map[string]func(c *config.Config){
		"key_files":       func(c *config.Config) { c.Maildrops.Bucket.KeyFiles = []string{c.Users.File} },
		"ca_file":         func(c *config.Config) { c.Maildrops.Bucket.CAFile = "/none" },
		"secret_key_file": func(c *config.Config) { c.Maildrops.Bucket.SecretKeyFile = "/none" },
	} {
		other := *cfg
		spoil(&other)
		if _, err := New(&other, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if wrong := CheckFiles(&other); len(wrong) != 1 || !strings.Contains(wrong[0].Error(), name) {
			t.Errorf("%s: CheckFiles says %v", name, wrong)
		}
	}
	cfg.Maildrops.Store, cfg.Maildrops.Bucket.Endpoints = config.Maildir, nil
	_, err1 := MakeBuckets(t.Context(), cfg)
	_, err2 := CheckBucket(t.Context(), cfg)
	if err1 == nil || err2 == nil || CheckStore(t.Context(), cfg, slog.New(slog.DiscardHandler)) != nil {
		t.Errorf("without a bucket: %v, %v", err1, err2)
	}
	cfg.Maildrops.Store = config.Memory
	if _, err := Undeleter(cfg, nil); err == nil {
		t.Error("memory keeps removed messages for another process")
	}
}

// TestBucketEndpointDown: a server starts while a gateway is down that its
// mail does not go through; the one for the mail must answer.
func TestBucketEndpointDown(t *testing.T) {
	cfg, _ := inBucket(t, "mail-00", "mail-01")
	good := cfg.Maildrops.Bucket.Endpoints[0]
	down := httptest.NewServer(nil)
	down.Close()
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	cfg.Maildrops.Bucket.Endpoints = []string{good, down.URL}
	if err := CheckStore(t.Context(), cfg, logger); err != nil || !strings.Contains(log.String(), down.URL) {
		t.Errorf("the second is down: %v, log %q", err, &log)
	}
	found, err := CheckBucket(t.Context(), cfg)
	if err != nil || len(found) == 0 || found[0].Err == nil {
		t.Errorf("CheckBucket does not say that the second is down: %+v, %v", found, err)
	}
	cfg.Maildrops.Bucket.Endpoints = []string{down.URL, good}
	if err := TryStore(t.Context(), cfg, logger); !errors.As(err, new(passing)) || !strings.Contains(err.Error(), "the store answers: ") || !strings.Contains(err.Error(), "see whether endpoints has") {
		t.Errorf("the endpoint of the mail is down: %v", err)
	}
}
