package maildir

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

var million = flag.Bool("million", false, "benchmarks of Maildirs with a million messages too")

// counts are the numbers of messages that benchmarks have.
func counts() []int {
	all := []int{10, 1000, 10_000, 100_000}
	if *million {
		all = append(all, 1_000_000)
	}
	return all
}

// benchBox makes a Maildir of that many messages in new/, with names as
// Postfix makes them. What is in it is old enough to be believed.
func benchBox(b *testing.B, count, size int) *box {
	box := newBox(b, Options{})
	box.Store.sys = kernel{}
	box.terms.settling = 1 // so that a bench need not wait
	fillMany(b, box, count, size)
	return box
}

// fillMany adds messages.
func fillMany(b *testing.B, box *box, count, size int) {
	line := strings.Repeat("0123456789", 6) + "\n"
	content := []byte(strings.Repeat(line, size/len(line)+1)[:size])
	for i := range count {
		name := fmt.Sprintf("%d.V801I%xM%06d.mx1", 1700000000+i/8, 0x100000+i, i*7919%1_000_000)
		if err := os.WriteFile(filepath.Join(box.path, "new", name), content, 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

func (b *box) login(t *testing.B, count int) maildrop.Maildrop {
	m, err := b.Store.Open(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := m.(maildrop.Lister).Totals(); n != count {
		t.Fatalf("%d messages, want %d", n, count)
	}
	return m
}

// BenchmarkOpen logs in and out: unchanged, with the index in memory or only
// on disk; with one new message since; and all read again for want of it.
func BenchmarkOpen(b *testing.B) {
	for _, count := range counts() {
		box := benchBox(b, count, 1000)
		box.login(b, count).Close()
		settle()
		box.login(b, count).Close()
		b.Run(fmt.Sprintf("%d/memory", count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				box.login(b, count).Close()
			}
			b.ReportMetric(float64(box.cache.used)/float64(count), "octets/message")
		})
		b.Run(fmt.Sprintf("%d/disk", count), func(b *testing.B) {
			for b.Loop() {
				box.cache.drop(box.path)
				box.login(b, count).Close()
			}
		})
		b.Run(fmt.Sprintf("%d/new", count), func(b *testing.B) { box.newMail(b, count) })
		if count > 10_000 {
			continue
		}
		b.Run(fmt.Sprintf("%d/lost", count), func(b *testing.B) {
			for b.Loop() {
				os.Remove(filepath.Join(box.path, indexName))
				box.login(b, count).Close()
			}
		})
	}
}

// BenchmarkUnsettled logs in and out of a Maildir of which an import has not
// ended, beside one that is settled: unchanged, and with one new message since.
func BenchmarkUnsettled(b *testing.B) {
	const count = 10_000
	box := benchBox(b, count, 100)
	m := box.login(b, count)
	uids := m.(maildrop.Lister).UIDs()
	m.Close()
	settle()
	for _, unsettled := range []bool{false, true} {
		if unsettled {
			box.write(unsettledName, uids)
		}
		box.login(b, count).Close()
		b.Run(fmt.Sprintf("unsettled=%v/memory", unsettled), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				box.login(b, count).Close()
			}
		})
		b.Run(fmt.Sprintf("unsettled=%v/new", unsettled), func(b *testing.B) {
			b.ReportAllocs()
			box.newMail(b, count)
		})
	}
}

// newMail logs in and out with one new message each time, and removes them.
func (b *box) newMail(t *testing.B, count int) {
	n := count
	for t.Loop() {
		n++
		name := fmt.Sprintf("18%08d.M1P1.host", n)
		if err := os.WriteFile(filepath.Join(b.path, "tmp", name), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		b.rename("tmp/"+name, "new/"+name)
		b.login(t, n).Close()
	}
	for ; n > count; n-- {
		b.remove(fmt.Sprintf("new/18%08d.M1P1.host", n))
	}
}

// settle waits until the directories are old enough for a listing to be exact.
func settle() { time.Sleep(2 * usual.tick) }

// BenchmarkFirstSight reads 10,000 messages of 10 kB whose sizes are unknown.
func BenchmarkFirstSight(b *testing.B) {
	const count = 10_000
	box := benchBox(b, count, 10_000)
	settle()
	b.SetBytes(count * 10_000)
	b.ReportAllocs()
	used := startCPU()
	for b.Loop() {
		os.Remove(filepath.Join(box.path, indexName))
		box.login(b, count).Close()
	}
	used.report(b)
}

// BenchmarkRetrieve opens and closes a message of a session that goes on, and of
// one that rested.
func BenchmarkRetrieve(b *testing.B) {
	box := benchBox(b, 10, 10_000)
	settle()
	m := box.login(b, 10).(*session)
	defer m.Close()
	for _, rests := range []bool{false, true} {
		b.Run(fmt.Sprintf("rested=%v", rests), func(b *testing.B) {
			for b.Loop() {
				if rests {
					m.Rest()
				}
				r, err := m.Open(b.Context(), 0)
				if err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}

// BenchmarkListing takes UIDs and sizes, as UIDL and LIST do.
func BenchmarkListing(b *testing.B) {
	const count = 100_000
	records := make([]record, count)
	for i := range records {
		name := fmt.Sprintf("%d.V801I%xM%06d.mx1", 1700000000+i/8, 0x100000+i, i*7919%1_000_000)
		records[i] = record{entry: entry{name: name}, ino: uint64(i), octets: 1000, size: 1010, uid: name}
	}
	s := &session{catalog: newCatalog(records)}
	b.Run("UIDs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			io.WriteString(io.Discard, s.UIDs())
		}
	})
	b.Run("sizes", func(b *testing.B) {
		b.ReportAllocs()
		var sum int64
		for b.Loop() {
			for i := range count {
				sum += s.Size(i)
			}
		}
	})
	b.Run("messages", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.messages()
		}
	})
}

// BenchmarkRemove removes 1,000 of 1,000 messages.
func BenchmarkRemove(b *testing.B) {
	const count = 1000
	box := newBox(b, Options{})
	box.Store.sys = kernel{}
	marked := make([]int, count)
	for i := range marked {
		marked[i] = i
	}
	for b.Loop() {
		b.StopTimer()
		fillMany(b, box, count, 4000)
		os.Remove(filepath.Join(box.path, indexName)) // names and inodes are those of the round before
		m := box.login(b, count)
		b.StartTimer()
		if err := m.Remove(b.Context(), marked); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		m.Close()
		b.StartTimer()
	}
}

// BenchmarkDeliver measures what the promise behind "250" costs.
func BenchmarkDeliver(b *testing.B) {
	box := newBox(b, Options{})
	content := strings.Repeat("0123456789012345678901234567890\n", 384)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if _, err := box.Deliver(b.Context(), user, strings.NewReader(content)); err != nil {
			b.Fatal(err)
		}
	}
}
