package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
	"github.com/poplin-mail/poplin/sasl"
)

const (
	keys1   = "{SCRAM-SHA-1}4096,qHXc4I2xwhOcmPOKYOzu8g==,0jyN8qMpci99T+KVjE9dOprW5uM=,Cz6SbGBGRBt/yo7PDEtq7F+CsXM="                                   // "tanstaaf l"
	keys256 = "{SCRAM-SHA-256}4096,M6nHbljgZCLZTRE6CI6gvA==,AnbZUM4O1mbeFimXBllZpx9W9MmoreOO+j1e6XkVjGc=,pqZ5EVX0ElLSexO1aSu9HdCArHPZU6hGfxzlCMgH2fA=" // the same
)

func keysOf(t *testing.T, d *Directory, user string, hash sasl.Hash) (sasl.Keys, pop3server.Account, error) {
	t.Helper()
	keys, account, err := d.SCRAM(t.Context(), by(hash.Mechanism(false), user, ""), hash)
	if err != nil && !refused(err) {
		t.Errorf("%s: %v", user, err)
	}
	return keys, account, err
}

func TestSCRAM(t *testing.T) {
	d := over(t, Options{View: maildrop.View{Keep: true}}, source(t, "one:"+keys1+"\ntwo:"+keys256+"\nplain:{PLAIN}tanstaaf l\nhash:"+fast+
		"\nkept:"+keys256+"::::::nologin\nfar:"+keys256+"::::::allow_nets=10.0.0.0/8\nlocked:!"+keys256+"\n"))
	for _, c := range []struct {
		user    string
		hash    sasl.Hash
		match   bool
		account string
	}{
		{"one", sasl.SHA1, true, "one"}, {"one", sasl.SHA256, false, ""},
		{"TWO", sasl.SHA256, true, "two"}, {"two", sasl.SHA1, false, ""},
		{"plain", sasl.SHA1, true, "plain"}, {"plain", sasl.SHA256, true, "plain"},
		{"hash", sasl.SHA256, false, ""}, {"kept", sasl.SHA256, true, ""}, {"far", sasl.SHA256, true, ""},
		{"locked", sasl.SHA256, false, ""}, {"nobody", sasl.SHA256, false, ""}, {"../x", sasl.SHA1, false, ""}, {"", sasl.SHA1, false, ""},
	} {
		keys, account, err := keysOf(t, d, c.user, c.hash)
		if keys.Match(c.hash, "tanstaaf l") != c.match || account.Name != c.account || (err == nil) != (c.account != "") {
			t.Errorf("%s with %s: keys match is not %v, %+v, %v", c.user, c.hash, c.match, account, err)
		}
		if err == nil && account.View != (maildrop.View{Keep: true, Device: "main"}) {
			t.Errorf("%s: view %+v", c.user, account.View)
		}
		if keys.Iterations != 4096 || len(keys.Salt) != 16 || len(keys.StoredKey) != scramSize(c.hash) || len(keys.ServerKey) != scramSize(c.hash) {
			t.Errorf("%s with %s: keys that look unlike those of others: %d, %d", c.user, c.hash, keys.Iterations, len(keys.Salt))
		}
	}
}

func same(a, b sasl.Keys) bool {
	return bytes.Equal(a.Salt, b.Salt) && bytes.Equal(a.StoredKey, b.StoredKey) && bytes.Equal(a.ServerKey, b.ServerKey) && a.Iterations == b.Iterations
}

// TestSCRAMDecoys: they are the same for a name each time, look like those of
// the users, and nobody can know a password for them.
func TestSCRAMDecoys(t *testing.T) {
	long := "{SCRAM-SHA-256}8192,M6nHbljgZCLZTRE6CI6gvDOpx25Y4GQi2U0ROgiOoLw=,AnbZUM4O1mbeFimXBllZpx9W9MmoreOO+j1e6XkVjGc=,pqZ5EVX0ElLSexO1aSu9HdCArHPZU6hGfxzlCMgH2fA="
	for text, want := range map[string][2]int{"a:" + long: {8192, 32}, "a:" + keys256: {4096, 16}, "a:{PLAIN}x": {4096, 16}, "a:" + fast: {4096, 16}} {
		key := []byte("of the installation")
		file := source(t, text+"\n")
		d, again, other := over(t, Options{Key: key}, file), over(t, Options{Key: key}, file), over(t, Options{}, file)
		salts := map[string]bool{}
		for i := range 20 {
			name := fmt.Sprint("nobody", i)
			keys, _, err := keysOf(t, d, name, sasl.SHA256)
			if !refused(err) || keys.Iterations != want[0] || len(keys.Salt) != want[1] {
				t.Errorf("%s: %d iterations, salt of %d, error %v", text, keys.Iterations, len(keys.Salt), err)
			}
			for _, same := range []*Directory{d, again} {
				if k, _, _ := keysOf(t, same, "NOBODY"+name[6:], sasl.SHA256); !bytes.Equal(k.Salt, keys.Salt) || !bytes.Equal(k.StoredKey, keys.StoredKey) {
					t.Errorf("%s: the keys of %s changed", text, name)
				}
			}
			if k, _, _ := keysOf(t, other, name, sasl.SHA256); same(k, keys) {
				t.Errorf("%s: keys of %s are the same in another installation", text, name)
			}
			salts[string(keys.Salt)] = true
		}
		if len(salts) != 20 {
			t.Errorf("%s: %d salts for 20 names", text, len(salts))
		}
	}
}

