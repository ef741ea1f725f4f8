package fetch

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/internal/fetch/disk/disktest"
	"github.com/poplin-mail/poplin/internal/fetch/target"
	"github.com/poplin-mail/poplin/pop3client"
)

// on puts the account's state and Maildir on a file system. The error is that
// of opening the Maildir.
func (b *bed) on(fsys disk.FS) error {
	d, err := target.OpenMaildir(fsys, filepath.Join(b.dir, "mail"))
	b.Disk, b.Targets = fsys, []target.Target{d}
	return err
}

// sweepTmp takes away what broken runs left in tmp/ and may be there: files
// that no run ended.
func (b *bed) sweepTmp() {
	b.Helper()
	for _, name := range b.names("mail/tmp") {
		if err := os.Remove(filepath.Join(b.dir, "mail/tmp", name)); err != nil {
			b.Fatal(err)
		}
	}
}

// TestEveryCall, with POPLIN_FETCH_MESSAGES messages or 6: whatever call of the file system fails, or is the last of the
// process, the next run brings what is lacking: nothing is lost, nothing comes
// twice, nothing is cut, and nothing is deleted that is not here.
func TestEveryCall(t *testing.T) {
	const before = 3
	messages, _ := strconv.Atoi(cmp.Or(os.Getenv("POPLIN_FETCH_MESSAGES"), "6"))
	sites := 0
	for _, fault := range []struct {
		name string
		disktest.Fault
		powerLoss bool // what was not synced is lost
	}{
		{"EIO", disktest.Fault{Err: syscall.EIO}, false},
		{"ENOSPC", disktest.Fault{Err: syscall.ENOSPC, Short: true}, false},
		{"killed", disktest.Fault{Dies: true, Short: true}, false},
		{"power lost", disktest.Fault{Dies: true, Short: true}, true},
	} {
		t.Run(fault.name, func(t *testing.T) {
			sites += disktest.Each(t, fault.Fault, func(d *disktest.Disk) {
				b := newBed(t, "none")
				mail := b.deliver(0, before)
				b.must() // so that there is something to be known
				mail = append(mail, b.deliver(before, messages)...)
				err := b.on(d)
				if err == nil {
					_, err = b.run(Options{})
				}
				if fault.powerLoss {
					d.PowerLoss()
				}
				have := len(b.names("mail/new")) + len(b.names("mail/cur"))
				if gone := messages - b.onServer(); gone > have {
					t.Fatalf("%v: %d messages were deleted, and %d are here", d, gone, have)
				}
				if err := b.on(disk.OS{}); err != nil {
					t.Fatal(err)
				}
				for _, name := range b.names("mail/new") { // a mail program has shown them
					b.rename("mail/new/"+name, "mail/cur/"+name+":2,S")
				}
				awaitLogout(t, b)
				if _, err := b.run(Options{}); err != nil {
					t.Fatalf("%v: the run after it: %v", d, err)
				}
				b.sweepTmp()
				b.holds("mail", mail)
				if n := b.onServer(); n != 0 {
					t.Errorf("%v: %d messages are left on the server", d, n)
				}
				if t.Failed() {
					t.Fatalf("%v, error %v", d, err)
				}
			})
		})
	}
	t.Logf("%d faults at calls of the file system", sites)
}

// awaitLogout waits until the session before is over on the server.
func awaitLogout(t *testing.T, b *bed) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		c, err := b.connect(t.Context())
		if c != nil {
			c.Abort()
		}
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	m, err := b.server.Memory.Open(t.Context(), b.server.User)
	for end := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(end); time.Sleep(time.Millisecond) {
		m, err = b.server.Memory.Open(t.Context(), b.server.User)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
}

// cutter cuts connections behind a number of octets from the server.
type cutter struct {
	left atomic.Int64
	sent atomic.Int64
}

// DialContext gives connections that it cuts.
func (c *cutter) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &cutConn{conn, c}, nil
}

