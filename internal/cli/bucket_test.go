package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

func TestBucketCommands(t *testing.T) {
	objects := buckettest.NewServer()
	server := httptest.NewServer(objects)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	file := filepath.Join(dir, "poplin.toml")
	text := fmt.Sprintf("state = %q\n[maildrops]\nstore = \"bucket\"\n[maildrops.bucket]\nendpoints = %q\naccess_key = \"a\"\nsecret_key = \"s\"\nbuckets = 2\n", dir, server.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	objects.Answer(func(w http.ResponseWriter, _ *http.Request) bool {
		buckettest.Failure(w, http.StatusForbidden, "InvalidAccessKeyId")
		return true
	})
	if out, _ := printed(t, 1, "bucket", "check", "--config", file); !strings.HasPrefix(out, "FAILED the store answers, and takes the credentials: ") ||
		!strings.Contains(out, "InvalidAccessKeyId") || !strings.HasSuffix(out, " and may list, read, write and delete\n") || strings.Count(out, "\n") != 1 {
		t.Errorf("with wrong credentials: %s", out)
	}
	objects.Answer(nil)
	runs(t, 1, "ok     the store answers, and takes the credentials\nok     the number of buckets is what it was\nFAILED all buckets are there: bucket mail-00: ", "bucket", "check", "--config", file)
	runs(t, 1, ": `poplin bucket init` makes them\n", "bucket", "check", "--config", file)
	runs(t, 0, "mail-00: made\nmail-01: made\n", "bucket", "init", "--config", file)
	runs(t, 0, `"made": false`, "bucket", "init", "--json", "--config", file)
	runs(t, 0, "The store may be used for maildrops.", "bucket", "check", "--config", file)
	runs(t, 0, `"ok": true`, "bucket", "check", "--json", "--config", file)

	// The number of buckets is another one: nothing is made.
	for _, line := range []string{"", "buckets = 4\n"} {
		if err := os.WriteFile(file, []byte(strings.Replace(text, "buckets = 2\n", line, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		runs(t, 1, "maildrops were spread over \"2\" buckets, and now buckets is ", "bucket", "init", "--config", file)
		runs(t, 1, "FAILED the number of buckets is what it was: maildrops were spread over \"2\" buckets, and now buckets is ", "bucket", "check", "--config", file)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	runs(t, 0, "mail-01: was there\n", "bucket", "init", "--config", file)
	objects.Objects.Fault = func(c buckettest.Call) buckettest.Fault {
		if c.Op == "list" {
			return buckettest.Stale
		}
		return buckettest.None
	}
	runs(t, 1, "FAILED listings show what was written", "bucket", "check", "--config", file)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	runs(t, 1, `maildrops.store is "maildir"`, "bucket", "check", "--config", file)
	runs(t, 1, `maildrops.store is "maildir"`, "bucket", "init", "--config", file)
}
