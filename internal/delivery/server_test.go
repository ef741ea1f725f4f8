package delivery

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// post is a Server with users, and where their mail is.
type post struct {
	testing.TB
	*Server
	store *memory.Store
	log   *lines
	addr  string
}

// newPost serves users with mail in memory.
func newPost(t testing.TB, users string, opts Options) *post {
	t.Helper()
	p := newIdle(t, users, opts)
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "lmtp"))
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	p.serve(l)
	return p
}

// newIdle is newPost without a listener.
func newIdle(t testing.TB, users string, opts Options) *post {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := directory.Open(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := directory.New(directory.Options{Sources: []directory.Source{source}})
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := directory.NewAddresses(d, directory.AddressOptions{Separators: "+"})
	if err != nil {
		t.Fatal(err)
	}
	p := &post{TB: t, store: memory.New(), log: new(lines)}
	if opts.Agent == nil {
		opts.Agent = &Agent{Store: p.store}
	}
	opts.Agent.Addresses, opts.Agent.Hostname = addresses, "mx.example.org"
	opts.Agent.Logger = slog.New(slog.NewTextHandler(p.log, nil))
	p.Server = NewServer(opts)
	return p
}

// serve serves a listener until the test ends.
func (p *post) serve(l net.Listener) {
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(l) }()
	p.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := p.Shutdown(ctx); err != nil {
			p.Errorf("Shutdown: %v", err)
		}
		if err := <-ended; err != ErrServerClosed {
			p.Errorf("Serve: %v", err)
		}
	})
}

// lines is a log that many goroutines write.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// said gives the log.
func (p *post) said() string {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	return p.log.text.String()
}

// mta is a connection to a Server.
type mta struct {
	testing.TB
	net.Conn
	r *bufio.Reader
}

func (p *post) dial() *mta {
	p.Helper()
	nc, err := net.Dial("unix", p.addr)
	if err != nil {
		p.Fatal(err)
	}
	return greeted(p.TB, nc)
}

// greeted makes an mta of a connection, and reads the greeting.
func greeted(t testing.TB, nc net.Conn) *mta {
	t.Helper()
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	c := &mta{t, nc, bufio.NewReader(nc)}
	c.expect("220 mx.example.org LMTP")
	return c
}

// send sends text.
func (c *mta) send(text string) {
	c.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.Fatal(err)
	}
}

// expect reads replies, which must begin so.
func (c *mta) expect(replies ...string) {
	c.Helper()
	for _, want := range replies {
		for {
			line, err := c.r.ReadString('\n')
			if err != nil {
				c.Fatalf("error %v, want a reply that begins with %q", err, want)
			}
			if len(line) > 3 && line[3] == '-' {
				continue
			}
			if !strings.HasPrefix(line, want) {
				c.Fatalf("reply %q, want one that begins with %q", line, want)
			}
			break
		}
	}
}

// ended checks that the connection is closed.
func (c *mta) ended() {
	c.Helper()
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		c.Errorf("there is %q, error %v, where the connection should be closed", rest, err)
	}
}

// mail gives what a user has.
func (p *post) mail(user string) []string {
	p.Helper()
	p.store.Create(user)
	m, err := p.store.Open(p.Context(), user)
	if err != nil {
		p.Fatal(err)
	}
	defer m.Close()
	var all []string
	for i := range m.Messages() {
		r, err := m.Open(p.Context(), i)
		if err != nil {
			p.Fatal(err)
		}
		content, _ := io.ReadAll(r)
		r.Close()
		all = append(all, string(content))
	}
	return all
}

// body cuts off the lines that delivery adds.
var added = regexp.MustCompile(`^Return-Path: <.*>\n(Delivered-To: .*\n)?Received: .*\n(\t.*\n)+`)

func body(message string) string { return added.ReplaceAllString(message, "") }

const users = "anna@example.org:!\nbert@example.org:!\ncarl@example.org:!::::::userdb_quota_rule=*:bytes=400\n"