type cutConn struct {
	net.Conn
	c *cutter
}

func (c *cutConn) Read(p []byte) (int, error) {
	left := c.c.left.Load()
	if left <= 0 {
		c.Conn.Close()
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), left)])
	c.c.left.Add(-int64(n))
	c.c.sent.Add(int64(n))
	return n, err
}

// TestEveryOctet: the connection is cut behind each octet that the server
// sends, in clear text.
func TestEveryOctet(t *testing.T) {
	const messages = 4
	for at := int64(1); ; at++ {
		b := newBed(t, "none")
		var mail []string
		for i := range messages {
			text := fmt.Sprintf("Subject: %d\n\n.text %d\n", i, i)
			if err := b.server.Memory.Add(b.server.User, fmt.Sprint("uid", i), []byte(text)); err != nil {
				t.Fatal(err)
			}
			mail = append(mail, text)
		}
		whole := b.Connect
		cut := new(cutter)
		cut.left.Store(at)
		b.Connect = func(ctx context.Context) (*pop3client.Client, error) {
			c, err := pop3client.DialInsecure(ctx, b.server.Addr, &pop3client.Options{Dialer: cut, Mechanisms: []string{"USER"}})
			if err != nil {
				return nil, err
			}
			return c, c.Login(ctx, b.server.User, b.server.Password)
		}
		_, err := b.run(Options{})
		if cut.left.Load() > 0 {
			if err != nil {
				t.Errorf("nothing was cut: %v", err)
			}
			t.Logf("cut behind each of %d octets", at-1)
			return
		}
		have := len(b.names("mail/new"))
		if gone := messages - b.onServer(); gone > have {
			t.Fatalf("cut at %d: %d messages were deleted, and %d are here", at, gone, have)
		}
		b.Connect = whole
		awaitLogout(t, b)
		if _, err := b.run(Options{}); err != nil {
			t.Fatalf("cut at %d: the run after it: %v", at, err)
		}
		if b.holds("mail", mail); t.Failed() || b.onServer() != 0 {
			t.Fatalf("cut at %d, error %v, %d messages are left", at, err, b.onServer())
		}
	}
}

// TestQuitUnanswered: without the answer to QUIT nothing is taken for deleted,
// and nothing comes twice.
func TestQuitUnanswered(t *testing.T) {
	for name, quit := range map[string]string{"refused": "-ERR some are left\r\n", "silent": "", "cut": "+O"} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go serveTwice(l, quit)
			b := newBed(t, "none")
			b.Connect = func(ctx context.Context) (*pop3client.Client, error) {
				c, err := pop3client.DialInsecure(ctx, l.Addr().String(), nil)
				if err != nil {
					return nil, err
				}
				return c, c.Login(ctx, "u", "p")
			}
			r, err := b.run(Options{})
			if err == nil || r.Deleted != 0 || name != "refused" && !Temporary(err) {
				t.Errorf("the report is %+v, error %v", r, err)
			}
			if r, err := b.run(Options{}); err != nil || r.Retrieved != 0 || r.Deleted != 1 {
				t.Errorf("the second report is %+v, error %v", r, err)
			}
			b.holds("mail", []string{"Subject: x\n\ny\n"})
		})
	}
}

// serveTwice is a server with one message that deletes nothing at its first
// QUIT.
func serveTwice(l net.Listener, quit string) {
	for n := 0; ; n++ {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(conn, "+OK\r\n")
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			reply := map[string]string{"LIST": "+OK\r\n1 15\r\n.\r\n", "UIDL": "+OK\r\n1 a\r\n.\r\n", "RETR 1": "+OK\r\nSubject: x\r\n\r\ny\r\n.\r\n",
				"CAPA": "-ERR\r\n", "TOP 1 0": "+OK\r\nSubject: x\r\n\r\n.\r\n"}[lines.Text()]
			if reply == "" {
				reply = "+OK\r\n"
			}
			if lines.Text() == "QUIT" {
				if n == 0 {
					reply = quit
				}
				io.WriteString(conn, reply)
				break
			}
			io.WriteString(conn, reply)
		}
		conn.Close()
	}
}

