package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
	"github.com/poplin-mail/poplin/maildrop/maildir"
)

// moveBed is an installation with Maildirs and an object store.
type moveBed struct {
	*testing.T
	dir, file string
	url       string
	objects   *buckettest.Server
	maildirs  *maildir.Store
	buckets   *bucket.Store
}

func newMoveBed(t *testing.T) *moveBed {
	t.Helper()
	b := &moveBed{T: t, dir: t.TempDir(), objects: buckettest.NewServer("mail-00", "mail-01")}
	server := httptest.NewServer(b.objects)
	t.Cleanup(server.Close)
	b.url, b.file = server.URL, filepath.Join(b.dir, "poplin.toml")
	b.write("users", "Anna:{PLAIN}x\nbert:{PLAIN}x\ncarl:{PLAIN}x\n")
	b.serves("maildir")
	var err error
	if b.maildirs, err = maildir.New(maildir.Options{Path: b.dir + "/mail/{user}"}); err != nil {
		t.Fatal(err)
	}
	if b.buckets, err = bucket.New(bucket.Options{Engine: b.objects.Objects, Bucket: "mail", Buckets: 2}); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"Anna", "bert", "gone"} {
		if err := b.maildirs.Create(t.Context(), user); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *moveBed) write(name, text string) {
	b.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

// serves writes the configuration, with the store that users see.
func (b *moveBed) serves(store string) {
	b.Helper()
	b.write("poplin.toml", fmt.Sprintf("state = \"state\"\n[maildrops]\nstore = %q\npath = \"mail/{user}\"\n[maildrops.bucket]\nendpoints = [%q]\naccess_key = \"a\"\nsecret_key = \"s\"\nbuckets = 2\n", store, b.url))
}

// poplin runs poplin move between Maildirs and buckets.
func (b *moveBed) poplin(code int, from, to string, args ...string) (out, errs string) {
	b.Helper()
	return printed(b.T, code, append([]string{"move", "--config", b.file, "--from", from, "--to", to}, args...)...)
}

func (b *moveBed) deliver(s maildrop.Deliverer, user string, texts ...string) {
	b.Helper()
	for _, text := range texts {
		if _, err := s.Deliver(b.Context(), user, strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}

// uids gives what UIDL says.
func (b *moveBed) uids(s maildrop.Store, user string) []string {
	b.Helper()
	m, err := s.Open(b.Context(), user)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	uids := []string{}
	for _, msg := range m.Messages() {
		uids = append(uids, msg.UID)
	}
	return uids
}

// TestMoveInstallation: a whole installation goes into buckets as the manual
// says, and back.
func TestMoveInstallation(t *testing.T) {
	b := newMoveBed(t)
	b.deliver(b.maildirs, "Anna", "Subject: 1\n\nx\n", "Subject: 2\n\ny\n")
	b.deliver(b.maildirs, "bert", "Subject: 3\n\nz\n")
	anna := b.uids(b.maildirs, "Anna")
	wants := func(what string, s maildrop.Store, user string, want []string) {
		t.Helper()
		if got := b.uids(s, user); !slices.Equal(got, want) {
			t.Errorf("%s: %s has %q, want %q", what, user, got, want)
		}
	}

	out, errs := b.poplin(0, "maildir", "bucket", "--all", "--dry-run")
	if !strings.Contains(out, "Anna: 2 messages, 34 octets: 2 would be copied, ") || !strings.Contains(out, "3 maildrops, 3 messages, 51 octets: 3 would be copied\n") || errs != "" {
		t.Errorf("a dry run says %s%s", out, errs)
	}
	wants("dry run", b.buckets, "Anna", []string{})

	// The source is live: it stays.
	out, errs = b.poplin(0, "maildir", "bucket", "--all")
	if !strings.Contains(out, "bert: 1 message, 17 octets: 1 copied, ") || !strings.Contains(out, "3 maildrops, 3 messages, 51 octets: 3 copied, 0 removed from the source\nUsers still see the source") || errs != "" {
		t.Errorf("it says %s%s", out, errs)
	}
	wants("copied", b.maildirs, "Anna", anna)
	wants("copied", b.buckets, "Anna", anna)
	// One is removed by its user, one comes.
	m, err := b.maildirs.Open(t.Context(), "Anna")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(t.Context(), []int{0}); err != nil {
		t.Fatal(err)
	}
	m.Close()
	b.deliver(b.maildirs, "Anna", "Subject: 4\n\nnew\n")
	anna = b.uids(b.maildirs, "Anna")
	out, _ = b.poplin(0, "maildir", "bucket", "anna")
	if !strings.HasPrefix(out, "anna: 2 messages, 36 octets: 1 copied, 1 there before, 1 gone from the source and so from the destination, ") {
		t.Errorf("the second run says %s", out)
	}
	wants("again", b.buckets, "Anna", anna)

	// The destination is live: the source is emptied of what is left, and of
	// what came between.
	b.deliver(b.maildirs, "Anna", "Subject: 5\n\nlate\n")
	late := b.uids(b.maildirs, "Anna")[2:]
	b.serves("bucket")
	m, err = b.buckets.Open(t.Context(), "bert")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(t.Context(), []int{0}); err != nil { // its user has retrieved it
		t.Fatal(err)
	}
	m.Close()
	b.write("list", "# our users\nAnna\n\n bert \nAnna\n")
	out, errs = b.poplin(0, "maildir", "bucket", "--list", filepath.Join(b.dir, "list"), "--json")
	var lines []moved
	for line := range strings.Lines(out) {
		var m moved
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		if m.Seconds = 0; m.User != "" {
			lines = append(lines, m)
		}
	}
	slices.SortFunc(lines, func(a, b moved) int { return strings.Compare(a.User, b.User) })
	if got := fmt.Sprintf("%+v", lines); got != "[{User:Anna Messages:3 Octets:56 Copied:1 There:2 Compared:3 Removed:3 Dropped:0 Gone:0 Left:0 Seconds:0 Failed:[] Error: err:<nil> part:false}"+
		" {User:bert Messages:1 Octets:17 Copied:0 There:0 Compared:0 Removed:0 Dropped:1 Gone:0 Left:0 Seconds:0 Failed:[] Error: err:<nil> part:false}]" {
		t.Errorf("JSON says %s", got)
	}
	if !strings.Contains(out, `{"summary":{"maildrops":2,"done":2,"failed":0,"not_begun":0,"messages":4,"octets":73,"copied":1,"removed":3,"left":0}}`) || errs != "" {
		t.Errorf("JSON says %s%s", out, errs)
	}
	anna = append(anna, late...)
	wants("moved", b.buckets, "Anna", anna)
	wants("moved", b.maildirs, "Anna", []string{})
	wants("moved", b.buckets, "bert", []string{})
	wants("moved", b.maildirs, "bert", []string{})

	// And back, at once.
	out, _ = b.poplin(0, "bucket", "maildir", "--all", "--empty")
	if !strings.Contains(out, "Anna: 3 messages, 56 octets: 3 copied, 3 removed from the source, ") {
		t.Errorf("the way back: %s", out)
	}
	wants("back", b.maildirs, "Anna", anna)
	wants("back", b.buckets, "Anna", []string{})
	if out, errs := b.poplin(0, "bucket", "maildir", "--all", "--quiet"); out+errs != "" {
		t.Errorf("--quiet says %q, %q", out, errs)
	}
}

// TestMoveFails: what is wrong with some does not stop the others, and the exit
// code says what it was.
func TestMoveFails(t *testing.T) {
	b := newMoveBed(t)
	b.serves("bucket")
	b.deliver(b.maildirs, "Anna", "Subject: 1\n\nx\n", "Subject: 2\n\ny\n")
	b.deliver(b.maildirs, "bert", "Subject: 3\n\nz\n")
	for text, args := range map[string][]string{
		"name users, or a file":        nil,
		"--all is all maildrops":       {"--all", "anna"},
		"contrary":                     {"--keep", "--empty", "anna"},
		"--at-once is below 1":         {"--at-once=0", "anna"},
		"--to must be one of":          {"--to", "memory", "anna"},
		"--from and --to are the same": {"--to", "maildir", "anna"},
	} {
		if _, errs := b.poplin(2, "maildir", "bucket", args...); !strings.Contains(errs, text) {
			t.Errorf("%q: it says %q", args, errs)
		}
	}
	// A session is open.
	m, err := b.buckets.Open(t.Context(), "Anna")
	if err != nil {
		t.Fatal(err)
	}
	out, errs := b.poplin(exitTryAgain, "maildir", "bucket", "anna", "bert", "--wait=0s")
	if !strings.Contains(errs, "poplin: anna: a session is open: destination: ") || !strings.Contains(out, "1 failed, 1 of these as they are in use") {
		t.Errorf("in use: %s%s", out, errs)
	}
	m.Close()
	if got := b.uids(b.buckets, "bert"); len(got) != 1 {
		t.Errorf("the other one has %q", got)
	}
	// Nobody of that name, and a user who has no Maildir.
	_, errs = b.poplin(1, "maildir", "bucket", "nobody", "carl")
	if !strings.Contains(errs, "carl: source: maildir: no Maildir at ") || !strings.Contains(errs, "nobody: there is no user of that name, and no mail for one\n") {
		t.Errorf("without Maildirs: %s", errs)
	}
	_, errs = b.poplin(1, "bucket", "maildir", "nobody", "--wait=0s")
	if !strings.Contains(errs, "nobody: there is no user of that name, and no mail for one") {
		t.Errorf("nobody: %s", errs)
	}
	// The copy is not the same: nothing is removed.
	b.poplin(0, "maildir", "bucket", "anna", "--keep")
	for _, key := range b.objects.Objects.Store.Keys("mail-00", "") {
		b.spoil("mail-00", key)
	}
	for _, key := range b.objects.Objects.Store.Keys("mail-01", "") {
		b.spoil("mail-01", key)
	}
	out, errs = b.poplin(1, "maildir", "bucket", "anna")
	if !strings.Contains(errs, "poplin: anna: message ") || !strings.Contains(errs, "the copy: ") || !strings.Contains(errs, "poplin: anna: 2 of 2 messages not brought over: nothing was removed\n") {
		t.Errorf("a copy that is spoilt: %s%s", out, errs)
	}
	if got := b.uids(b.maildirs, "Anna"); len(got) != 2 {
		t.Errorf("the source has %q", got)
	}
	// The list is not there; the other store is not configured.
	b.poplin(1, "maildir", "bucket", "--list", filepath.Join(b.dir, "none"))
	b.write("poplin.toml", "state = \"state\"\n[maildrops]\npath = \"mail/{user}\"\n")
	_, errs = b.poplin(1, "maildir", "bucket", "--all")
	if !strings.Contains(errs, "maildrops.bucket.endpoints is empty") {
		t.Errorf("without an object store: %s", errs)
	}
	b.write("poplin.toml", "[maildrops]\nstore = \"memory\"\n")
	_, errs = b.poplin(1, "maildir", "bucket", "--all")
	if !strings.Contains(errs, `maildrops.store is "memory"`) {
		t.Errorf("memory: %s", errs)
	}
}

// spoil changes an octet of a message of Anna's.
func (b *moveBed) spoil(in, key string) {
	b.Helper()
	if !strings.Contains(key, "/Anna/m/") {
		return
	}
	o, err := b.objects.Objects.Get(b.Context(), in, key, bucket.How{})
	if err == nil {
		text := make([]byte, o.Size)
		_, err = o.Body.Read(text)
		text[0] ^= 1
		err = errors.Join(err, b.objects.Objects.Put(b.Context(), in, key, strings.NewReader(string(text)), o.Size))
	}
	if err != nil {
		b.Fatal(err)
	}
}

// TestMoveWithoutBuckets: one error, before any maildrop, which says what to do.
func TestMoveWithoutBuckets(t *testing.T) {
	b := newMoveBed(t)
	b.objects.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		missing := strings.HasPrefix(r.URL.Path, "/mail-01")
		if missing {
			buckettest.Failure(w, http.StatusNotFound, "NoSuchBucket")
		}
		return missing
	})
	for _, args := range [][]string{{"maildir", "bucket", "--all"}, {"maildir", "bucket", "--all", "--dry-run"}, {"bucket", "maildir", "Anna", "bert", "--dry-run"}} {
		out, errs := b.poplin(exitFailure, args[0], args[1], args[2:]...)
		if out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "bucket mail-01: ") || !strings.HasSuffix(errs, "(`poplin bucket init` makes them)\n") {
			t.Errorf("%q: %s%s", args, out, errs)
		}
	}
	for _, key := range b.objects.Objects.Store.Keys("mail-00", "") {
		t.Errorf("%s was written", key)
	}
}