func TestDeliver(t *testing.T) {
	p := newPost(t, users, Options{MaxMessage: 100_000})
	c := p.dial()
	c.send("LHLO relay.example.org\r\nMAIL FROM:<eve@example.com> SIZE=20 BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<anna+tag@example.org>\r\nDATA\r\n")
	c.expect("250 ", "250 2.0.0", "250 2.0.0", "354 ")
	c.send("Subject: x\r\n\r\n..dot\r\nlone\rCR\r\n.\r\n")
	c.expect("250 2.0.0 <anna+tag@example.org>")
	got := p.mail("anna@example.org")
	want := regexp.MustCompile(`^Return-Path: <eve@example.com>\nDelivered-To: anna\+tag@example.org\nReceived: from relay.example.org by mx.example.org \(Poplin\)\n` +
		`\twith LMTP id [a-z2-7]{16}\n\tfor <anna\+tag@example.org>;\n\t\w+, \d+ \w+ \d{4} [\d:]{8} [+-]\d{4}\nSubject: x\n\n\.dot\nlone\rCR\n$`)
	if len(got) != 1 || !want.MatchString(got[0]) {
		t.Errorf("delivered is %q", got)
	}
	c.send("QUIT\r\n")
	c.expect("221 ")
	c.ended()
	if said := p.said(); !strings.Contains(said, "message delivered") || !strings.Contains(said, "user=anna@example.org") {
		t.Errorf("log is %s", said)
	}
}

func TestCapabilities(t *testing.T) {
	c := newPost(t, users, Options{}).dial()
	c.send("LHLO x\r\n")
	var all strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(line)
		if line[3] == ' ' {
			break
		}
	}
	for _, capability := range []string{"SIZE", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES", "CHUNKING"} {
		if !strings.Contains(all.String(), capability) {
			t.Errorf("%s is not in %q", capability, all.String())
		}
	}
	if strings.Contains(all.String(), "STARTTLS") {
		t.Error("STARTTLS is offered on a unix socket")
	}
}

// TestManyRecipients: hostile.md, "50 recipients of which the 17th fails".
func TestManyRecipients(t *testing.T) {
	var users strings.Builder
	for i := range 50 {
		quota := ""
		if i == 16 {
			quota = "::::::userdb_quota_rule=*:bytes=10"
		}
		fmt.Fprintf(&users, "u%d:!%s\n", i, quota)
	}
	p := newPost(t, users.String(), Options{})
	c := p.dial()
	c.send("LHLO x\r\nMAIL FROM:<>\r\n")
	c.expect("250", "250")
	for i := range 50 {
		c.send(fmt.Sprintf("RCPT TO:<u%d@example.org>\r\n", i))
		c.expect("250")
	}
	c.send("RCPT TO:<nobody@example.org>\r\nDATA\r\nHello\r\n.\r\n")
	c.expect("550 5.1.1", "354")
	for i := range 50 {
		want := "250 2.0.0"
		if i == 16 {
			want = "452 4.2.2"
		}
		c.expect(fmt.Sprintf("%s <u%d@example.org>", want, i))
	}
	for i := range 50 {
		got := p.mail(fmt.Sprintf("u%d", i))
		if i == 16 && len(got) != 0 || i != 16 && (len(got) != 1 || body(got[0]) != "Hello\n" || strings.Contains(got[0], "u1@")) {
			t.Errorf("u%d has %q", i, got)
		}
	}
	c.send("NOOP\r\n")
	c.expect("250")
}

// TestNamedTwice: a user whom two addresses name has the message once.
func TestNamedTwice(t *testing.T) {
	p := newPost(t, users, Options{})
	c := p.dial()
	c.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nRCPT TO:<anna+a@example.org>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\nx\r\n.\r\n")
	c.expect("250", "250", "250", "250", "250", "354", "250", "250", "250")
	if got := p.mail("anna@example.org"); len(got) != 1 {
		t.Errorf("there are %d messages", len(got))
	}
}

func TestTooLarge(t *testing.T) {
	for name, sendIt := range map[string]func(c *mta, text string){
		"data": func(c *mta, text string) { c.send("DATA\r\n" + text + ".\r\n"); c.expect("354") },
		"bdat": func(c *mta, text string) { c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(text), text)) },
		"chunks": func(c *mta, text string) {
			half := len(text) / 2
			c.send(fmt.Sprintf("BDAT %d\r\n%sBDAT %d LAST\r\n%s", half, text[:half], len(text)-half, text[half:]))
			c.expect("250")
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPost(t, users, Options{MaxMessage: 100_000, OverQuota: 552})
			c := p.dial()
			c.send("LHLO x\r\nMAIL FROM:<e@example.com> SIZE=100001\r\n")
			c.expect("250", "552 5.3.4")
			const rcpt = "MAIL FROM:<e@example.com>\r\nRCPT TO:<anna@example.org>\r\nRCPT TO:<carl@example.org>\r\n"
			for size, want := range map[int][2]string{100_000: {"250", "552 5.2.2"}, 100_001: {"552 5.3.4", "552 5.3.4"}, 1_000_000: {"552 5.3.4", "552 5.3.4"}} {
				c.send(rcpt)
				c.expect("250", "250", "250")
				sendIt(c, strings.Repeat("x", size-2)+"\r\n")
				c.expect(want[:]...)
			}
			c.send("QUIT\r\n")
			c.expect("221")
			if got := p.mail("anna@example.org"); len(got) != 1 || len(body(got[0])) != 99_999 {
				t.Errorf("there are %d messages", len(got))
			}
		})
	}
}

