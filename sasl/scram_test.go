package sasl

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	gosasl "github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// exchange runs both sides until one is done or fails.
func exchange(client gosasl.Client, server gosasl.Server) error {
	_, response, err := client.Start()
	if err != nil {
		return err
	}
	for range 10 {
		challenge, done, err := server.Next(response)
		if err != nil {
			return err
		}
		if done {
			if d, ok := client.(interface{ Done() bool }); ok && !d.Done() {
				return errors.New("the server is content before the client is")
			}
			return nil
		}
		if response, err = client.Next(challenge); err != nil {
			return err
		}
		if response == nil {
			response = []byte{}
		}
	}
	return errors.New("endless exchange")
}

// TestKeys compares with the examples of RFC 5802 section 5 and RFC 7677
// section 3: the proofs in them follow from these keys.
func TestKeys(t *testing.T) {
	cases := []struct {
		hash         Hash
		salt         string
		authMessage  string
		proof, final string
	}{
		{SHA1, "QSXCR+Q6sek8bf92",
			"n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
			"v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		{SHA256, "W22ZaJ0SNY7soEsUEjb6gQ==",
			"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
			"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	}
	for _, c := range cases {
		salt, _ := base64.StdEncoding.DecodeString(c.salt)
		keys, err := DeriveKeys(c.hash, "pencil", salt, 4096)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(c.authMessage, ",")
		_, nonce, _ := strings.Cut(parts[2], parts[1])
		server := NewSCRAMServer(c.hash, false, Binding{}, false, func(username, identity string) (Keys, error) {
			if username != "user" || identity != "" {
				return Keys{}, fmt.Errorf("asked for %q as %q", username, identity)
			}
			return keys, nil
		}).(*scramServer)
		fixNonce(server, c.hash, keys, nonce)
		first, _, err := server.Next([]byte("n,," + strings.Join(parts[:2], ",")))
		if err != nil || string(first) != strings.Join(parts[2:5], ",") {
			t.Fatalf("%s: first message %q, error %v", c.hash, first, err)
		}
		final, done, err := server.Next([]byte(strings.Join(parts[5:], ",") + ",p=" + c.proof))
		if err != nil || done || string(final) != "v="+c.final {
			t.Errorf("%s: final message %q, error %v", c.hash, final, err)
		}
		if _, done, err := server.Next([]byte{}); err != nil || !done {
			t.Errorf("%s: at the end: %v, error %v", c.hash, done, err)
		}
		if !keys.Match(c.hash, "pencil") || keys.Match(c.hash, "pencils") || keys.Match("MD5", "pencil") {
			t.Errorf("%s: Match is wrong", c.hash)
		}
	}
	for _, bad := range []struct {
		hash  Hash
		iters int
	}{{"MD5", 4096}, {SHA1, 0}, {SHA1, -1}, {SHA256, MaxIterations + 1}} {
		if _, err := DeriveKeys(bad.hash, "x", []byte("salt"), bad.iters); err == nil {
			t.Errorf("keys for %q with %d iterations", bad.hash, bad.iters)
		}
	}
}

// fixNonce gives a server the nonce of an example.
func fixNonce(s *scramServer, h Hash, keys Keys, nonce string) {
	server, _ := h.generator().NewServer(func(string) (scram.StoredCredentials, error) {
		return scram.StoredCredentials{KeyFactors: scram.KeyFactors{Salt: string(keys.Salt), Iters: keys.Iterations},
			StoredKey: keys.StoredKey, ServerKey: keys.ServerKey}, nil
	})
	s.conv = server.WithNonceGenerator(func() string { return nonce }).NewConversation()
}

// users is a lookup that knows one user with one password.
func users(h Hash, name, password string) func(username, identity string) (Keys, error) {
	return func(username, _ string) (Keys, error) {
		if username != name {
			return Keys{}, errors.New("no such user")
		}
		return DeriveKeys(h, password, []byte("some salt"), MinIterations)
	}
}

func TestSCRAM(t *testing.T) {
	bound := Binding{Type: "tls-exporter", Data: []byte("of this connection")}
	other := Binding{Type: "tls-exporter", Data: []byte("of another one")}
	knows := Binding{Type: "tls-exporter"}
	cases := []struct {
		what                string
		client              Binding
		plus, offered       bool
		user, password      string
		want                string // of the error; empty: success
		wrong               bool   // the error is ErrAuth
		username, setPasswd string
	}{
		{what: "plain", user: "anna", password: "pencil"},
		{what: "wrong password", user: "anna", password: "pencils", want: "does not know", wrong: true},
		{what: "unknown user", user: "bert", password: "pencil", want: "no such user"},
		{what: "bound", client: bound, plus: true, offered: true, user: "anna", password: "pencil"},
		{what: "bound to another connection", client: other, plus: true, offered: true, user: "anna", password: "pencil", want: "channel binding mismatch"},
		{what: "could be bound and was offered", client: knows, offered: true, user: "anna", password: "pencil", want: "downgrade"},
		{what: "could be bound and was not offered", client: knows, user: "anna", password: "pencil"},
		{what: "cannot be bound", offered: true, user: "anna", password: "pencil"},
		{what: "-PLUS without a binding", plus: true, offered: true, user: "anna", password: "pencil", want: "requires channel binding"},
		{what: "binding without -PLUS", client: bound, offered: true, user: "anna", password: "pencil", want: "has none"},
		{what: "name that is escaped", username: "a=b,c", user: "a=b,c", password: "pencil"},
		{what: "what SASLprep makes equal", user: "anna", setPasswd: "I\u00adX", password: "IX"},
		{what: "what SASLprep forbids", user: "anna", setPasswd: "p\U0001f600\x07", password: "p\U0001f600\x07"},
	}
	for _, hash := range []Hash{SHA1, SHA256} {
		for _, c := range cases {
			name, password := "anna", "pencil"
			if c.username != "" {
				name = c.username
			}
			if c.setPasswd != "" {
				password = c.setPasswd
			}
			client := NewSCRAMClient(hash, c.user, c.password, "", c.client)
			server := NewSCRAMServer(hash, c.plus, bound, c.offered, users(hash, name, password))
			err := exchange(client, server)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrAuth) != c.wrong {
				t.Errorf("%s, %s: error %v, want %q", hash, c.what, err, c.want)
			}
			if client.Done() != (c.want == "") {
				t.Errorf("%s, %s: done is %v", hash, c.what, client.Done())
			}
		}
	}
	if name, _, _ := NewSCRAMClient(SHA256, "u", "p", "", bound).Start(); name != "SCRAM-SHA-256-PLUS" {
		t.Errorf("with a binding: %s", name)
	}
	if name, _, _ := NewSCRAMClient(SHA1, "u", "p", "", knows).Start(); name != "SCRAM-SHA-1" {
		t.Errorf("without data: %s", name)
	}
	if _, _, err := NewSCRAMClient("MD5", "u", "p", "", knows).Start(); err == nil {
		t.Error("SCRAM-MD5")
	}
}

// TestSCRAMDecoy: an error that comes with keys shows at the end only, to
// clients with the right password and with a wrong one.
func TestSCRAMDecoy(t *testing.T) {
	refused := errors.New("refused")
	for _, password := range []string{"pencil", "wrong"} {
		steps := 0
		server := NewSCRAMServer(SHA256, false, Binding{}, false, func(_, identity string) (Keys, error) {
			if identity != "boss" {
				t.Errorf("identity %q", identity)
			}
			keys, err := DeriveKeys(SHA256, "pencil", []byte("s"), MinIterations)
			return keys, errors.Join(refused, err)
		})
		client := NewSCRAMClient(SHA256, "anna", password, "boss", Binding{})
		_, response, _ := client.Start()
		var err error
		for err == nil && steps < 5 {
			var challenge []byte
			steps++
			if challenge, _, err = server.Next(response); err == nil {
				response, err = client.Next(challenge)
			}
		}
		if !errors.Is(err, refused) || errors.Is(err, ErrAuth) || steps != 2 || client.Done() {
			t.Errorf("with %q: %v in step %d", password, err, steps)
		}
	}
}

// TestSCRAMHostileClient: messages that are not those of a client.
func TestSCRAMHostileClient(t *testing.T) {
	firsts := []string{"", "n", "n,", "n,,", "n,,n=", "n,,n=anna", "n,,n=anna,r=", "n,,r=x,n=anna", "n,,m=ext,n=anna,r=x", "x,,n=anna,r=x",
		"p=tls-unique,,n=anna,r=x", "p=,,n=anna,r=x", "n,b=c,n=anna,r=x", "n,,n=an=na,r=x", "n,,n=anna=2,r=x", "n,,n=,r=x", "n,,n=an\x00na,r=x", "n,a=\x00,n=anna,r=x",
		strings.Repeat("n,", 5000), "\xff\xfe"}
	for _, first := range firsts {
		server := NewSCRAMServer(SHA256, false, Binding{}, false, users(SHA256, "anna", "pencil"))
		if answer, done, err := server.Next([]byte(first)); err == nil || done {
			t.Errorf("first message %.40q: %q, %v", first, answer, done)
		}
		if _, done, err := server.Next([]byte("c=biws,r=x,p=AAAA")); err == nil || done {
			t.Errorf("after first message %.40q it goes on", first)
		}
	}
	finals := []string{"", "*", "c=biws", "c=biws,r=NONCE", "c=biws,r=NONCE,p=", "c=biws,r=NONCE,p=AAAA", "c=biws,r=NONCE,p=!", "c=eSws,r=NONCE,p=PROOF",
		"c=biws,r=abc,p=PROOF", "c=biws,r=NONCEx,p=PROOF", "r=NONCE,c=biws,p=PROOF", "c=biws,r=NONCE,PROOF", ",,,,", "c=biws,r=NONCE,p=PROOF,x=y"}
	for _, final := range finals {
		server := NewSCRAMServer(SHA256, false, Binding{}, false, users(SHA256, "anna", "pencil"))
		client := NewSCRAMClient(SHA256, "anna", "pencil", "", Binding{})
		_, first, _ := client.Start()
		challenge, _, err := server.Next(first)
		if err != nil {
			t.Fatal(err)
		}
		right, err := client.Next(challenge)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(string(right), ",")
		message := strings.NewReplacer("NONCE", parts[1][2:], "PROOF", strings.TrimPrefix(parts[2], "p=")).Replace(final)
		if answer, done, err := server.Next([]byte(message)); err == nil || done {
			t.Errorf("final message %q: %q, %v", final, answer, done)
		}
		if _, done, err := server.Next(right); err == nil || done {
			t.Errorf("a second try after %q", final)
		}
	}
}

// TestSCRAMHostileServer: messages that are not those of a server.
func TestSCRAMHostileServer(t *testing.T) {
	firsts := []string{"", "e=other-error", "r=NONCE,s=c2FsdA==,i=4096", "r=other,s=c2FsdA==,i=4096", "r=NONCEx,s=c2FsdA==,i=1", "r=NONCEx,s=c2FsdA==,i=4095",
		"r=NONCEx,s=c2FsdA==,i=1000000000", "r=NONCEx,s=c2FsdA==,i=-4096", "r=NONCEx,s=c2FsdA==,i=99999999999999999999", "r=NONCEx,s=!,i=4096", "r=NONCEx,s=c2FsdA==",
		"m=ext,r=NONCEx,s=c2FsdA==,i=4096", "i=4096,s=c2FsdA==,r=NONCEx", "r=NONCEx,s=c2FsdA==,i=1e9"}
	for _, first := range firsts {
		client := NewSCRAMClient(SHA256, "anna", "pencil", "", Binding{})
		_, initial, _ := client.Start()
		nonce := initial[bytes.LastIndex(initial, []byte("r="))+2:]
		if response, err := client.Next([]byte(strings.ReplaceAll(first, "NONCE", string(nonce)))); err == nil {
			t.Errorf("first message %q is answered: %q", first, response)
		}
		if client.Done() {
			t.Errorf("done after %q", first)
		}
	}
	for final, want := range map[string]error{"v=AAAA": ErrServer, "": ErrServer, "v=": ErrServer, "e=invalid-proof": ErrAuth, "x=y": ErrServer} {
		client := NewSCRAMClient(SHA256, "anna", "pencil", "", Binding{})
		_, initial, _ := client.Start()
		nonce := initial[bytes.LastIndex(initial, []byte("r="))+2:]
		if _, err := client.Next([]byte("r=" + string(nonce) + "x,s=c2FsdA==,i=4096")); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Next([]byte(final)); !errors.Is(err, want) {
			t.Errorf("final message %q: %v, want %v", final, err, want)
		}
		if _, err := client.Next(nil); client.Done() || err == nil {
			t.Errorf("done after final message %q", final)
		}
	}
}

// FuzzSCRAMServer: no pair of messages gets in, but for the right one.
func FuzzSCRAMServer(f *testing.F) {
	f.Add("n,,n=anna,r=abc", "c=biws,r=abc,p=AAAA")
	f.Add("y,a=boss,n=anna,r=abc", "c=eSxhPWJvc3Ms,r=abc,p=AAAA,")
	f.Add("p=tls-exporter,,n=an=2Cna,r=abc,x=y", "")
	f.Fuzz(func(t *testing.T, first, final string) {
		server := NewSCRAMServer(SHA256, false, Binding{}, false, func(string, string) (Keys, error) {
			return Keys{Salt: []byte("s"), Iterations: 1, StoredKey: make([]byte, 32), ServerKey: make([]byte, 32)}, nil
		})
		if _, done, err := server.Next([]byte(first)); done || err != nil {
			return
		}
		if _, done, err := server.Next([]byte(final)); err == nil || done {
			t.Errorf("%q and %q get in", first, final)
		}
	})
}

// FuzzSCRAMClient: no pair of messages passes for a server that knows the
// password.
func FuzzSCRAMClient(f *testing.F) {
	f.Add("r=NONCEx,s=c2FsdA==,i=4096", "v=AAAA")
	f.Add("m=1,r=NONCE,s=,i=0", "e=x")
	f.Fuzz(func(t *testing.T, first, final string) {
		client := NewSCRAMClient(SHA1, "anna", "pencil", "", Binding{})
		_, initial, _ := client.Start()
		nonce := string(initial[bytes.LastIndex(initial, []byte("r="))+2:])
		if strings.Contains(first, "i=") && !strings.Contains(first, "i=4096") {
			first = "" // 2,000,000 iterations are allowed, and slow
		}
		if _, err := client.Next([]byte(strings.ReplaceAll(first, "NONCE", nonce))); err != nil {
			return
		}
		if _, err := client.Next([]byte(final)); err == nil || client.Done() {
			t.Errorf("%q and %q pass", first, final)
		}
	})
}

// TestCRAMMD5 has the example of RFC 2195 section 2.
func TestCRAMMD5(t *testing.T) {
	const challenge = "<1896.697170952@postoffice.reston.mci.net>"
	client := NewCRAMMD5Client("tim", "tanstaaftanstaaf")
	name, initial, err := client.Start()
	if name != "CRAM-MD5" || initial != nil || err != nil {
		t.Errorf("start: %q, %q, %v", name, initial, err)
	}
	answer, err := client.Next([]byte(challenge))
	if err != nil || string(answer) != "tim b913a602c7eda7a495b4e6e7334d3890" {
		t.Errorf("answer %q, error %v", answer, err)
	}
	if _, err := client.Next(nil); err == nil {
		t.Error("a second challenge is answered")
	}
	if !CheckCRAM(challenge, "tanstaaftanstaaf", "B913A602c7eda7a495b4e6e7334d3890") || CheckCRAM(challenge, "x", "b913a602c7eda7a495b4e6e7334d3890") || CheckCRAM(challenge, "", "") {
		t.Error("CheckCRAM is wrong")
	}
	seen := map[string]bool{}
	for range 3 {
		server := NewCRAMMD5Server("host.example", func(username, challenge, digest string) error {
			if username != "an na" || !CheckCRAM(challenge, "pw", digest) || seen[challenge] || !strings.HasSuffix(challenge, "@host.example>") {
				return fmt.Errorf("%q %q %q", username, challenge, digest)
			}
			seen[challenge] = true
			return nil
		})
		if err := exchange(NewCRAMMD5Client("an na", "pw"), server); err != nil {
			t.Error(err)
		}
		if _, _, err := server.Next([]byte("an na x")); err == nil {
			t.Error("a second response is taken")
		}
	}
	for _, bad := range []string{"", "x", " " + hex.EncodeToString(make([]byte, 16)), "a\x00b c"} {
		server := NewCRAMMD5Server("h", func(_, _, _ string) error { t.Errorf("%q: asked", bad); return nil })
		server.Next(nil)
		if _, done, err := server.Next([]byte(bad)); err == nil || done {
			t.Errorf("response %q is taken", bad)
		}
	}
	if _, _, err := NewCRAMMD5Server("h", nil).Next([]byte("early")); err == nil {
		t.Error("an initial response is taken")
	}
}
