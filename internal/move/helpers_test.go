package move_test

import (
	"cmp"
	"fmt"
	"io"
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

const user = "anna@example.org"

// place is a store, as a test needs one.
type place interface {
	maildrop.Store
	maildrop.Distributor
	maildrop.Undeleter
}

// newMaildirs makes a store of Maildirs, with one of the user.
func newMaildirs(t testing.TB) place {
	t.Helper()
	s, err := maildir.New(maildir.Options{Path: t.TempDir() + "/{user}", Hostname: "host"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	return s
}

// newBucket makes a store in an object store of its own.
func newBucket(t testing.TB, opts bucket.Options, objects *buckettest.Store) place {
	t.Helper()
	opts.Engine, opts.Bucket, opts.TempDir = &buckettest.Gateway{Store: cmp.Or(objects, &buckettest.Store{})}, "mail", t.TempDir()
	s, err := bucket.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// letter is a message as a maildrop lists it.
type letter struct {
	maildrop.Message
	text string // in the form of the wire
}

// written makes letters that need every care: UIDs of other servers, and of
// both stores; two of one moment; an old one behind a new one; lines that end
// in any way; one without octets.
func written(t testing.TB) []letter {
	t.Helper()
	day := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	all := []letter{
		{maildrop.Message{UID: "0000000165b8e3c1", Received: day}, "Subject: dovecot\r\n\r\nx\r\n"},
		{maildrop.Message{UID: "UID7-1234567", Received: day}, "Subject: courier, the same second\r\n\r\n.\r\n..\r\n"},
		{maildrop.Message{UID: strings.Repeat("~!/:.", 14), Received: day.Add(time.Hour)}, "Subject: 70 octets\r\n\r\n\r\r\n\rx\r\n"},
		{maildrop.Message{UID: "1709211601.M123456P7Q1R0123456789ab.host", Received: time.Unix(1709211601, 123456000)}, "Subject: a file's name\r\n\r\n" + strings.Repeat("long ", 50_000) + "\r\n"},
		{maildrop.Message{UID: ".hidden", Received: day.Add(-48 * time.Hour)}, "Subject: old, and came late\r\n\r\n\r\n"},
		{maildrop.Message{UID: "01HQTB5N000000000000000000", Received: day.Add(2 * time.Hour)}, "Subject: like a ULID of another time\r\n\r\nx\r\n"},
		{maildrop.Message{UID: "a/../b", Received: day.Add(2 * time.Hour)}, ""},
		{maildrop.Message{UID: "A+/=<>&\"'", Received: day.Add(2 * time.Hour)}, "x\r\n"},
	}
	for i := range all {
		all[i].Size = int64(len(all[i].text))
	}
	return all
}

// short is written, but that the long one is not.
func short(t testing.TB) []letter {
	all := written(t)
	all[3].text = strings.Replace(all[3].text, strings.Repeat("long ", 50_000), "long", 1)
	all[3].Size = int64(len(all[3].text))
	return all
}

// put takes letters into a maildrop.
func put(t testing.TB, s maildrop.Store, letters []letter) {
	t.Helper()
	m, err := s.Open(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	list := messagesOf(letters)
	in, err := m.(maildrop.Importer).Import(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if err := in.Put(t.Context(), i, strings.NewReader(letters[i].text)); err != nil {
			t.Fatalf("Put of %q: %v", list[i].UID, err)
		}
	}
	if err := m.(maildrop.Importer).Relist(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.(maildrop.Importer).Settle(t.Context(), true); err != nil {
		t.Fatal(err)
	}
}

func messagesOf(letters []letter) []maildrop.Message {
	var list []maildrop.Message
	for _, l := range letters {
		list = append(list, l.Message)
	}
	return list
}

// deliver delivers as an MTA does, and gives what a login finds.
func deliver(t testing.TB, s place, text string) letter {
	t.Helper()
	r, err := s.Deliver(t.Context(), user, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	all := listed(t, s)
	for _, l := range all {
		if l.UID == r.UID {
			return l
		}
	}
	t.Fatalf("%q was delivered and is not there", r.UID)
	return letter{}
}

// listed reads what a login finds.
func listed(t testing.TB, s maildrop.Store) []letter {
	t.Helper()
	m, err := s.Open(t.Context(), user)
	if err != nil {
		t.Fatalf("a login: %v", err)
	}
	defer m.Close()
	all := []letter{}
	seen := make(map[string]bool)
	for i, msg := range m.Messages() {
		r, err := m.Open(t.Context(), i)
		if err != nil {
			t.Fatalf("message %q: %v", msg.UID, err)
		}
		text, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatalf("message %q: %v", msg.UID, err)
		}
		if seen[msg.UID] {
			t.Errorf("message %q is listed twice", msg.UID)
		}
		seen[msg.UID] = true
		all = append(all, letter{msg, wireForm(string(text))})
	}
	return all
}

// wireForm is written apart from internal/wire.
func wireForm(text string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\r\n"
	}
	return text
}

// want checks what a login finds: UIDs, order, octets, and dates.
func want(t testing.TB, what string, s maildrop.Store, letters []letter) {
	t.Helper()
	got := listed(t, s)
	same := func(a, b letter) bool {
		return a.UID == b.UID && a.Size == b.Size && a.text == b.text && a.Received.UnixMilli() == b.Received.UnixMilli()
	}
	if !slices.EqualFunc(got, letters, same) {
		t.Errorf("%s is\n%s\nwant\n%s", what, show(got), show(letters))
	}
}

func show(letters []letter) string {
	var b strings.Builder
	for _, l := range letters {
		fmt.Fprintf(&b, "  %q %s %d %.40q\n", l.UID, l.Received.UTC().Format(time.RFC3339Nano), l.Size, l.text)
	}
	return b.String()
}

// run moves the user, and wants no error.
func run(t testing.TB, from, to maildrop.Store, opts move.Options) move.Result {
	t.Helper()
	result, err := move.New(from, to, opts).Run(t.Context(), user, nil)
	if err != nil {
		t.Fatalf("move: %v, %+v", err, result)
	}
	return result
}

// directions are the ways of a move. They are taken side by side.
func directions(t *testing.T, f func(t *testing.T, from, to place)) {
	for name, way := range directionsOf() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := way(t)
			f(t, from, to)
		})
	}
}

// plainDirections are the ways on which nothing is packed or sealed, for tests
// that die at every call: these take long, and to the calls that adds nothing.
func plainDirections() map[string]func(t *testing.T) (from, to place) {
	ways := directionsOf()
	delete(ways, "maildir to packed and sealed")
	delete(ways, "packed and sealed to maildir")
	return ways
}

func directionsOf() map[string]func(t *testing.T) (from, to place) {
	return map[string]func(t *testing.T) (from, to place){
		"maildir to bucket": func(t *testing.T) (place, place) { return newMaildirs(t), newBucket(t, bucket.Options{}, nil) },
		"bucket to maildir": func(t *testing.T) (place, place) { return newBucket(t, bucket.Options{}, nil), newMaildirs(t) },
		"maildir to packed and sealed": func(t *testing.T) (place, place) {
			return newMaildirs(t), newBucket(t, bucket.Options{Compress: true, Keys: []bucket.Key{{7}}, Buckets: 4}, nil)
		},
		"packed and sealed to maildir": func(t *testing.T) (place, place) {
			return newBucket(t, bucket.Options{Compress: true, Keys: []bucket.Key{{7}}, Economy: true}, nil), newMaildirs(t)
		},
	}
}