// TestMoveFromStandardInput: a list, and a store that is tried out before.
func TestMoveFromStandardInput(t *testing.T) {
	b := newMoveBed(t)
	b.deliver(b.maildirs, "bert", "Subject: 3\n\nz\n")
	var out strings.Builder
	if code := Run(t.Context(), []string{"move", "--config", b.file, "--from=maildir", "--to=bucket", "--list=-"}, strings.NewReader("bert\r\n"), &out, &out); code != 0 || len(b.uids(b.buckets, "bert")) != 1 {
		t.Errorf("exit code %d, %s", code, &out)
	}
	if strings.Contains(out.String(), "\x1b") || strings.Contains(out.String(), "\r") {
		t.Errorf("through a pipe it says %q", &out)
	}
	b.objects.Objects.Fault = func(c buckettest.Call) buckettest.Fault {
		if c.Op == "list" {
			return buckettest.Stale
		}
		return buckettest.None
	}
	if _, errs := b.poplin(1, "maildir", "bucket", "bert"); !strings.Contains(errs, "the store cannot be used") {
		t.Errorf("a store that lists late: %s", errs)
	}
}

// TestMoveErrors: what ended a maildrop is said in words.
func TestMoveErrors(t *testing.T) {
	for want, err := range map[string]error{
		"a session is open: ": fmt.Errorf("source: %w", maildrop.ErrInUse),
		"stopped: ":           fmt.Errorf("message 1: %w", context.Canceled),
		"broken":              errors.New("broken"),
	} {
		got := newMoved("anna", move.Result{}, err, "copying", time.Second)
		if !strings.HasPrefix(got.Error, want) || got.err != err || got.part {
			t.Errorf("%v is told as %q, want %q", err, got.Error, want)
		}
		got = newMoved("anna", move.Result{}, err, "emptying", time.Second)
		if !got.part || want == "stopped: " && !strings.HasPrefix(got.Error, "stopped while the source was emptied, ") {
			t.Errorf("%v, emptying, is told as %q", err, got.Error)
		}
	}
}
