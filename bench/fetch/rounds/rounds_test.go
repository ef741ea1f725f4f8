package rounds

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestRelay: what is sent together arrives together, half a round trip later,
// whatever was sent before it.
func TestRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const late = 50 * time.Millisecond
		client, near := net.Pipe()
		far, server := net.Pipe()
		go relay(far, near, late)
		begun := time.Now()
		go func() {
			for i := range byte(100) { // much more than fits into a round trip, were each to wait for the one before
				client.Write([]byte{i})
			}
			time.Sleep(time.Millisecond)
			client.Write([]byte("later"))
			client.Close()
		}()
		first := make([]byte, 100)
		if _, err := io.ReadFull(server, first); err != nil {
			t.Fatal(err)
		}
		for i, b := range first {
			if int(b) != i {
				t.Fatalf("octet %d is %d", i, b)
			}
		}
		if took := time.Since(begun); took != late {
			t.Errorf("100 octets took %v", took)
		}
		rest, err := io.ReadAll(server)
		if took := time.Since(begun); string(rest) != "later" || err != nil || took != late+time.Millisecond {
			t.Errorf("then %q came, %v, after %v", rest, err, took)
		}
	})
}

// TestArrived: only mail that came whole, and once, counts.
func TestArrived(t *testing.T) {
	mail := newMail(30, 2000)
	changed := append(append([]byte("Received: by somebody\n"), bytes.ReplaceAll(mail[3], []byte("\n"), []byte("\r\n"))...), '\n')
	if n, err := arrived(mail, [][]byte{mail[0], changed, mail[29]}); n != 3 || err != nil {
		t.Errorf("%d came, %v", n, err)
	}
	for name, came := range map[string][][]byte{
		"twice":   {mail[1], mail[1]},
		"cut":     {mail[1][:1500]},
		"unknown": {[]byte("Subject: x\n\ny\n")},
	} {
		if _, err := arrived(mail, came); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestReadBSMTP: the messages are those that an SMTP server would take.
func TestReadBSMTP(t *testing.T) {
	name := filepath.Join(t.TempDir(), "bsmtp")
	text := "MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\nSubject: 1\n\n..dot\n.\nDATA\r\nSubject: 2\r\n\r\nx\r\n.\r\nQUIT\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := readBSMTP(name)
	if err != nil || len(all) != 2 || string(body(all[0])) != ".dot" || string(body(all[1])) != "x" {
		t.Errorf("%q, %v", all, err)
	}
}

// TestCount: syncs are told by the files that they are of, and interrupted ones
// count once.
func TestCount(t *testing.T) {
	var n Syncs
	n.count(`1 fdatasync(8</d/mail/tmp/a.poplin>) = 0
1 fdatasync(8</d/mail/tmp/b.poplin> <unfinished ...>
2 fsync(9</d/mail/new> <unfinished ...>
1 <... fdatasync resumed>) = 0
2 <... fsync resumed>) = 0
1 fdatasync(7</d/state/journal>) = 0
`, "/d/mail")
	if n != (Syncs{Messages: 2, Folders: 1, Other: 1}) {
		t.Errorf("%+v", n)
	}
}
