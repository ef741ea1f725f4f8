package bucket_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// hostile are names that no path and no request may be confused by.
var hostile = []string{"../x", "..", ".", "/etc/passwd", "a/b", "a\\b", "a\x00b", "a b", "%2e%2e", "_", "a_2f", "ä@b", "+", "'; --", "<a>&amp;", "\u202e", "a\r\nb", ".hidden", "a?b#c", "m/x", strings.Repeat("x", 240)}

func TestEscape(t *testing.T) {
	seen := make(map[string]string)
	for _, name := range append(hostile, "user@example.org", "User@example.org", "a.b-c") {
		got := bucket.Escape(name)
		if back, ok := bucket.Unescape(got); back != name || !ok {
			t.Errorf("%q becomes %q, and that %q", name, got, back)
		}
		if other, there := seen[got]; there {
			t.Errorf("%q and %q both become %q", name, other, got)
		}
		seen[got] = name
		if strings.ContainsFunc(got, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-@._", r))
		}) || got[0] == '.' {
			t.Errorf("%q becomes %q", name, got)
		}
	}
	for _, s := range []string{"_", "_2", "_zz", "a_", "_61", ".a", "a b", "_2F"} {
		if name, ok := bucket.Unescape(s); ok {
			t.Errorf("%q is taken for %q", s, name)
		}
	}
}

func FuzzEscape(f *testing.F) {
	for _, name := range hostile {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if back, ok := bucket.Unescape(bucket.Escape(name)); back != name || !ok {
			t.Errorf("%q becomes %q", name, back)
		}
		if back, ok := bucket.Unescape(name); ok && bucket.Escape(back) != name {
			t.Errorf("%q is taken for %q", name, back)
		}
	})
}

// TestHostileNames: each name has a maildrop of its own, or none.
func TestHostileNames(t *testing.T) {
	b := newBox(t, bucket.Options{})
	for i, name := range hostile {
		if _, err := b.Deliver(t.Context(), name, strings.NewReader(content(i))); err != nil {
			t.Errorf("delivery to %q: %v", name, err)
		}
	}
	for i, name := range hostile {
		m, err := b.Open(t.Context(), name)
		if err != nil {
			t.Errorf("Open of %q: %v", name, err)
			continue
		}
		if text, err := b.read(m, 0); len(m.Messages()) != 1 || err != nil || text != content(i) {
			t.Errorf("%q has %d messages, the first is %.30q, error %v", name, len(m.Messages()), text, err)
		}
		m.Close()
	}
	for _, name := range []string{"", strings.Repeat("x", 241), strings.Repeat("/", 81)} {
		if _, err := b.Open(t.Context(), name); !errors.Is(err, maildrop.ErrPermanent) {
			t.Errorf("Open of %.10q: %v, want ErrPermanent", name, err)
		}
		if _, err := b.Deliver(t.Context(), name, strings.NewReader("x")); !errors.Is(err, maildrop.ErrPermanent) {
			t.Errorf("delivery to %.10q: %v, want ErrPermanent", name, err)
		}
	}
}

func TestParseKey(t *testing.T) {
	const uid = "01HF0000000000000000000000"
	for key, want := range map[string]bool{
		"m/" + uid + ".0.00000000": true, "m/" + uid + ".123.0123abcd.z": true, "m/" + uid + ".1.0123abcd.s": true, "m/" + uid + ".1.0123abcd.z.s": true,
		"": false, "m/": false, uid + ".1.0123abcd": false, "m/" + uid: false, "m/" + uid + ".1": false, "m/" + uid + ".1.0123abc": false, "m/" + uid + ".01.0123abcd": false,
		"m/" + uid + ".-1.0123abcd": false, "m/" + uid + ".1.0123ABCD": false, "m/" + uid + ".1.0123abcd.s.z": false, "m/" + uid + ".1.0123abcd.y": false, "m/" + uid[1:] + ".1.0123abcd": false,
		"m/" + strings.ToLower(uid) + ".1.0123abcd": false, "m/" + uid[:25] + "U.1.0123abcd": false, "m/" + uid + ".99999999999999999999.0123abcd": false, "m/" + uid + ".1.0123abcd.1": false,
		"m/" + uid + ".1.0123abcd.r5": true, "m/" + uid + ".1.0123abcd.uWA": true, "m/" + uid + ".1.0123abcd.r0.uWA.z.s": true, "m/" + uid + ".1.0123abcd.r-1": true,
		"m/" + uid + ".1.0123abcd.r": false, "m/" + uid + ".1.0123abcd.r05": false, "m/" + uid + ".1.0123abcd.u": false, "m/" + uid + ".1.0123abcd.uWA.r5": false, "m/" + uid + ".1.0123abcd.r5.r5": false,
		"m/" + uid + ".1.0123abcd.uWB": false, "m/" + uid + ".1.0123abcd.uIA": false, "m/" + uid + ".1.0123abcd.uWA.uWA": false, "m/" + uid + ".1.0123abcd.uMDFIRjAwMDAwMDAwMDAwMDAwMDAwMDAwMDA": false,
	} {
		if _, _, ok := bucket.ParseKey(key); ok != want {
			t.Errorf("%q is a message's key: %v", key, ok)
		}
	}
}