// TestSCRAMOfClearTextIsDerivedEachTime covers "known and unknown user: same
// time": neither gets keys without waiting for a turn to derive them, whoever
// had them before.
func TestSCRAMOfClearTextIsDerivedEachTime(t *testing.T) {
	d := open(t, "anna:{PLAIN}x\nbert:{PLAIN}x\n")
	names := []string{"anna", "ANNA", "bert", "nobody"}
	had := map[string]sasl.Keys{}
	for _, user := range names {
		had[user], _, _ = keysOf(t, d, user, sasl.SHA1)
	}
	if same(had["anna"], had["bert"]) || !same(had["anna"], had["ANNA"]) {
		t.Error("two users with one password have the same keys, or one user has several")
	}
	leave, err := d.gate.enter(t.Context(), here, hashMemory)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, user := range names {
		if _, _, err := d.SCRAM(ended, by("SCRAM-SHA-1", user, ""), sasl.SHA1); !errors.Is(err, context.Canceled) {
			t.Errorf("%s did not wait for a turn: %v", user, err)
		}
	}
	leave()
	for _, user := range names {
		if keys, _, _ := keysOf(t, d, user, sasl.SHA1); !same(keys, had[user]) {
			t.Errorf("%s has other keys", user)
		}
	}
}

func TestCRAM(t *testing.T) {
	d := open(t, "anna:{PLAIN}tanstaaftanstaaf\nhash:"+fast+"\nkept:{PLAIN}tanstaaftanstaaf::::::nologin\nempty:\n")
	const challenge, digest = "<1896.697170952@postoffice.reston.mci.net>", "b913a602c7eda7a495b4e6e7334d3890" // RFC 2195 section 2
	for user, ok := range map[string]bool{"anna": true, "ANNA": true, "hash": false, "kept": false, "empty": false, "nobody": false, "../x": false} {
		account, err := d.CRAM(t.Context(), by("CRAM-MD5", user, ""), challenge, digest)
		if ok != (err == nil) || !ok && !refused(err) {
			t.Errorf("%s: %+v, %v", user, account, err)
		}
	}
	if _, err := d.CRAM(t.Context(), by("CRAM-MD5", "anna", ""), challenge, digest[:31]+"1"); !refused(err) {
		t.Errorf("a wrong digest: %v", err)
	}
}

func TestOffers(t *testing.T) {
	all := []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "EXTERNAL", "OAUTHBEARER", "XOAUTH2"}
	passwords := "PLAIN LOGIN EXTERNAL "
	both := "PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS EXTERNAL "
	apps := newFile(t, "")
	if _, _, err := AddAppPassword(t.Context(), apps, AppPassword{User: "a", Label: "phone"}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		opts    Options
		sources []Source
		want    string
	}{
		"hashes":            {Options{}, []Source{source(t, "a:"+fast)}, passwords},
		"clear text":        {Options{}, []Source{source(t, "a:{PLAIN}x\nb:!")}, both},
		"keys":              {Options{}, []Source{source(t, "a:"+keys256+"\nb:{PLAIN}x")}, "PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS EXTERNAL "},
		"keys of two kinds": {Options{}, []Source{source(t, "a:"+keys256+"\nb:"+keys1)}, passwords},
		"no user":           {Options{}, []Source{source(t, "")}, passwords},
		"a database":        {Options{}, []Source{source(t, "a:{PLAIN}x"), &book{}}, passwords},
		"master with hash":  {Options{Master: newFile(t, "m:"+fast)}, []Source{source(t, "a:{PLAIN}x")}, passwords},
		"master with keys":  {Options{Master: newFile(t, "m:{PLAIN}y")}, []Source{source(t, "a:{PLAIN}x")}, both},
		"app passwords":     {Options{AppPasswords: apps}, []Source{source(t, "a:{PLAIN}x")}, passwords},
		"no app passwords":  {Options{AppPasswords: apps + "2"}, []Source{source(t, "a:{PLAIN}x")}, both},
		"listed":            {Options{AppPasswords: apps, Mechanisms: []string{"SCRAM-SHA-1", "CRAM-MD5", "XOAUTH2"}}, []Source{&book{}}, "CRAM-MD5 SCRAM-SHA-1 "},
		"tokens":            {Options{Tokens: tokens{}}, nil, "EXTERNAL OAUTHBEARER XOAUTH2 "},
		"tokens, listed":    {Options{Tokens: tokens{}, Mechanisms: []string{"oauthbearer"}}, nil, "OAUTHBEARER "},
	} {
		d := over(t, c.opts, c.sources...)
		got := ""
		for _, m := range all {
			if d.Offers(m) {
				got += m + " "
			}
		}
		if got != c.want {
			t.Errorf("%s: offers %q, want %q", name, got, c.want)
		}
	}
}

// TestSCRAMFrom checks allow_nets with an address that is among them.
func TestSCRAMFrom(t *testing.T) {
	d := open(t, "far:"+keys256+"::::::allow_nets=10.0.0.0/8\n")
	login := by("SCRAM-SHA-256", "far", "")
	login.Remote = &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3)}
	if _, account, err := d.SCRAM(t.Context(), login, sasl.SHA256); err != nil || account.Name != "far" {
		t.Errorf("%+v, %v", account, err)
	}
}