// TestHostileSender: no sender makes a header.
func TestHostileSender(t *testing.T) {
	for _, from := range []string{"a\rX-Evil: 1@example.com", "a\nX-Evil: 1@example.com", "\"a\\\nX-Evil: 1\"@example.com", "a>\x00@example.com", "\"a\rX-Evil: 1\"@example.com", "a b@example.com", "\"x y\"@example.com"} {
		p := newPost(t, users, Options{})
		c := p.dial()
		c.send("LHLO a\tb\rc\r\nMAIL FROM:<" + from + ">\r\n")
		c.send("RSET\r\nLHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\nbody\r\n.\r\nQUIT\r\n")
		io.ReadAll(c.r)
		for _, message := range p.mail("anna@example.org") {
			if strings.Contains(message, "\nX-Evil") || strings.ContainsAny(strings.SplitN(message, "\nbody", 2)[0], "\r\x00") {
				t.Errorf("sender %q makes %q", from, message)
			}
		}
	}
	for text, want := range map[string]string{"a\r\nb": "ab", "<a>": "a", "a\x00\u0085b\xff": "ab", "ä@ö.example": "ä@ö.example"} {
		if got := clean(text); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestBroken: a message whose connection ends before it does is no message.
func TestBroken(t *testing.T) {
	p := newPost(t, users, Options{})
	for _, text := range []string{"DATA\r\npart", "DATA\r\npart\r\n.\r", "BDAT 100\r\npart", "BDAT 4\r\npart", "BDAT 4\r\npartRSET\r\nBDAT 0 LAST\r\n", "BDAT 0\r\nRSET\r\n"} {
		c := p.dial()
		c.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\n" + text)
		c.expect("250", "250", "250")
		c.Conn.(*net.UnixConn).CloseWrite()
		io.ReadAll(c.r)
	}
	if got := p.mail("anna@example.org"); len(got) != 0 {
		t.Errorf("delivered is %q", got)
	}
}

func TestLongCommand(t *testing.T) {
	p := newPost(t, users, Options{})
	c := p.dial()
	go io.Copy(c, io.LimitReader(endless{}, 100<<20)) // it ends when the connection does
	c.expect("421 4.4.0")
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestTrusted: over TCP only trusted networks may deliver.
func TestTrusted(t *testing.T) {
	p := newPost(t, users, Options{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.serve(l)
	for from, want := range map[string]string{"127.0.0.1": "220 mx", "127.0.0.2": ""} {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
		nc, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		line, _ := bufio.NewReader(nc).ReadString('\n')
		if nc.Close(); !strings.HasPrefix(line, want) || want == "" && line != "" {
			t.Errorf("from %s the greeting is %q", from, line)
		}
	}
}

// slow is a store that waits.
type slow struct {
	*memory.Store
	begun, enough chan struct{}
}

func (s slow) Distribute(ctx context.Context, to []maildrop.Recipient, r io.Reader) ([]maildrop.Outcome, error) {
	close(s.begun)
	<-s.enough
	return s.Store.Distribute(ctx, to, r)
}

// TestShutdown: a message under way is acknowledged, connections without one
// are closed, and nobody is let in.
func TestShutdown(t *testing.T) {
	store := slow{memory.New(), make(chan struct{}), make(chan struct{})}
	p := newPost(t, users, Options{Agent: &Agent{Store: store}})
	idle, busy := p.dial(), p.dial()
	busy.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\nlast\r\n.\r\n")
	busy.expect("250", "250", "250", "354")
	<-store.begun
	ended := make(chan error, 1)
	go func() { ended <- p.Shutdown(t.Context()) }()
	idle.ended()
	close(store.enough)
	busy.expect("250")
	busy.ended()
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := net.Dial("unix", p.addr); err == nil {
		t.Error("a connection was accepted behind Shutdown")
	}
}
