package takeover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/poplin-mail/poplin/pop3client"
	"github.com/poplin-mail/poplin/pop3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// number makes a letter of its own.
func number(n int) string {
	return fmt.Sprintf(`Received: from a.example by mx.example.org with ESMTP id Q%[1]d
From: Ada <ada@example.org>
To: bela@example.org
Subject: letter %[1]d
Date: Mon, 02 Nov 2026 10:00:00 +0000
Message-ID: <%[1]d@example.org>

Hello %[1]d.
From here to there
From here to there
From here to there
From here to there
.
The end
`, n)
}

// delivered is what a delivery makes of a letter.
func delivered(text string) string {
	return "Return-Path: <ada@example.org>\nDelivered-To: bela@home\nReceived: from mx.example.org by home\n\twith POP3; today\n" + text
}

// maildirOf puts messages into new and cur of a Maildir and of a folder in it.
func maildirOf(t *testing.T, texts ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "Maildir")
	for _, sub := range []string{"new", "cur", "tmp", ".Sub/new", ".Sub/cur", ".Sub/tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i, text := range texts {
		sub := []string{"new", "cur", ".Sub/cur"}[i%3]
		if err := os.WriteFile(filepath.Join(dir, sub, fmt.Sprint(i, ".x")), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mboxOf(t *testing.T, texts ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "mbox")
	var b strings.Builder
	for _, text := range texts {
		b.WriteString("From ada@example.org Mon Nov  2 10:00:00 2026\n" + strings.ReplaceAll(text, "\nFrom here", "\n>From here") + "\n")
	}
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func indexOf(t *testing.T, names ...string) *Index {
	t.Helper()
	var x Index
	for _, name := range names {
		if err := x.Add(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	return &x
}

// login gives a session with a server that has these messages.
func login(t *testing.T, texts ...string) *pop3client.Client {
	t.Helper()
	s := pop3test.NewServer(t, pop3test.WithMessages(texts...))
	c, err := pop3client.DialInsecure(t.Context(), s.Addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Abort() })
	if err := c.Login(t.Context(), s.User, s.Password); err != nil {
		t.Fatal(err)
	}
	return c
}

// rebuild gives the numbers of the messages that are seen, and doubtful.
func rebuild(t *testing.T, c *pop3client.Client, x *Index, opts RebuildOptions) (seen, doubtful []int, r *Rebuilt) {
	t.Helper()
	r, err := Rebuild(t.Context(), c, x, opts)
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Uidl(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	listings, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	numbers := func(found []Seen) (numbers []int) {
		for _, s := range found {
			for i, u := range all {
				if u.UID == s.UID {
					numbers = append(numbers, u.Number)
					if s.Size != listings[i].Octets {
						t.Errorf("message %d: size %d, not %d", u.Number, s.Size, listings[i].Octets)
					}
				}
			}
		}
		return numbers
	}
	return numbers(r.Seen), numbers(r.Doubtful), r
}

// What was delivered, in whatever form, is found, and nothing else.
func TestRebuild(t *testing.T) {
	c := login(t, number(1), number(2), number(3), number(4), number(5), number(6), number(7))
	dir := maildirOf(t, delivered(number(1)), strings.ReplaceAll(number(3), "\n", "\r\n"), delivered(number(9)))
	box := mboxOf(t, delivered(number(6)), number(4))
	x := indexOf(t, dir, box)
	if x.Messages != 5 || x.Unknown != 0 {
		t.Errorf("%d messages, %d unknown", x.Messages, x.Unknown)
	}
	for range 2 { // an index can be used again
		seen, doubtful, r := rebuild(t, c, x, RebuildOptions{})
		if fmt.Sprint(seen, doubtful) != "[1 3 4 6] []" || r.Messages != 7 || r.Compared != 7 || r.Refused != 0 {
			t.Errorf("seen %v, doubtful %v, %+v", seen, doubtful, r)
		}
	}
	uids, err := c.Uidl(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	skip := func(uid string) bool { return uid == uids[2].UID || uid == uids[4].UID }
	if seen, _, r := rebuild(t, c, x, RebuildOptions{Skip: skip}); fmt.Sprint(seen) != "[1 4 6]" || r.Messages != 7 || r.Compared != 5 {
		t.Errorf("without two: seen %v, %+v", seen, r)
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Error(err)
	}
}

// A copy that is not whole, or not of that message, never counts.
func TestRebuildOthers(t *testing.T) {
	one := number(1)
	for name, test := range map[string]struct {
		have           []string
		seen, doubtful string
	}{
		"cut in the body":               {[]string{one[:len(one)-10]}, "[]", "[1]"},
		"cut in the header":             {[]string{one[:100]}, "[]", "[]"},
		"cut behind the header":         {[]string{one[:strings.Index(one, "\n\n")+2]}, "[]", "[1]"},
		"header alone":                  {[]string{one[:strings.Index(one, "\n\n")+1]}, "[]", "[1]"},
		"grown":                         {[]string{one + "a footer of a list\n"}, "[]", "[1]"},
		"half a message, and the whole": {[]string{one[:len(one)-10], delivered(one)}, "[1]", "[]"},
		"last line end missing":         {[]string{strings.TrimSuffix(one, "\n")}, "[1]", "[]"},
		"another way":                   {[]string{strings.Replace(one, "Q1", "Q7", 1)}, "[]", "[]"},
		"way of a list":                 {[]string{strings.Replace(one, "Received: from a.example by mx", "Received: from list by mx\nReceived: from a.example by list", 1)}, "[]", "[]"},
		"another subject":               {[]string{strings.Replace(one, "Subject: ", "Subject: [SPAM] ", 1)}, "[]", "[]"},
		"nothing":                       {nil, "[]", "[]"},
		"empty file":                    {[]string{""}, "[]", "[]"},
	} {
		c := login(t, one)
		x := indexOf(t, maildirOf(t, test.have...))
		seen, doubtful, _ := rebuild(t, c, x, RebuildOptions{})
		if fmt.Sprint(seen) != test.seen || fmt.Sprint(doubtful) != test.doubtful {
			t.Errorf("%s: seen %v, doubtful %v", name, seen, doubtful)
		}
		if test.doubtful == "[1]" {
			if seen, doubtful, _ := rebuild(t, c, x, RebuildOptions{IgnoreSize: true}); fmt.Sprint(seen, doubtful) != "[1] []" {
				t.Errorf("%s, whatever the size: seen %v, doubtful %v", name, seen, doubtful)
			}
		}
	}
}

// Equal messages are counted, and one copy is a copy of one message.
func TestRebuildEqual(t *testing.T) {
	one, list := number(1), strings.Replace(number(1), "Received: ", "Received: from list by mx\nReceived: ", 1)
	bare := strings.Replace(number(1), "Received: from a.example by mx.example.org with ESMTP id Q1\n", "", 1)
	for name, test := range map[string]struct {
		server, have []string
		seen         int
	}{
		"three, and one copy":                {[]string{one, one, one}, []string{one}, 1},
		"three, and two copies":              {[]string{one, one, one}, []string{one, delivered(one)}, 2},
		"two, and three copies":              {[]string{one, one}, []string{one, one, one}, 2},
		"direct and by a list, copy of list": {[]string{list, one}, []string{list}, 1},
		"two ways, a copy of each":           {[]string{one, list}, []string{delivered(one), delivered(list)}, 2},
		"no way, two and one":                {[]string{bare, bare}, []string{one}, 1},
	} {
		seen, _, _ := rebuild(t, login(t, test.server...), indexOf(t, maildirOf(t, test.have...)), RebuildOptions{})
		if len(seen) != test.seen {
			t.Errorf("%s: seen %v", name, seen)
		}
	}
	seen, _, _ := rebuild(t, login(t, one, list), indexOf(t, maildirOf(t, delivered(list))), RebuildOptions{})
	if !slices.Equal(seen, []int{2}) {
		t.Errorf("the copy by the list was taken for %v", seen)
	}
}

// A message that its header does not tell from others is not compared.
func TestRebuildUntold(t *testing.T) {
	text := "Subject: hello\nFrom: ada@example.org\n\nHello\n"
	huge := "Message-ID: <1@x>\nX: " + strings.Repeat("x", maxHeader) + "\n\nHello\n"
	x := indexOf(t, maildirOf(t, text, huge))
	if x.Messages != 2 || x.Unknown != 2 {
		t.Errorf("%+v", x)
	}
	x.Add(t.Context(), maildirOf(t, number(1)))
	if seen, doubtful, r := rebuild(t, login(t, text, number(1), huge), x, RebuildOptions{IgnoreSize: true}); fmt.Sprint(seen, doubtful) != "[2] []" || r.Compared != 3 {
		t.Errorf("seen %v, doubtful %v", seen, doubtful)
	}
}

// scripted is a server that answers as a table says.
func scripted(t *testing.T, answers map[string]string) *pop3client.Client {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		in := bufio.NewScanner(theirs)
		fmt.Fprint(theirs, "+OK ready\r\n")
		for in.Scan() {
			verb, _, _ := strings.Cut(in.Text(), " ")
			answer, known := answers[in.Text()]
			if !known {
				if answer, known = answers[verb]; !known {
					answer = "-ERR no"
				}
			}
			fmt.Fprint(theirs, strings.ReplaceAll(answer, "\n", "\r\n")+"\r\n")
		}
	}()
	c, err := pop3client.New(context.Background(), ours, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Abort(); <-done })
	return c
}

// Servers exist that count a line end as one octet in LIST.
func TestRebuildSizesInLF(t *testing.T) {
	text := number(1)
	c := scripted(t, map[string]string{
		"LIST": fmt.Sprintf("+OK\n1 %d\n2 %d\n.", len(text), len(text)-20), "UIDL": "+OK\n1 a\n2 b\n.",
		"TOP": "+OK\n" + text[:strings.Index(text, "\n\n")+2] + ".",
	})
	if seen, doubtful, _ := rebuild(t, c, indexOf(t, maildirOf(t, text, text)), RebuildOptions{}); fmt.Sprint(seen, doubtful) != "[1] [2]" {
		t.Errorf("seen %v, doubtful %v", seen, doubtful)
	}
}

func TestRebuildWithoutTop(t *testing.T) {
	for name, test := range map[string]struct {
		answers map[string]string
		want    error
		refused int
	}{
		"never":                {map[string]string{"LIST": "+OK\n1 10\n2 10\n.", "UIDL": "+OK\n1 a\n2 b\n."}, ErrNoTop, 0},
		"never, many messages": {map[string]string{"LIST": "+OK" + many("10") + "\n.", "UIDL": "+OK" + many("a") + "\n."}, ErrNoTop, 0},
		"for one":              {map[string]string{"LIST": "+OK\n1 10\n2 10\n.", "UIDL": "+OK\n1 a\n2 b\n.", "TOP 2 0": "+OK\nMessage-ID: x\n\n."}, nil, 1},
		"no messages":          {map[string]string{"LIST": "+OK\n.", "UIDL": "+OK\n."}, nil, 0},
	} {
		r, err := Rebuild(t.Context(), scripted(t, test.answers), &Index{}, RebuildOptions{})
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) || err == nil && r.Refused != test.refused {
			t.Errorf("%s: %v, %+v", name, err, r)
		}
	}
	if _, err := Rebuild(t.Context(), scripted(t, map[string]string{"LIST": "+OK\n."}), &Index{}, RebuildOptions{}); err == nil {
		t.Error("a server without UIDL gives no error")
	}
	cut := map[string]string{"LIST": "+OK\n1 10\n.", "UIDL": "+OK\n1 a\n.", "TOP": "hello"}
	if _, err := Rebuild(t.Context(), scripted(t, cut), &Index{}, RebuildOptions{}); err == nil || errors.Is(err, ErrNoTop) {
		t.Errorf("a session that breaks: %v", err)
	}
}

func many(value string) string {
	var b strings.Builder
	for i := range 50 {
		fmt.Fprintf(&b, "\n%d %s", i+1, value)
	}
	return b.String()
}
