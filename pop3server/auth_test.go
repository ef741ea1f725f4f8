package pop3server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	gosasl "github.com/emersion/go-sasl"

	"github.com/poplin-mail/poplin/pop3server"
	"github.com/poplin-mail/poplin/sasl"
)

// keyring is an Authenticator with everything: mrose has the password
// "secret" and the token "token"; "admin" may act for mrose.
type keyring struct {
	users
	without string // a mechanism that Offers refuses
	deny    error  // of SCRAM, with the right keys
}

func (k keyring) account(name string) (pop3server.Account, error) {
	if _, known := k.users[name]; !known {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return pop3server.Account{Name: name, Maildrop: name}, nil
}

func (k keyring) CRAM(_ context.Context, l pop3server.Login, challenge, digest string) (pop3server.Account, error) {
	if !sasl.CheckCRAM(challenge, k.users[l.Username], digest) {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return k.account(l.Username)
}

func (k keyring) SCRAM(_ context.Context, l pop3server.Login, hash sasl.Hash) (sasl.Keys, pop3server.Account, error) {
	password, known := k.users[l.Username]
	if !known {
		password = "of nobody"
	}
	keys, err := sasl.DeriveKeys(hash, password, []byte("salt of "+l.Username), 4096)
	if err != nil {
		return keys, pop3server.Account{}, err
	}
	if k.deny != nil {
		return keys, pop3server.Account{}, k.deny
	}
	account, err := k.account(l.Username)
	return keys, account, err
}

func (k keyring) Token(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	if !strings.HasPrefix(l.Password, "token") {
		return pop3server.Account{}, errors.Join(pop3server.ErrBadCredentials, &sasl.BearerError{Status: "invalid_token", Scope: "pop"})
	}
	return k.account("mrose")
}

func (k keyring) Certificate(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	return k.account(l.TLS.VerifiedChains[0][0].Subject.CommonName)
}

func (k keyring) ActFor(_ context.Context, l pop3server.Login, own pop3server.Account, identity string) (pop3server.Account, error) {
	if own.Name != "admin" {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return k.account(identity)
}

func (k keyring) Offers(mechanism string) bool { return mechanism != k.without }

var ring = keyring{users: users{"mrose": "secret", "other": "secret", "admin": "root"}}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// authenticate runs a client's side of an exchange and gives the last reply.
func (p *peer) authenticate(client gosasl.Client) string {
	p.t.Helper()
	name, initial, err := client.Start()
	if err != nil {
		p.t.Fatal(err)
	}
	line := "AUTH " + name
	if initial != nil {
		line += " " + b64(string(initial))
	}
	for {
		p.send(line + "\r\n")
		reply := p.want("")
		challenge, more := strings.CutPrefix(reply, "+ ")
		if !more {
			return reply
		}
		data, err := base64.StdEncoding.DecodeString(challenge)
		if err != nil {
			p.t.Fatalf("challenge %q: %v", challenge, err)
		}
		response, err := client.Next(data)
		if err != nil {
			line = "*"
			continue
		}
		line = b64(string(response))
	}
}

// secure is dial and STLS.
func secure(t *testing.T, addr string) *peer {
	t.Helper()
	p := dial(t, addr)
	p.do("STLS", "+OK")
	return p.overTLS()
}

func (p *peer) binding() sasl.Binding {
	b, err := sasl.TLSBinding(p.Conn.(*tls.Conn).ConnectionState())
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func TestMechanismsOffered(t *testing.T) {
	config, _ := certificate()
	all := "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 OAUTHBEARER XOAUTH2 PLAIN LOGIN"
	cases := []struct {
		auth   pop3server.Authenticator
		chosen []string
		want   string
	}{
		{ring, nil, all},
		{somebody, nil, "PLAIN LOGIN"},
		{ring, []string{"CRAM-MD5", "PLAIN", "EXTERNAL"}, "CRAM-MD5 PLAIN"},
		{ring, []string{"SCRAM-SHA-256"}, "SCRAM-SHA-256"},
		{somebody, []string{"SCRAM-SHA-256"}, ""},
		{keyring{users: ring.users, without: "OAUTHBEARER"}, nil, strings.Replace(all, "OAUTHBEARER ", "", 1)},
	}
	for _, c := range cases {
		_, addr := serve(t, store(t), c.auth, pop3server.Options{TLSConfig: config, Mechanisms: c.chosen})
		p := dial(t, addr)
		p.do("AUTH", "+OK")
		if got := p.lines(); len(got) != 0 {
			t.Errorf("before TLS: %q", got)
		}
		p.do("STLS", "+OK")
		p = p.overTLS()
		p.do("AUTH", "+OK")
		if got := strings.Join(p.lines(), " "); got != c.want {
			t.Errorf("%T with %q offers %q, want %q", c.auth, c.chosen, got, c.want)
		}
		p.do("CAPA", "+OK")
		capa := p.lines()
		if got := slices.Contains(capa, "SASL "+c.want); got != (c.want != "") {
			t.Errorf("CAPA %q, want SASL %s", capa, c.want)
		}
		user := c.chosen == nil || slices.Contains(c.chosen, "PLAIN")
		if slices.Contains(capa, "USER") != user {
			t.Errorf("with %q CAPA is %q", c.chosen, capa)
		}
		p.do("USER mrose", "+OK")
		if reply := p.do("PASS secret", ""); strings.HasPrefix(reply, "+OK") != user {
			t.Errorf("with %q PASS gives %q", c.chosen, reply)
		}
	}
}

func TestMechanismsLogIn(t *testing.T) {
	config, _ := certificate()
	var log logBuffer
	_, addr := serve(t, store(t), ring, pop3server.Options{TLSConfig: config, Logger: slog.New(slog.NewTextHandler(&log, nil)), MaxSessionsPerAddr: -1,
		Mechanisms: []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "OAUTHBEARER", "XOAUTH2", "CRAM-MD5", "PLAIN", "LOGIN"}})
	none := sasl.Binding{}
	bearer := func(user, token string) gosasl.Client {
		return gosasl.NewOAuthBearerClient(&gosasl.OAuthBearerOptions{Username: user, Token: token})
	}
	cases := []struct {
		what   string
		client func(p *peer) gosasl.Client
		want   string
	}{
		{"PLAIN", func(*peer) gosasl.Client { return gosasl.NewPlainClient("", "mrose", "secret") }, "+OK"},
		{"PLAIN, wrong", func(*peer) gosasl.Client { return gosasl.NewPlainClient("", "mrose", "guess") }, "-ERR [AUTH]"},
		{"PLAIN, as oneself", func(*peer) gosasl.Client { return gosasl.NewPlainClient("mrose", "mrose", "secret") }, "+OK"},
		{"PLAIN, as another", func(*peer) gosasl.Client { return gosasl.NewPlainClient("other", "mrose", "secret") }, "-ERR [AUTH]"},
		{"PLAIN, admin as another", func(*peer) gosasl.Client { return gosasl.NewPlainClient("mrose", "admin", "root") }, "+OK"},
		{"PLAIN, admin as nobody", func(*peer) gosasl.Client { return gosasl.NewPlainClient("nobody", "admin", "root") }, "-ERR [AUTH]"},
		{"LOGIN", func(*peer) gosasl.Client { return sasl.NewLoginClient("mrose", "secret") }, "+OK"},
		{"CRAM-MD5", func(*peer) gosasl.Client { return sasl.NewCRAMMD5Client("mrose", "secret") }, "+OK"},
		{"CRAM-MD5, wrong", func(*peer) gosasl.Client { return sasl.NewCRAMMD5Client("mrose", "guess") }, "-ERR [AUTH]"},
		{"SCRAM", func(*peer) gosasl.Client { return sasl.NewSCRAMClient(sasl.SHA256, "mrose", "secret", "", none) }, "+OK"},
		{"SCRAM, wrong", func(*peer) gosasl.Client { return sasl.NewSCRAMClient(sasl.SHA256, "mrose", "guess", "", none) }, "-ERR [AUTH]"},
		{"SCRAM, nobody", func(*peer) gosasl.Client { return sasl.NewSCRAMClient(sasl.SHA1, "nobody", "of nobody", "", none) }, "-ERR [AUTH]"},
		{"SCRAM, admin as another", func(*peer) gosasl.Client { return sasl.NewSCRAMClient(sasl.SHA256, "admin", "root", "mrose", none) }, "+OK"},
		{"SCRAM, another", func(*peer) gosasl.Client { return sasl.NewSCRAMClient(sasl.SHA256, "mrose", "secret", "other", none) }, "-ERR [AUTH]"},
		{"SCRAM-PLUS", func(p *peer) gosasl.Client {
			return sasl.NewSCRAMClient(sasl.SHA256, "mrose", "secret", "", p.binding())
		}, "+OK"},
		{"SCRAM-SHA-1-PLUS", func(p *peer) gosasl.Client { return sasl.NewSCRAMClient(sasl.SHA1, "mrose", "secret", "", p.binding()) }, "+OK"},
		{"SCRAM-PLUS of another connection", func(p *peer) gosasl.Client {
			b := p.binding()
			b.Data = slices.Clone(b.Data)
			b.Data[0] ^= 1
			return sasl.NewSCRAMClient(sasl.SHA256, "mrose", "secret", "", b)
		}, "-ERR"},
		{"OAUTHBEARER", func(*peer) gosasl.Client { return bearer("mrose", "token") }, "+OK"},
		{"OAUTHBEARER, 12 kB", func(*peer) gosasl.Client { return bearer("mrose", "token"+strings.Repeat("x", 12<<10)) }, "+OK"},
		{"OAUTHBEARER, wrong", func(*peer) gosasl.Client { return bearer("mrose", "other") }, "-ERR [AUTH]"},
		{"XOAUTH2", func(*peer) gosasl.Client { return sasl.NewXOAUTH2Client("mrose", "token") }, "+OK"},
		{"XOAUTH2, wrong", func(*peer) gosasl.Client { return sasl.NewXOAUTH2Client("mrose", "other") }, "-ERR [AUTH]"},
	}
	for _, c := range cases {
		p := secure(t, addr)
		if reply := p.authenticate(c.client(p)); !strings.HasPrefix(reply, c.want) {
			t.Errorf("%s: %q, want %q", c.what, reply, c.want)
		}
		if strings.HasPrefix(c.want, "+OK") {
			p.do("STAT", "+OK")
		} else {
			p.do("STAT", "-ERR Log in first")
		}
		p.do("QUIT", "+OK")
		p.closed()
	}
	wrong := 0
	for _, c := range cases {
		if c.want == "-ERR [AUTH]" {
			wrong++
		}
	}
	if got := strings.Count(log.String(), "level=WARN"); got != wrong {
		t.Errorf("%d failures in the log, want %d:\n%s", got, wrong, &log)
	}
	for _, secret := range []string{"guess", "secret", "root", "token"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// TestSCRAMTellsNotWhoExists: a client that gives up, or sends rubbish for a
// proof, hears the same for a user that exists and one that does not.
func TestSCRAMTellsNotWhoExists(t *testing.T) {
	_, addr := serve(t, store(t), ring, clear)
	talk := func(name, end string) string {
		p := dial(t, addr)
		p.send("AUTH SCRAM-SHA-256 " + b64("n,,n="+name+",r=abc") + "\r\n")
		first := p.want("+ ")
		data, _ := base64.StdEncoding.DecodeString(first[2:])
		nonce, _, _ := strings.Cut(string(data), ",")
		p.send(strings.ReplaceAll(end, "NONCE", strings.TrimPrefix(nonce, "r=")) + "\r\n")
		return p.want("")
	}
	for _, end := range []string{"*", "", "!", b64("c=biws"), b64("c=biws,r=NONCE,p=AAAA"), b64("c=biws,r=abc,p=AAAA")} {
		known, unknown := talk("mrose", end), talk("nobody", end)
		if known != unknown || !strings.HasPrefix(known, "-ERR") {
			t.Errorf("ending with %q: %q and %q", end, known, unknown)
		}
	}
	denied := ring
	denied.deny = pop3server.ErrBadCredentials
	_, addr = serve(t, store(t), denied, clear)
	p := dial(t, addr)
	if reply := p.authenticate(sasl.NewSCRAMClient(sasl.SHA256, "mrose", "secret", "", sasl.Binding{})); !strings.HasPrefix(reply, "-ERR [AUTH]") {
		t.Errorf("right password of a user who may not: %q", reply)
	}
	broken := ring
	broken.deny = errors.New("database gone")
	_, addr = serve(t, store(t), broken, clear)
	p = dial(t, addr)
	if reply := p.authenticate(sasl.NewSCRAMClient(sasl.SHA256, "mrose", "secret", "", sasl.Binding{})); !strings.HasPrefix(reply, "-ERR [SYS/TEMP]") {
		t.Errorf("with a directory that fails: %q", reply)
	}
}

func TestExternal(t *testing.T) {
	config, trust := certificate()
	config = config.Clone()
	config.ClientAuth, config.ClientCAs = tls.VerifyClientCertIfGiven, trust.RootCAs
	s := store(t)
	s.Create("localhost")
	_, addr := serve(t, s, keyring{users: users{"localhost": "x", "mrose": "x"}}, pop3server.Options{TLSConfig: config})
	with := trust.Clone()
	with.Certificates = config.Certificates // its common name is localhost
	dialTLS := func(c *tls.Config) *peer {
		p := dial(t, addr)
		p.do("STLS", "+OK")
		conn := tls.Client(p.Conn, c)
		return &peer{t: t, Conn: conn, r: bufio.NewReader(conn)}
	}
	p := dialTLS(with)
	p.do("AUTH", "+OK")
	if got := p.lines(); !slices.Contains(got, "EXTERNAL") {
		t.Errorf("with a certificate: %q", got)
	}
	p.do("AUTH EXTERNAL "+b64("mrose"), "-ERR [AUTH]")
	p.do("AUTH EXTERNAL "+b64("local\r\nhost"), "-ERR")
	p.do("AUTH EXTERNAL =", "+OK")
	p.do("QUIT", "+OK")
	p = dialTLS(with)
	p.do("AUTH EXTERNAL "+b64("localhost"), "+OK")
	p = dialTLS(trust)
	p.do("AUTH EXTERNAL =", "-ERR Mechanism is not available")
}

// gate is a Guard that counts, and refuses when it is told to.
type gate struct {
	mu      sync.Mutex
	events  []string
	refuses error
}

func (g *gate) Attempt(_ context.Context, l pop3server.Login) (func(error), error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, "attempt "+l.Username)
	if g.refuses != nil {
		return nil, g.refuses
	}
	return func(err error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		switch {
		case err == nil:
			g.events = append(g.events, "right")
		case errors.Is(err, pop3server.ErrBadCredentials):
			g.events = append(g.events, "wrong")
		default:
			g.events = append(g.events, "fault")
		}
	}, nil
}

func TestGuardHearsOfEachGuess(t *testing.T) {
	none := sasl.Binding{}
	cases := []struct {
		what string
		do   func(p *peer)
		want string
	}{
		{"PASS", func(p *peer) { p.do("USER mrose", "+OK"); p.do("PASS secret", "+OK") }, "attempt mrose, right"},
		{"PASS, wrong", func(p *peer) { p.do("USER mrose", "+OK"); p.do("PASS guess", "-ERR") }, "attempt mrose, wrong"},
		{"PLAIN", func(p *peer) { p.authenticate(gosasl.NewPlainClient("", "mrose", "guess")) }, "attempt mrose, wrong"},
		{"SCRAM", func(p *peer) { p.authenticate(sasl.NewSCRAMClient(sasl.SHA256, "mrose", "secret", "", none)) }, "attempt mrose, right"},
		{"SCRAM, wrong", func(p *peer) { p.authenticate(sasl.NewSCRAMClient(sasl.SHA256, "mrose", "x", "", none)) }, "attempt mrose, wrong"},
		{"SCRAM given up", func(p *peer) {
			p.send("AUTH SCRAM-SHA-256 " + b64("n,,n=mrose,r=abc") + "\r\n*\r\n")
			p.want("+")
			p.want("-ERR")
		}, ""},
		{"token", func(p *peer) { p.authenticate(sasl.NewXOAUTH2Client("mrose", "bad")) }, "attempt mrose, wrong"},
		{"APOP, malformed", func(p *peer) { p.do("APOP mrose", "-ERR") }, ""},
	}
	for _, c := range cases {
		g := &gate{}
		opts := clear
		opts.Guard = g
		_, addr := serve(t, store(t), ring, opts)
		p := dial(t, addr)
		c.do(p)
		p.do("QUIT", "+OK")
		if got := strings.Join(g.events, ", "); got != c.want {
			t.Errorf("%s: the guard heard %q, want %q", c.what, got, c.want)
		}
	}
	opts := clear
	opts.Guard = &gate{refuses: errors.New("too many")}
	_, addr := serve(t, store(t), ring, opts)
	p := dial(t, addr)
	p.do("USER mrose", "+OK")
	p.do("PASS secret", "-ERR [SYS/TEMP]")
	if reply := p.authenticate(sasl.NewSCRAMClient(sasl.SHA256, "mrose", "secret", "", none)); !strings.HasPrefix(reply, "-ERR [SYS/TEMP]") {
		t.Errorf("SCRAM under a guard that refuses: %q", reply)
	}
}
