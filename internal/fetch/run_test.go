package fetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/internal/fetch/target"
	"github.com/poplin-mail/poplin/pop3client"
	"github.com/poplin-mail/poplin/pop3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a server with mail, and an account that fetches it into a Maildir.
type bed struct {
	testing.TB
	*Account
	server *pop3test.Server
	dir    string
}

func newBed(t testing.TB, keep string) *bed {
	t.Helper()
	b := &bed{TB: t, server: pop3test.NewServer(t), dir: t.TempDir()}
	b.Account = &Account{Name: "work", Connect: b.connect, State: filepath.Join(b.dir, "state"), Keep: policy(t, keep)}
	b.addTarget("mail")
	return b
}

func policy(t testing.TB, text string) Policy {
	t.Helper()
	p, err := ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (b *bed) addTarget(name string) {
	b.Helper()
	d, err := target.OpenMaildir(disk.OS{}, filepath.Join(b.dir, name))
	if err != nil {
		b.Fatal(err)
	}
	b.Targets = append(b.Targets, d)
}

func (b *bed) connect(ctx context.Context) (*pop3client.Client, error) {
	c, err := pop3client.Dial(ctx, b.server.TLSAddr, &pop3client.Options{TLSConfig: b.server.ClientTLS})
	if err != nil {
		return nil, err
	}
	return c, c.Login(ctx, b.server.User, b.server.Password)
}

// deliver brings mail in, and gives its contents.
func (b *bed) deliver(from, to int) (all []string) {
	b.Helper()
	for i := from; i < to; i++ {
		text := letter(i)
		if _, err := b.server.Memory.Deliver(b.Context(), b.server.User, strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
		all = append(all, text)
	}
	return all
}

// letter is a message, some of them long.
func letter(i int) string {
	return fmt.Sprintf("Message-ID: <%d@example.org>\nDate: Fri, 27 Nov 2026 10:00:%02d +0000\nSubject: letter %d\n\n.dots\nlone\rCR\n%s\n",
		i, i%60, i, strings.Repeat("text of a line\n", i%7*150))
}

// run runs once.
func (b *bed) run(opts Options) (*Report, error) {
	b.Helper()
	return b.Run(b.Context(), opts)
}

// must runs once without an error.
func (b *bed) must() *Report {
	b.Helper()
	r, err := b.run(Options{})
	if err != nil {
		b.Fatalf("Run: %v", err)
	}
	return r
}

// onServer counts messages.
func (b *bed) onServer() int {
	b.Helper()
	u, err := b.server.Memory.Usage(b.Context(), b.server.User)
	if err != nil {
		return 0
	}
	return int(u.Messages)
}

// holds checks what is in a Maildir, each once, and that nothing is in tmp/.
func (b *bed) holds(name string, want []string) {
	b.Helper()
	var got []string
	for _, sub := range []string{"new", "cur", "tmp"} {
		entries, err := os.ReadDir(filepath.Join(b.dir, name, sub))
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range entries {
			content, err := os.ReadFile(filepath.Join(b.dir, name, sub, e.Name()))
			if err != nil {
				b.Fatal(err)
			}
			if sub == "tmp" {
				b.Errorf("%s is left in tmp/", e.Name())
			}
			got = append(got, string(content))
		}
	}
	want = slices.Clone(want)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		b.Errorf("%s holds %d messages, want %d", name, len(got), len(want))
	}
}

// TestKeepNone: what is new is fetched once, and deleted on the server.
func TestKeepNone(t *testing.T) {
	b := newBed(t, "none")
	mail := b.deliver(0, 30)
	r := b.must()
	if r.Retrieved != 30 || r.Delivered != 30 || r.Deleted != 30 || r.Listed != 30 {
		t.Errorf("the report is %+v", r)
	}
	b.holds("mail", mail)
	if n := b.onServer(); n != 0 {
		t.Errorf("%d messages are left on the server", n)
	}
	mail = append(mail, b.deliver(30, 33)...)
	if r := b.must(); r.Retrieved != 3 || r.Deleted != 3 {
		t.Errorf("the second report is %+v", r)
	}
	b.holds("mail", mail)
}

// TestKeepAll: nothing comes twice, and nothing is deleted.
func TestKeepAll(t *testing.T) {
	b := newBed(t, "all")
	mail := b.deliver(0, 10)
	b.must()
	if r := b.must(); r.Retrieved != 0 || r.Deleted != 0 {
		t.Errorf("the second report is %+v", r)
	}
	// A mail program moves what it has seen.
	for i, name := range b.names("mail/new") {
		if i%2 == 0 {
			b.rename("mail/new/"+name, "mail/cur/"+name+":2,S")
		}
	}
	mail = append(mail, b.deliver(10, 12)...)
	b.must()
	b.holds("mail", mail)
	if n := b.onServer(); n != 12 {
		t.Errorf("%d messages are on the server, want 12", n)
	}
	// The policy changes: what is safe goes.
	b.Keep = policy(t, "newest 5")
	if r := b.must(); r.Deleted != 7 {
		t.Errorf("the report is %+v", r)
	}
}

func (b *bed) names(dir string) (names []string) {
	b.Helper()
	entries, err := os.ReadDir(filepath.Join(b.dir, dir))
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (b *bed) rename(from, to string) {
	b.Helper()
	if err := os.Rename(filepath.Join(b.dir, from), filepath.Join(b.dir, to)); err != nil {
		b.Fatal(err)
	}
}

// broken is a target that fails.
type brokenTarget struct {
	target.Target
	fails func(m *target.Message) error
}

func (f *brokenTarget) Deliver(ctx context.Context, batch []*target.Message) []error {
	errs := make([]error, len(batch))
	for i, m := range batch {
		if errs[i] = f.fails(m); errs[i] == nil {
			errs[i] = f.Target.Deliver(ctx, []*target.Message{m})[0]
		}
	}
	return errs
}

// TestTargetDown: the others get theirs, nothing is deleted before all have
// it, and it is not retrieved for those again.
func TestTargetDown(t *testing.T) {
	b := newBed(t, "none")
	b.addTarget("archive")
	archive := b.Targets[1]
	down := &brokenTarget{archive, func(*target.Message) error { return errors.New("the disk is on fire") }}
	b.Targets[1] = down
	mail := b.deliver(0, 10)
	r, err := b.run(Options{})
	if err == nil || !Temporary(err) || len(r.Down) != 1 || r.Deleted != 0 {
		t.Errorf("the report is %+v, error %v", r, err)
	}
	b.holds("mail", mail)
	b.Targets[1] = archive
	if r := b.must(); r.Deleted != 10 {
		t.Errorf("the second report is %+v", r)
	}
	b.holds("mail", mail)
	b.holds("archive", mail)
	if n := b.onServer(); n != 0 {
		t.Errorf("%d messages are left on the server", n)
	}
}

// TestRefusal: one bad message does not keep the others, and is given up after
// some runs, until somebody asks for it.
func TestRefusal(t *testing.T) {
	b := newBed(t, "none")
	maildir := b.Targets[0]
	refuses := true
	b.Targets[0] = &brokenTarget{maildir, func(m *target.Message) error {
		if refuses && m.Octets == int64(len(letter(3))) {
			return &target.Refusal{Permanent: true, Reason: "too ugly"}
		}
		return nil
	}}
	mail := b.deliver(0, 7)
	for range tries {
		r, err := b.run(Options{})
		if err != nil || len(r.Failed) != 1 || r.Failed[0].Reason != "too ugly" {
			t.Fatalf("the report is %+v, error %v", r, err)
		}
	}
	if r := b.must(); r.Skipped != 1 || r.Retrieved != 0 || len(r.Failed) != 0 {
		t.Errorf("the report is %+v", r)
	}
	b.holds("mail", slices.Delete(slices.Clone(mail), 3, 4))
	if n := b.onServer(); n != 1 {
		t.Errorf("%d messages are on the server, want the one that was refused", n)
	}
	refuses = false
	if r, err := b.run(Options{Retry: true}); err != nil || r.Delivered != 1 {
		t.Errorf("the report is %+v, error %v", r, err)
	}
	b.holds("mail", mail)
}

// refusing is a target that refuses before a delivery begins.
type refusing struct{ target.Target }

func (f refusing) Prepare(ctx context.Context, batch []*target.Message) ([]string, []error) {
	errs := make([]error, len(batch))
	for i := range errs {
		errs[i] = &target.Refusal{Reason: "no room for it"}
	}
	return make([]string, len(batch)), errs
}

// TestRefusedBeforehand: a refusal counts wherever it comes.
func TestRefusedBeforehand(t *testing.T) {
	b := newBed(t, "none")
	b.Targets[0] = refusing{b.Targets[0]}
	b.deliver(0, 2)
	for range tries {
		if r, err := b.run(Options{}); err != nil || len(r.Failed) != 2 || r.Deleted != 0 {
			t.Fatalf("the report is %+v, error %v", r, err)
		}
	}
	if r := b.must(); r.Skipped != 2 || r.Retrieved != 0 {
		t.Errorf("the report is %+v", r)
	}
	b.holds("mail", nil)
}

// TestBrake: a policy that would delete much that earlier runs left is not
// followed without being told to.
func TestBrake(t *testing.T) {
	b := newBed(t, "all")
	b.deliver(0, 20)
	b.must()
	b.Keep, b.BrakeDeletions = policy(t, "newest 5"), 10
	r, err := b.run(Options{})
	if err == nil || Temporary(err) || r.Deleted != 0 || b.onServer() != 20 {
		t.Errorf("the report is %+v, error %v", r, err)
	}
	if r, err := b.run(Options{Delete: true}); err != nil || r.Deleted != 15 {
		t.Errorf("the report is %+v, error %v", r, err)
	}
}

// TestLarge: large messages stay on the server; with HeaderOnly their headers
// come.
func TestLarge(t *testing.T) {
	b := newBed(t, "none")
	b.MaxMessage = 10_000
	b.deliver(4, 7) // of which two are larger
	if r := b.must(); r.Skipped != 2 || r.Retrieved != 1 || r.Deleted != 1 {
		t.Errorf("the report is %+v", r)
	}
	b.HeaderOnly = true
	if r := b.must(); r.Retrieved != 2 || r.Deleted != 0 {
		t.Errorf("the report is %+v", r)
	}
	if r := b.must(); r.Retrieved != 0 || r.Deleted != 0 {
		t.Errorf("the report is %+v", r)
	}
	if n := b.onServer(); n != 2 {
		t.Errorf("%d messages are on the server", n)
	}
}

// TestDryRun says what would be done, and does nothing.
func TestDryRun(t *testing.T) {
	b := newBed(t, "newest 3")
	b.deliver(0, 5)
	r, err := b.run(Options{DryRun: true})
	if err != nil || len(r.Plan) != 5 {
		t.Fatalf("the report is %+v, error %v", r, err)
	}
	for i, s := range r.Plan {
		if !s.Retrieve || s.Delete != (i < 2) {
			t.Errorf("step %d is %+v", i, s)
		}
	}
	b.holds("mail", nil)
	if n := b.onServer(); n != 5 {
		t.Errorf("%d messages are on the server", n)
	}
}

// TestInUse: a second run of the account is told so.
func TestInUse(t *testing.T) {
	b := newBed(t, "all")
	begun, release := make(chan bool), make(chan bool)
	second := *b.Account
	b.Connect = func(ctx context.Context) (*pop3client.Client, error) {
		close(begun)
		<-release
		return b.connect(ctx)
	}
	done := make(chan error, 1)
	go func() {
		_, err := b.Run(t.Context(), Options{})
		done <- err
	}()
	<-begun
	if _, err := second.Run(t.Context(), Options{}); err == nil || !Temporary(err) {
		t.Errorf("the second run: %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPolicy(t *testing.T) {
	now := time.Now()
	day := 24 * time.Hour
	var messages []candidate
	for i := range 10 { // ten days old, nine, ...; 100 octets each
		messages = append(messages, candidate{100, i != 2, now.Add(-time.Duration(10-i) * day)})
	}
	for text, want := range map[string]string{
		"all":                        "",
		"none":                       "0 1 3 4 5 6 7 8 9",
		"5d":                         "0 1 3 4 5",
		"newest 3":                   "0 1 3 4 5 6",
		"newest 3 or 5d":             "0 1 3 4 5",
		"newest 3 and 5d":            "0 1 3 4 5 6",
		"newest 6 or 3d":             "0 1 3",
		"all and newest 9":           "0",
		"none and all":               "0 1 3 4 5 6 7 8 9",
		"none or newest 9":           "0",
		"until 600 free of 1000":     "0 1 3 4 5 6",
		"until 0 free of 1KiB":       "",
		"Until 1KiB Free of 2kb":     "",
		"until 1MiB free of 1MiB":    "0 1 3 4 5 6 7 8 9",
		"1w or until 950 free of 1k": "0 1 3",
	} {
		var got []string
		for _, i := range policy(t, text).doomed(messages, now.Add(time.Minute)) {
			got = append(got, fmt.Sprint(i))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q dooms %q, want %q", text, strings.Join(got, " "), want)
		}
	}
	for _, text := range []string{"", "some", "newest", "newest -1", "14", "d", "14x", "4d and 5d or 6d", "4d 5d", "and", "4d and", "until 2k free of 1k", "until x free of 1k", "until 1k free", "none none", "99999999d"} {
		if p, err := ParsePolicy(text); err == nil {
			t.Errorf("ParsePolicy(%q) gives %+v", text, p)
		}
	}
}
