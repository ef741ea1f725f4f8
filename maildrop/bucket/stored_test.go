package bucket_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// object gives the one message of a maildrop as it is stored, and its key.
func (b *box) object(name string) (key string, content []byte) {
	b.Helper()
	in, prefix, _ := b.Place(name)
	keys := b.objects.Keys(in, prefix+"m/")
	if len(keys) != 1 {
		b.Fatalf("there are %q, want one message", keys)
	}
	o, err := b.gateway.Get(b.Context(), in, keys[0], bucket.How{})
	if err != nil {
		b.Fatal(err)
	}
	content, _ = io.ReadAll(o.Body)
	return keys[0], content
}

// replace stores other octets in the place of a message, under a key with
// their checksum.
func (b *box) replace(name, key string, content []byte) {
	b.Helper()
	in, _, _ := b.Place(name)
	b.gateway.Delete(b.Context(), in, []string{key})
	fields := strings.Split(key, ".")
	for i := range fields {
		if len(fields[i]) == 8 && i >= 2 {
			fields[i] = fmt.Sprintf("%08x", crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli)))
		}
	}
	if err := b.gateway.Put(b.Context(), in, strings.Join(fields, "."), bytes.NewReader(content), int64(len(content))); err != nil {
		b.Fatal(err)
	}
}

// readFirst reads the first message of a maildrop.
func (b *box) readFirst(s *bucket.Store, name string) (string, error) {
	b.Helper()
	m, err := s.Open(b.Context(), name)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	return b.read(m, 0)
}

// TestForms: what lies in the store is the wire form, smaller where it is
// packed, and says nothing where it is sealed.
func TestForms(t *testing.T) {
	text := strings.Repeat("Subject: a secret\n", 20_000) // over 1 MiB it waits in a file
	wire := strings.ReplaceAll(text, "\n", "\r\n")
	for name, opts := range forms {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				temp := t.TempDir()
				opts.TempDir = temp
				b := newBox(t, opts)
				for _, content := range []string{"", text, strings.Repeat(text, 4)} {
					name := fmt.Sprint(len(content))
					if _, err := b.Deliver(t.Context(), name, strings.NewReader(content)); err != nil {
						t.Fatal(err)
					}
					want := strings.Repeat(wire, len(content)/len(text))
					if got, err := b.readFirst(b.other, name); err != nil || got != want {
						t.Errorf("%d octets read as %d, error %v; want %d", len(content), len(got), err, len(want))
					}
					_, stored := b.object(name)
					if opts.Compress == (len(stored) >= len(want)) && content != "" {
						t.Errorf("of %d octets %d are stored", len(want), len(stored))
					}
					if len(opts.Keys) > 0 && bytes.Contains(stored, []byte("secret")) {
						t.Error("what is sealed can be read")
					}
					if len(opts.Keys) == 0 && !opts.Compress && string(stored) != want {
						t.Error("what is stored is not the wire form")
					}
				}
				if left, _ := os.ReadDir(temp); len(left) > 0 {
					t.Errorf("files are left: %v", left)
				}
			})
		})
	}
}

// TestSealed: a message that was changed anywhere, cut anywhere, or put into
// another place does not open, also where its checksum fits.
func TestSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{Keys: []bucket.Key{{1}}})
		text := strings.Repeat("0123456789abcd\r\n", 2*64<<10/16) // two chunks
		if _, err := b.Deliver(t.Context(), user, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		key, stored := b.object(user)
		const header, chunk = 41, 64<<10 + 16
		spots := []int{0, 1, 9, 40, header, header + 1000, header + chunk - 1, header + chunk, len(stored) - 1}
		for _, at := range spots {
			changed := slices.Clone(stored)
			changed[at] ^= 1
			b.replace(user, key, changed)
			if got, err := b.readFirst(b.Store, user); err == nil {
				t.Errorf("with octet %d changed it reads, %d octets", at, len(got))
			}
			key, _ = b.object(user)
		}
		for name, changed := range map[string][]byte{
			"nothing": {}, "no chunk": stored[:header], "the first chunk": stored[:header+chunk], "without its end": stored[:len(stored)-1], "more behind": append(slices.Clone(stored), 0),
			"swapped": slices.Concat(stored[:header], stored[header+chunk:], stored[header:header+chunk]),
			"twice":   slices.Concat(stored, stored[header+chunk:]),
		} {
			b.replace(user, key, changed)
			if got, err := b.readFirst(b.Store, user); err == nil || !errors.Is(err, maildrop.ErrTemporary) {
				t.Errorf("%s: it reads, %d octets, error %v", name, len(got), err)
			}
			key, _ = b.object(user)
		}
		b.replace(user, key, stored)
		if got, err := b.readFirst(b.Store, user); err != nil || got != text {
			t.Errorf("unchanged: %d octets, error %v", len(got), err)
		}
		// Somebody who has the store copies it into a maildrop of his own.
		key, _ = b.object(user)
		in, prefix, _ := b.Place(user)
		to, ours, _ := b.Place("mallory")
		b.gateway.Put(t.Context(), to, ours+strings.TrimPrefix(key, prefix), bytes.NewReader(stored), int64(len(stored)))
		if got, err := b.readFirst(b.Store, "mallory"); err == nil {
			t.Errorf("in another maildrop it reads, %d octets", len(got))
		}
		// Or under another unique-id.
		b.gateway.Put(t.Context(), in, strings.Replace(key, "m/0", "m/1", 1), bytes.NewReader(stored), int64(len(stored)))
		m := b.open(b.Store)
		defer m.Close()
		if got, err := b.read(m, 1); len(m.Messages()) != 2 || err == nil {
			t.Errorf("under another unique-id it reads, %d octets", len(got))
		}
	})
}

