package fetch

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/internal/fetch/target"
)

// unsynced is a disk that makes nothing durable.
type unsynced struct{ disk.OS }

func (unsynced) SyncDir(string) error { return nil }

func (u unsynced) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := u.OS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

type unsyncedFile struct{ disk.File }

func (unsyncedFile) Sync() error { return nil }

// BenchmarkRun fetches 1,000 messages of 12,000 octets into a Maildir and has
// them deleted, from a server that has its replies ready: once with a disk that
// makes nothing durable, which shows what the engine itself takes, and once with
// the real one.
func BenchmarkRun(b *testing.B) {
	dir := b.TempDir() // that goes at the end of all: ext4 is slow to make files where many were just removed
	b.Run("unsynced", func(b *testing.B) { benchmarkRun(b, unsynced{}, dir) })
	b.Run("durable", func(b *testing.B) { benchmarkRun(b, disk.OS{}, dir) })
}

func benchmarkRun(b *testing.B, fsys disk.FS, dir string) {
	const messages, octets = 1000, 12_000
	replies := map[string][]byte{"CAPA": []byte("+OK\r\nUIDL\r\nTOP\r\nPIPELINING\r\nUSER\r\n.\r\n")}
	var list, uidl strings.Builder
	for i := range messages {
		text := fmt.Sprintf("Message-ID: <%d@example.org>\r\nSubject: letter %d\r\n\r\n", i, i)
		text += strings.Repeat("A line of sixty-odd octets, of which this message has many.\r\n", (octets-len(text))/61)
		replies[fmt.Sprintf("RETR %d", i+1)] = []byte("+OK\r\n" + text + ".\r\n")
		fmt.Fprintf(&list, "%d %d\r\n", i+1, len(text))
		fmt.Fprintf(&uidl, "%d uid%d\r\n", i+1, i)
	}
	replies["LIST"] = []byte("+OK\r\n" + list.String() + ".\r\n")
	replies["UIDL"] = []byte("+OK\r\n" + uidl.String() + ".\r\n")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go serveReady(l, replies)
	b.SetBytes(messages * octets)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		dir, err := os.MkdirTemp(dir, "")
		if err != nil {
			b.Fatal(err)
		}
		d, err := target.OpenMaildir(fsys, filepath.Join(dir, "mail"))
		if err != nil {
			b.Fatal(err)
		}
		a := &Account{Name: "work", Connect: (&bed{TB: b}).insecure(l.Addr().String()), Disk: fsys,
			Targets: []target.Target{d}, State: filepath.Join(dir, "state"), Keep: policy(b, "none")}
		b.StartTimer()
		if r, err := a.Run(b.Context(), Options{}); err != nil || r.Deleted != messages {
			b.Fatalf("the report is %+v, error %v", r, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*messages), "µs/message")
}

// serveReady is a server that has its replies ready, so that it allocates
// nothing; what is not among them gets +OK.
func serveReady(l net.Listener, replies map[string][]byte) {
	ok := []byte("+OK\r\n")
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		conn.Write(ok)
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			reply := replies[string(lines.Bytes())]
			if reply == nil {
				reply = ok
			}
			conn.Write(reply)
			if string(lines.Bytes()) == "QUIT" {
				break
			}
		}
		conn.Close()
	}
}
