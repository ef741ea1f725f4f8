package maildir

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkOpen logs in to a Maildir of 1,000 and of 10,000 messages of 2 kB:
// cold without an index, warm with one after a change, poll unchanged.
func BenchmarkOpen(b *testing.B) {
	for _, count := range []int{1000, 10_000} {
		box := newBox(b, Options{})
		box.Store.sys = kernel{}
		content := strings.Repeat("0123456789012345678901234567890\n", 64)
		for i := range count {
			name := fmt.Sprintf("%d.M%06dP1.host", 1700000000+i, i)
			if err := os.WriteFile(filepath.Join(box.path, "new", name), []byte(content), 0o600); err != nil {
				b.Fatal(err)
			}
		}
		login := func(b *testing.B) {
			m, err := box.Open(b.Context(), user)
			if err != nil || len(m.Messages()) != count {
				b.Fatalf("Open: %v", err)
			}
			m.Close()
		}
		b.Run(fmt.Sprintf("%d/cold", count), func(b *testing.B) {
			for b.Loop() {
				os.Remove(filepath.Join(box.path, indexName))
				login(b)
			}
		})
		b.Run(fmt.Sprintf("%d/warm", count), func(b *testing.B) {
			box.settling = 1 << 60
			login(b)
			for b.Loop() {
				login(b)
			}
		})
		b.Run(fmt.Sprintf("%d/poll", count), func(b *testing.B) {
			box.settling = 0
			login(b)
			for b.Loop() {
				login(b)
			}
		})
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