// TestKeys: the first key seals, every key opens, and no key says so.
func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{Keys: []bucket.Key{{1}}})
		if _, err := b.Deliver(t.Context(), user, strings.NewReader("x\r\n")); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			keys []bucket.Key
			ok   bool
		}{"the same": {[]bucket.Key{{1}}, true}, "a new one first": {[]bucket.Key{{2}, {1}}, true}, "another": {[]bucket.Key{{2}}, false}, "none": {nil, false}} {
			s := newStore(t, bucket.Options{Engine: b.gateway, Bucket: "mail", Keys: c.keys})
			if got, err := b.readFirst(s, user); (err == nil && got == "x\r\n") != c.ok {
				t.Errorf("%s: %q, error %v", name, got, err)
			}
		}
		if _, err := b.other.Deliver(t.Context(), "plain", strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	})
}

// TestUnpackingIsBounded: a packed object that gives more than its key says,
// or less, or asks for too much memory, is no message.
func TestUnpackingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{Compress: true})
		if _, err := b.Deliver(t.Context(), user, strings.NewReader(content(1))); err != nil {
			t.Fatal(err)
		}
		key, stored := b.object(user)
		pack := func(content []byte, opts ...zstd.EOption) []byte {
			var out bytes.Buffer
			w, err := zstd.NewWriter(&out, append(opts, zstd.WithEncoderConcurrency(1))...)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(content)
			w.Close()
			return out.Bytes()
		}
		zeros := make([]byte, 64<<20)
		for name, changed := range map[string][]byte{
			"64 MiB of nothing": pack(zeros), "a window of 64 MiB": pack(zeros, zstd.WithWindowSize(64<<20)), "one octet more": pack([]byte(content(1) + "x")), "one less": pack([]byte(content(1)[1:])),
			"two frames": slices.Concat(stored, stored), "not packed": []byte(content(1)), "cut": stored[:len(stored)-3], "empty": nil,
		} {
			b.replace(user, key, changed)
			if got, err := b.readFirst(b.Store, user); err == nil || !errors.Is(err, maildrop.ErrTemporary) {
				t.Errorf("%s: it reads, %d octets, error %v", name, len(got), err)
			}
			key, _ = b.object(user)
		}
	})
}

// TestResumed: a body that breaks off is asked for again from there.
func TestResumed(t *testing.T) {
	for name, opts := range forms {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t, opts)
				text := strings.Repeat(content(9), 1000)
				if _, err := b.Deliver(t.Context(), user, strings.NewReader(text)); err != nil {
					t.Fatal(err)
				}
				gets := 0
				b.begin(func(_ int, c buckettest.Call) buckettest.Fault {
					if c.Op == "get" {
						gets++ // two break off, then one does not
						return []buckettest.Fault{buckettest.None, buckettest.Cut, buckettest.Short}[gets%3]
					}
					return buckettest.None
				})
				got, err := b.readFirst(b.Store, user)
				b.end()
				if err != nil || got != text || gets < 2 {
					t.Errorf("%d octets by %d requests, error %v; want %d", len(got), gets, err, len(text))
				}
			})
		})
	}
}

// TestStalledBody: a body that gives nothing for the time-out is asked for
// again, and a client that reads slowly does not matter.
func TestStalledBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{})
		text := strings.Repeat(content(9), 100)
		if _, err := b.Deliver(t.Context(), user, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		s := newStore(t, bucket.Options{Engine: &stalling{Engine: b.gateway}, Bucket: "mail"})
		m := b.open(s)
		defer m.Close()
		r, err := m.Open(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		var got []byte
		buf := make([]byte, 1000)
		for err == nil {
			var n int
			n, err = r.Read(buf)
			got = append(got, buf[:n]...)
			time.Sleep(time.Minute)
		}
		if err != io.EOF || string(got) != text {
			t.Errorf("%d octets, error %v, want %d", len(got), err, len(text))
		}
	})
}
