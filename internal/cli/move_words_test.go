package cli

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// TestMoveThere: the line says of all messages what became of them, also where
// the note of an earlier run is lost.
func TestMoveThere(t *testing.T) {
	b := newMoveBed(t)
	b.deliver(b.maildirs, "Anna", "Subject: 1\n\nx\n", "Subject: 2\n\ny\n")
	says := func(want string, args ...string) {
		t.Helper()
		out, errs := b.poplin(0, "maildir", "bucket", append(args, "Anna")...)
		line, _, _ := strings.Cut(out, "\n")
		if got := line[:max(0, strings.LastIndex(line, ", "))]; got != "Anna: "+want {
			t.Errorf("it says %s%s, want %s", out, errs, want)
		}
	}
	says("2 messages, 34 octets: 2 copied")
	says("2 messages, 34 octets: 0 copied, 2 there before")
	if err := os.Remove(filepath.Join(b.dir, "mail/Anna/poplin.note-move")); err != nil {
		t.Fatal(err)
	}
	says("2 messages, 34 octets: 0 would be copied, 2 there before", "--dry-run")
	says("2 messages, 34 octets: 0 copied, 2 there before and compared")
	b.deliver(b.maildirs, "Anna", "Subject: 3\n\nz\n")
	says("3 messages, 51 octets: 1 would be copied, 2 there before", "--dry-run")
	b.serves("bucket")
	says("3 messages, 51 octets: 1 copied, 2 there before and compared, 3 removed from the source")
	mixed := &moveReport{c: new(moveCmd)}
	if got := mixed.line(moved{Messages: 4, Copied: 1, There: 3, Compared: 3}); got != "4 messages, 0 octets: 1 copied, 3 there before, 2 of them compared, 0.0 s" {
		t.Errorf("it says %s", got)
	}
}

// TestMovePart: where nobody could look what was removed before the emptying of
// a source failed, the summary does not leave it at what is known.
func TestMovePart(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		b := newMoveBed(t)
		b.deliver(b.buckets, "Anna", "Subject: 1\n\nx\n", "Subject: 2\n\ny\n", "Subject: 3\n\nz\n", "Subject: 4\n\nz\n")
		removing := false
		b.objects.Objects.Fault = func(c buckettest.Call) buckettest.Fault {
			switch {
			case c.Op == "delete" && len(c.Keys) > 1 && strings.Contains(c.Keys[0], "/m/") && !removing:
				removing = true
				return buckettest.Torn
			case removing && (c.Op == "delete" && len(c.Keys) > 1 || c.Op == "list" && deaf):
				return buckettest.Unavailable
			}
			return buckettest.None
		}
		out, errs := b.poplin(1, "bucket", "maildir", "--empty", "Anna")
		b.objects.Objects.Fault = nil
		if got := b.uids(b.buckets, "Anna"); len(got) != 2 {
			t.Errorf("the source has %q", got)
		}
		want := "4 copied, 2 removed from the source; 1 failed\n"
		if deaf {
			want = "4 copied, 0 removed from the source; 1 failed, 1 of these while the source was emptied, from which more may be removed\n"
		}
		if !strings.HasSuffix(out, want) {
			t.Errorf("it says %s%s", out, errs)
		}
	}
}

// TestMoveManual: the manual has each field of the JSON, each exit code, and
// the errors by the words with which they begin.
func TestMoveManual(t *testing.T) {
	text, err := os.ReadFile("../../docs/howto/move.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"`summary`", "`uid`", "exit code is 0 when", ", 75 when", ", 2 where", "else 1", "move it away",
		"| `a session is open: source: ", "`a session is open: destination: ", "| `stopped`", "`stopped while the source was emptied`"}
	for f := range reflect.TypeFor[moved]().Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "user" {
			want = append(want, "`"+name+"`")
		}
	}
	for _, words := range want {
		if !strings.Contains(string(text), words) {
			t.Errorf("the manual lacks %s", words)
		}
	}
}