// TestForeignKeys: what this program does not understand keeps everybody out,
// for a message that is not listed is taken for gone.
func TestForeignKeys(t *testing.T) {
	b := newBox(t, bucket.Options{})
	uids := b.fill(2)
	name, prefix, _ := b.Place(user)
	m := b.open(b.Store)
	key := bucket.ObjectKey(m, 0)
	m.Close()
	for _, foreign := range []string{"m/mail", key + ".y", strings.Replace(key, ".24.", ".25.", 1), "a/" + uids[0] + ".1"} {
		if err := b.gateway.Put(t.Context(), name, prefix+foreign, strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
		if m, err := b.Open(t.Context(), user); !errors.Is(err, maildrop.ErrPermanent) {
			t.Errorf("with %q: %v, want ErrPermanent", foreign, err)
			if err == nil {
				m.Close()
			}
		}
		b.gateway.Delete(t.Context(), name, []string{prefix + foreign})
	}
	for _, other := range []string{"x", "mm", "k/", "n/x", "m/.01HF0000000000000000000000.1.00000001.sgwtmp.1", "a/.x", "k/.x", "n/.x"} {
		b.gateway.Put(t.Context(), name, prefix+other, strings.NewReader("x"), 1)
		if other == "k/" {
			b.gateway.Delete(t.Context(), name, []string{prefix + other}) // as old as a lock
		}
	}
	b.want(b.stored(), uids, nil)
}

// TestNames: all maildrops in which there is anything, in all buckets.
func TestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{Buckets: 7})
		want := slices.Clone(hostile)
		for i := range 40 {
			want = append(want, fmt.Sprintf("user%d@example.org", i))
		}
		for i, name := range want {
			for range 1 + i%3 {
				if _, err := b.Deliver(t.Context(), name, strings.NewReader("x")); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i := range 1500 { // more than a page
			if _, err := b.Deliver(t.Context(), "big", strings.NewReader(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		want = append(want, "big")
		b.gateway.Put(t.Context(), "mail-03", "lost+found/x", strings.NewReader(""), 0)
		b.gateway.Put(t.Context(), "mail-03", "abc/user1@example.org/x", strings.NewReader(""), 0)
		slices.Sort(want)
		got, err := b.Names(t.Context())
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Names gives %q, error %v; want %q", got, err, want)
		}
		began := b.gateway.Calls()
		b.Names(t.Context())
		if n := b.gateway.Calls() - began; n > 2*len(want) {
			t.Errorf("%d requests for %d names", n, len(want))
		}
		m, err := b.Open(t.Context(), "big")
		if err != nil || len(m.Messages()) != 1500 {
			t.Fatalf("a maildrop of more than a page: %v", err)
		}
		var all []int
		for i := range 1500 {
			all = append(all, i)
		}
		if err := m.Remove(t.Context(), all); err != nil {
			t.Errorf("Remove of more than a batch: %v", err)
		}
		m.Close()
		if m, err := b.Open(t.Context(), "big"); err != nil || len(m.Messages()) != 0 {
			t.Errorf("after Remove: %v, %v", m.Messages(), err)
		}
	})
}

// TestOrder: mail is listed as it came, with a clock that goes back too.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{})
		var want []string
		for i := range 100 {
			b.SetClock(func() time.Time { return time.Now().Add(-time.Duration(i%7) * time.Hour) })
			r, err := b.Deliver(t.Context(), user, strings.NewReader(content(i)))
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, r.UID)
		}
		m := b.open(b.other)
		defer m.Close()
		if got := uidsOf(m.Messages()); !slices.Equal(got, want) {
			t.Errorf("listed are %q, delivered were %q", got, want)
		}
	})
}