// TestJournalFails: a journal that cannot be written ends the run, before
// anything is deleted.
func TestJournalFails(t *testing.T) {
	b := newBed(t, "none")
	b.deliver(0, 3)
	b.must()
	path := filepath.Join(b.State, "journal")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[20] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	b.deliver(3, 5)
	if r, err := b.run(Options{}); err == nil || Temporary(err) || r.Retrieved != 0 || b.onServer() != 2 || !errors.As(err, new(*Trouble)) {
		t.Errorf("the report is %+v, error %v", r, err)
	}
}

// TestEveryCallCommand: the same with a command, which cannot say what it did
// before: it may get the one message again, with its id, about which a run that
// ended had not noted that it has it.
func TestEveryCallCommand(t *testing.T) {
	const messages = 2
	sites := 0
	for _, fault := range []struct {
		name string
		disktest.Fault
		powerLoss bool
	}{
		{"EIO", disktest.Fault{Err: syscall.EIO}, false},
		{"killed", disktest.Fault{Dies: true, Short: true}, false},
		{"power lost", disktest.Fault{Dies: true, Short: true}, true},
	} {
		t.Run(fault.name, func(t *testing.T) {
			sites += disktest.Each(t, fault.Fault, func(d *disktest.Disk) {
				b := newBed(t, "none")
				mail := b.deliver(0, messages)
				err := b.toCommand(d)
				if err == nil {
					_, err = b.run(Options{})
				}
				if fault.powerLoss {
					d.PowerLoss()
				}
				if gone := messages - b.onServer(); gone > len(b.taken()) {
					t.Fatalf("%v: %d messages were deleted, and %d are here", d, gone, len(b.taken()))
				}
				if err := b.toCommand(disk.OS{}); err != nil {
					t.Fatal(err)
				}
				awaitLogout(t, b)
				if _, err := b.run(Options{}); err != nil {
					t.Fatalf("%v: the run after it: %v", d, err)
				}
				again := 0
				for id, texts := range b.taken() {
					again += len(texts) - 1
					i := slices.Index(mail, texts[0])
					if i < 0 || texts[0] != texts[len(texts)-1] {
						t.Fatalf("%v: %s was given as %q", d, id, texts)
					}
					mail = slices.Delete(mail, i, i+1)
				}
				if len(mail) > 0 || again > 1 || b.onServer() != 0 {
					t.Fatalf("%v, error %v: %d are lost, %d came again, %d are on the server", d, err, len(mail), again, b.onServer())
				}
			})
		})
	}
	t.Logf("%d faults at calls of the file system", sites)
}

// toCommand has a command as the only target.
func (b *bed) toCommand(fsys disk.FS) error {
	c, err := target.OpenCommand(fsys, target.CommandOptions{Command: `cat >"$OUT/$POPLIN_ID.$$"`, Staging: filepath.Join(b.dir, "staged"),
		Env: append(os.Environ(), "OUT="+filepath.Join(b.dir, "mail/cur"))})
	b.Disk, b.Targets = fsys, []target.Target{c}
	return err
}

// taken gives what the command got, by id, without the line with that.
func (b *bed) taken() map[string][]string {
	b.Helper()
	all := make(map[string][]string)
	for _, name := range b.names("mail/cur") {
		content, err := os.ReadFile(filepath.Join(b.dir, "mail/cur", name))
		if err != nil {
			b.Fatal(err)
		}
		id, _, _ := strings.Cut(name, ".")
		all[id] = append(all[id], strings.TrimPrefix(string(content), "X-Poplin-Id: "+id+"\n"))
	}
	return all
}
