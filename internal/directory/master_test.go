package directory

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
	"github.com/poplin-mail/poplin/sasl"
)

const masterUsers = "anna:{PLAIN}a\nBert:{PLAIN}b::::::nologin\nlocked:!\ndual:{PLAIN}own\nequal:{PLAIN}m\nwith+mark:{PLAIN}w\n"

func withMasters(t *testing.T, opts Options) *Directory {
	t.Helper()
	opts.Master = newFile(t, "root:{PLAIN}m\ndual:{PLAIN}m\nequal:{PLAIN}m\naway:{PLAIN}m::::::allow_nets=10.0.0.0/8\nshut:!\n")
	opts.View = maildrop.View{ReadOnly: true, Keep: true}
	return over(t, opts, source(t, masterUsers))
}

func TestMasterByMark(t *testing.T) {
	var log bytes.Buffer
	d := withMasters(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, c := range []struct{ user, password, account string }{
		{"anna*root", "m", "anna"}, {"ANNA*ROOT", "m", "anna"}, {"bert*root", "m", "Bert"}, {"locked*root", "m", "locked"},
		{"anna*dual", "m", "anna"}, {"anna*dual", "own", ""}, {"root*root", "m", ""}, {"anna*anna", "a", ""}, {"anna*root", "a", ""},
		{"nobody*root", "m", ""}, {"*root", "m", ""}, {"anna*", "m", ""}, {"anna*away", "m", ""}, {"anna*shut", "", ""}, {"anna*shut", "-", ""},
		{"anna*root*root", "m", ""}, {"anna*nobody", "m", ""}, {"anna", "m", ""}, {"root", "m", ""},
	} {
		for _, mechanism := range []string{"USER", "LOGIN", "PLAIN"} {
			account, err := d.Password(t.Context(), by(mechanism, c.user, c.password))
			if mechanism == "PLAIN" && c.user == "root" {
				continue // may say for whom: see TestActFor
			}
			if account.Name != c.account || account.Maildrop != c.account || refused(err) != (c.account == "") {
				t.Errorf("%s by %s with %q: %+v, %v", c.user, mechanism, c.password, account, err)
			}
			if account.View != (maildrop.View{}) {
				t.Errorf("%s sees %+v", c.user, account.View)
			}
		}
	}
	if !strings.Contains(log.String(), "master=root user=anna") {
		t.Errorf("the log does not say who acted for whom:\n%s", &log)
	}
	plus := withMasters(t, Options{MasterMark: "+"})
	for _, user := range []string{"anna", "with+mark"} {
		if account, err := login(t, plus, user+"+root", "m"); err != nil || account.Name != user {
			t.Errorf("with another mark: %+v, %v", account, err)
		}
	}
	none := open(t, "anna:{PLAIN}a\n")
	if _, err := login(t, none, "anna*anna", "a"); !refused(err) {
		t.Errorf("without masters: %v", err)
	}
}

func TestMasterFileIsChecked(t *testing.T) {
	path := newFile(t, "ok:{PLAIN}m\nro+ot:{PLAIN}m\n")
	_, err := New(Options{Sources: []Source{&book{}}, Master: path, MasterMark: "+"})
	var line *LineError
	if !errors.As(err, &line) || line.Line != 2 {
		t.Errorf("a master's name with the mark: %v", err)
	}
	d := over(t, Options{Master: path}, &book{})
	write(t, path, "broken\n")
	if err := d.Reload(); err == nil || !strings.Contains(err.Error(), "there is no colon") {
		t.Errorf("Reload: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := d.Reload(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Reload: %v", err)
	}
}

func TestActFor(t *testing.T) {
	d := withMasters(t, Options{})
	for _, c := range []struct{ mechanism, user, password, identity, account string }{
		{"PLAIN", "root", "m", "anna", "anna"}, {"PLAIN", "ROOT", "m", "BERT", "Bert"}, {"PLAIN", "root", "m", "locked", "locked"},
		{"PLAIN", "root", "m", "nobody", ""}, {"PLAIN", "root", "m", "root", ""}, {"PLAIN", "root", "m", "", ""},
		{"PLAIN", "anna", "a", "ANNA", "anna"}, {"PLAIN", "anna", "a", "equal", ""}, {"PLAIN", "dual", "own", "anna", ""}, {"PLAIN", "dual", "own", "dual", "dual"},
		{"PLAIN", "equal", "m", "anna", "anna"}, {"PLAIN", "anna*root", "m", "anna", "anna"}, {"PLAIN", "anna*root", "m", "equal", ""},
		{"SCRAM-SHA-1", "root", "", "anna", "anna"}, {"SCRAM-SHA-1", "anna", "", "anna", "anna"}, {"SCRAM-SHA-1", "anna", "", "equal", ""},
		{"SCRAM-SHA-1", "equal", "", "anna", ""}, {"OAUTHBEARER", "anna", "a", "equal", ""}, {"OAUTHBEARER", "equal", "m", "anna", ""},
	} {
		login := by(c.mechanism, c.user, c.password)
		var own pop3server.Account
		var err error
		if strings.HasPrefix(c.mechanism, "SCRAM") {
			_, own, err = d.SCRAM(t.Context(), login, sasl.SHA1)
		} else {
			login.Mechanism = "PLAIN"
			own, err = d.Password(t.Context(), login)
			login.Mechanism = c.mechanism
		}
		if err != nil {
			t.Errorf("%s: %v", c.user, err)
			continue
		}
		account, err := d.ActFor(t.Context(), login, own, c.identity)
		if account.Name != c.account || refused(err) != (c.account == "") {
			t.Errorf("%s by %s for %s: %+v, %v", c.user, c.mechanism, c.identity, account, err)
		}
	}
	// A master without an identity has no maildrop; by what can name none, no login.
	if own, err := d.Password(t.Context(), by("PLAIN", "root", "m")); err != nil || own.Maildrop != "" {
		t.Errorf("a master alone: %+v, %v", own, err)
	}
	for _, mechanism := range []string{"USER", "LOGIN"} {
		if own, err := d.Password(t.Context(), by(mechanism, "root", "m")); !refused(err) {
			t.Errorf("a master alone by %s: %+v, %v", mechanism, own, err)
		}
	}
	if _, err := d.Password(t.Context(), by("PLAIN", "away", "m")); !refused(err) {
		t.Errorf("a master from where he may not come: %v", err)
	}
}

// tokens are bearer tokens, by what they are, of users.
type tokens map[string]User

func (s tokens) Token(_ context.Context, l pop3server.Login) (*User, error) {
	if l.Password == "down" {
		return nil, errors.New("server down")
	}
	u, ok := s[l.Password]
	if !ok {
		return nil, nil
	}
	return &u, nil
}

func TestToken(t *testing.T) {
	issued := tokens{"a": {Name: "anna"}, "b": {Name: "bert"}, "x": {Name: "guest", Maildrop: "box9"}, "e": {Name: "eve", Deny: errors.New("no scope")}, "h": {Name: "../h"}, "l": {Name: "locked"}}
	file := source(t, "Anna:"+fast+"\nbert:"+fast+"::::::nologin\nlocked:!\n")
	d := over(t, Options{Tokens: issued, View: maildrop.View{Keep: true}}, file)
	for token, want := range map[string]string{"a": "Anna", "b": "", "x": "guest", "e": "", "h": "", "l": "", "": "", "none": ""} {
		account, err := d.Token(t.Context(), by("OAUTHBEARER", "", token))
		if account.Name != want || refused(err) != (want == "") {
			t.Errorf("%q: %+v, %v", token, account, err)
		}
		if err == nil && account.View.Device != "main" {
			t.Errorf("%q: view %+v", token, account.View)
		}
	}
	if _, err := d.Token(t.Context(), by("XOAUTH2", "", "down")); err == nil || refused(err) {
		t.Errorf("while tokens cannot be checked: %v", err)
	}
	broken := over(t, Options{Tokens: issued}, &book{err: errors.New("no connection")})
	if _, err := broken.Token(t.Context(), by("XOAUTH2", "", "a")); err == nil || refused(err) {
		t.Errorf("while nobody knows whether the user is kept out: %v", err)
	}
	if _, err := open(t, "anna:{PLAIN}x\n").Token(t.Context(), by("XOAUTH2", "anna", "x")); !refused(err) {
		t.Errorf("without tokens: %v", err)
	}
}

func TestCertificate(t *testing.T) {
	name := func(values ...pkix.AttributeTypeAndValue) pkix.Name { return pkix.Name{Names: values} }
	cn := func(v any) pkix.AttributeTypeAndValue { return pkix.AttributeTypeAndValue{Type: oidCN, Value: v} }
	uid := func(v any) pkix.AttributeTypeAndValue { return pkix.AttributeTypeAndValue{Type: oidUID, Value: v} }
	mail := func(addresses ...string) *x509.Certificate {
		return &x509.Certificate{EmailAddresses: addresses, Subject: name(cn("dual"))}
	}
	for what, c := range map[string]struct {
		kind, identity string
		leaf           *x509.Certificate
		account        string
	}{
		"address":           {"", "", mail("anna"), "anna"},
		"two addresses":     {"email", "", mail("anna", "dual"), ""},
		"no address":        {"email", "", &x509.Certificate{Subject: name(cn("anna"))}, ""},
		"common name":       {"cn", "", &x509.Certificate{Subject: name(uid("bert"), cn("anna"))}, "anna"},
		"two common names":  {"cn", "", &x509.Certificate{Subject: name(cn("anna"), cn("anna"))}, ""},
		"not a text":        {"cn", "", &x509.Certificate{Subject: name(cn(7))}, ""},
		"user id":           {"uid", "ANNA", &x509.Certificate{Subject: name(uid("anna"), cn("bert"))}, "anna"},
		"unknown":           {"uid", "", &x509.Certificate{Subject: name(uid("nobody"))}, ""},
		"hostile":           {"cn", "", &x509.Certificate{Subject: name(cn("../anna"))}, ""},
		"nologin":           {"cn", "", &x509.Certificate{Subject: name(cn("bert"))}, ""},
		"locked":            {"cn", "", &x509.Certificate{Subject: name(cn("locked"))}, ""},
		"for another":       {"cn", "dual", &x509.Certificate{Subject: name(cn("anna"))}, ""},
		"master":            {"cn", "bert", &x509.Certificate{Subject: name(cn("root"))}, "Bert"},
		"master of nobody":  {"cn", "nobody", &x509.Certificate{Subject: name(cn("root"))}, ""},
		"locked master":     {"cn", "anna", &x509.Certificate{Subject: name(cn("shut"))}, ""},
		"user and master":   {"cn", "anna", &x509.Certificate{Subject: name(cn("dual"))}, ""},
		"mark in the name":  {"cn", "", &x509.Certificate{Subject: name(cn("anna*root"))}, ""},
		"mark in identity":  {"cn", "anna*root", &x509.Certificate{Subject: name(cn("anna"))}, ""},
		"zero octet within": {"cn", "", &x509.Certificate{Subject: name(cn("anna\x00.evil"))}, ""},
	} {
		d := withMasters(t, Options{ClientName: c.kind})
		login := by("EXTERNAL", c.identity, "")
		login.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.leaf}, VerifiedChains: [][]*x509.Certificate{{c.leaf}}}
		account, err := d.Certificate(t.Context(), login)
		if account.Name != c.account || refused(err) != (c.account == "") {
			t.Errorf("%s: %+v, %v", what, account, err)
		}
		login.TLS.VerifiedChains = nil
		if _, err := d.Certificate(t.Context(), login); !refused(err) {
			t.Errorf("%s, not verified: %v", what, err)
		}
		login.TLS = nil
		if _, err := d.Certificate(t.Context(), login); !refused(err) {
			t.Errorf("%s, without TLS: %v", what, err)
		}
	}
}