func TestOptions(t *testing.T) {
	good := bucket.Options{Engine: &buckettest.Gateway{}, Bucket: "mail"}
	for name, change := range map[string]func(o *bucket.Options){
		"no engine": func(o *bucket.Options) { o.Engine = nil }, "no bucket": func(o *bucket.Options) { o.Bucket = "" },
		"257 buckets": func(o *bucket.Options) { o.Buckets = 257 }, "-1 buckets": func(o *bucket.Options) { o.Buckets = -1 },
		"short lease": func(o *bucket.Options) { o.Lease = time.Second }, "time-out": func(o *bucket.Options) { o.Timeout = -1 }, "cache": func(o *bucket.Options) { o.CacheMessages = -1 },
	} {
		opts := good
		change(&opts)
		if _, err := bucket.New(opts); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if got := bucket.Buckets("mail", 0); !slices.Equal(got, []string{"mail"}) {
		t.Errorf("one bucket is %q", got)
	}
	if got := bucket.Buckets("mail", 256); got[0] != "mail-00" || got[255] != "mail-ff" {
		t.Errorf("256 buckets are %q", got)
	}
	s := newStore(t, good)
	s.Close()
	if _, err := s.Open(t.Context(), user); err == nil {
		t.Error("Open after Close succeeds")
	}
	if _, err := s.Deliver(t.Context(), user, strings.NewReader("x")); err == nil {
		t.Error("Deliver after Close succeeds")
	}
}

// TestSameUID: of two objects with one unique-id, whatever id they have, one is
// the other again only where all that their keys say of the message is the same.
func TestSameUID(t *testing.T) {
	const id, other, uid = "01HF0000000000000000000000", "01HF0000010000000000000000", "01HF0000020000000000000000"
	u := ".u" + base64.RawURLEncoding.EncodeToString([]byte(uid))
	for keys, want := range map[[2]string]int{
		{id + ".1.00000001.r5" + u, other + ".1.00000001.r5" + u}:            1,
		{id + ".1.00000001.r5" + u, other + ".1.00000002.r5" + u}:            0,
		{id + ".1.00000001.r5" + u + ".z", other + ".1.00000002.r5" + u}:     1,
		{id + ".1.00000001.r5" + u + ".s", id + ".1.00000002.r5" + u + ".s"}: 1,
		{id + ".1.00000001.r5" + u, other + ".2.00000001.r5" + u}:            0,
		{id + ".1.00000001.r5" + u, other + ".1.00000001.r6" + u}:            1,
		{id + ".1.00000001.r5" + u + ".z", other + ".1.00000001.r6" + u}:     0,
		{id + ".1.00000001", other + ".1.00000001"}:                          2,
		{id + ".1.00000001.r5" + u, uid + ".1.00000001"}:                     1,
		{id + ".1.00000001.r5" + u, uid + ".2.00000001"}:                     0,
	} {
		objects := &buckettest.Store{}
		gateway := &buckettest.Gateway{Store: objects}
		s := newStore(t, bucket.Options{Engine: gateway, Bucket: "mail"})
		_, prefix, _ := s.Place(user)
		for _, key := range keys {
			if err := gateway.Put(t.Context(), "mail", prefix+"m/"+key, strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
		}
		m, err := s.Open(t.Context(), user)
		if want == 0 && !errors.Is(err, maildrop.ErrPermanent) || want > 0 && (err != nil || len(m.Messages()) != want) {
			t.Errorf("%q: error %v, want %d messages", keys, err, want)
		}
		if err == nil {
			m.Close()
		}
	}
}

func FuzzParseKey(f *testing.F) {
	const uid = "01HF0000000000000000000000"
	for _, key := range []string{"m/" + uid + ".1.0123abcd", "m/" + uid + ".1.0123abcd.r5.uWA.z.s", "m/" + uid + ".1.0123abcd.uWA"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		uid, _, ok := bucket.ParseKey(key)
		if ok && (len(uid) < 1 || len(uid) > 70) {
			t.Errorf("%q has the unique-id %q", key, uid)
		}
	})
}
