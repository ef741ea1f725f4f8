package conformance

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

// scripted serves one text to each connection, and then waits for its end.
func scripted(t *testing.T, text string) Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte(text))
			go func() {
				c.Read(make([]byte, 1))
				c.Close()
			}()
		}
	}()
	return Target{Addr: l.Addr().String(), TLS: NoTLS, User: "u", Password: "p", Timeout: 300 * time.Millisecond}
}

// A server that cannot be used is an error, and no result.
func TestRunFails(t *testing.T) {
	_, right := startReference(t, NoTLS, mutation{})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	wrong := right
	wrong.Password = "x"
	tests := map[string]struct {
		target Target
		want   string
	}{
		"nobody listens":       {Target{Addr: closed.Addr().String(), TLS: NoTLS}, "cannot connect"},
		"no port":              {Target{Addr: "localhost"}, "not HOST:PORT"},
		"unknown mode":         {Target{Addr: "localhost:1", TLS: "starttls"}, "TLS mode"},
		"line end in password": {Target{Addr: "localhost:1", Password: "a\r\nDELE 1"}, "may not hold"},
		"wrong password":       {wrong, "cannot log in"},
		"another protocol":     {scripted(t, "220 smtp ready\r\n"), "greeting"},
		"negative greeting":    {scripted(t, "-ERR not now\r\n"), "greeting"},
		"silence":              {scripted(t, ""), "did not answer in time"},
		"bare LF":              {scripted(t, "+OK\n"), "bare LF"},
		"endless line":         {scripted(t, "+OK "+strings.Repeat("x", maxLine)), "more than"},
		"long line":            {scripted(t, "+OK "+strings.Repeat("x", 600)+"\r\n"), "512 is the limit"},
		"TLS against clear":    {Target{Addr: right.Addr, TLS: Implicit, Timeout: time.Second}, "TLS handshake"},
		"no STLS":              {Target{Addr: right.Addr, TLS: STLS, TLSConfig: right.TLSConfig}, "STLS is refused"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			report, err := Run(t.Context(), tt.target, Cases())
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(report.Results) != 0 {
				t.Errorf("%v, with %d results, want an error with %q", err, len(report.Results), tt.want)
			}
		})
	}
}

// The run ends with its context, and gives what there is so far.
func TestRunCancelled(t *testing.T) {
	_, target := startReference(t, NoTLS, mutation{})
	ctx, cancel := context.WithCancel(t.Context())
	stop := Case{Name: "stop", Steps: []Step{func(*session) error { cancel(); return nil }}}
	var told []string
	target.Each = func(r Result) { told = append(told, r.Name) }
	report, err := Run(ctx, target, []Case{{Name: "first"}, stop, {Name: "never"}})
	if !errors.Is(err, context.Canceled) || len(report.Results) != 2 || !slices.Equal(told, []string{"first", "stop"}) {
		t.Errorf("%v, %d results, told of %q", err, len(report.Results), told)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, scripted(t, ""), Cases()); err == nil {
		t.Error("no error from a silent server")
	}
}

// Without a user, cases that need one are not applicable, and say so.
func TestRunWithoutUser(t *testing.T) {
	_, target := startReference(t, NoTLS, mutation{})
	target.User, target.Password = "", ""
	report, err := Run(t.Context(), target, Cases())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		switch {
		case r.Outcome == Fail:
			t.Errorf("%s: %s", r.Name, r.Detail)
		case r.Outcome == NotApplicable && r.Detail == "":
			t.Errorf("%s is not applicable, without a reason", r.Name)
		case r.Name == "retr/size" && r.Outcome != NotApplicable:
			t.Errorf("%s: %s", r.Name, r.Outcome)
		}
	}
	if !report.Conforms() || report.Count("", Pass) == 0 || report.Count(Must, NotApplicable) == 0 || report.Messages != 0 {
		t.Errorf("%d passed, %d failed", report.Count("", Pass), report.Count("", Fail))
	}
}

// Nothing is deleted unless the target allows it, even by a server that
// deletes what is marked whenever a QUIT comes.
func TestNothingDeleted(t *testing.T) {
	for _, mode := range []TLSMode{NoTLS, STLS, Implicit} {
		server, target := startReference(t, mode, mutation{})
		report, err := Run(t.Context(), target, Cases())
		if err != nil {
			t.Fatal(err)
		}
		if len(server.mail) != len(TestMail) {
			t.Errorf("%s: %d of %d messages are left", mode, len(server.mail), len(TestMail))
		}
		if report.Count("", Fail) != 0 {
			t.Errorf("%s: %d cases failed", mode, report.Count("", Fail))
		}
	}
}

func TestQuitBehindDeleIsRefused(t *testing.T) {
	server, target := startReference(t, NoTLS, mutation{})
	for _, steps := range [][]Step{
		{cmd("DELE 1", isOK), cmd("QUIT", isOK)},
		{cmd("dele 1", isOK), cmd("rset", isOK), cmd("quit", isOK)},
		{send("DELE 1\r\nQUIT\r\n"), reply(isOK), reply(isOK)},
	} {
		report, err := Run(t.Context(), target, []Case{{Name: "x", Needs: login, Steps: steps}})
		if err != nil {
			t.Fatal(err)
		}
		if r := report.Results[0]; r.Outcome != Fail || !strings.Contains(r.Detail, "refused to send QUIT") {
			t.Errorf("%s: %s", r.Outcome, r.Detail)
		}
	}
	if len(server.mail) != len(TestMail) {
		t.Errorf("%d of %d messages are left", len(server.mail), len(TestMail))
	}
}

// No password stands in a report, whatever the server sends back.
func TestReportHasNoSecrets(t *testing.T) {
	echo := mutation{name: "echo", after: afters{
		"PASS": func(_ *refConn, arg, _ string) string { return "-ERR wrong password " + arg + "\r\n" },
	}}
	_, target := startReference(t, NoTLS, echo)
	report, err := Run(t.Context(), target, Cases())
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{TestPassword, pop3.EncodeSASL([]byte("\x00" + TestUser + "\x00" + TestPassword))} {
		if strings.Contains(string(b), secret) {
			i := strings.Index(string(b), secret)
			t.Errorf("the report holds a secret: %s", b[max(0, i-200):i])
		}
	}
	if report.Conforms() || !slices.ContainsFunc(report.Results, func(r Result) bool { return slices.Contains(r.Seen, "C: PASS {password}") }) {
		t.Error("no failed case shows PASS")
	}
}

// The messages of a broken reply say what is wrong with it.
func TestContent(t *testing.T) {
	for stream, want := range map[string]string{
		"a\r\n..b\r\n.\r\n": "",
		".\r\n":             "",
		"..\r\n.\r\n":       "",
		strings.Repeat("x", maxLine*2) + "\r\n.\r\n":  "",
		strings.Repeat("x", maxLine-1) + "\r\n.x\r\n": "no terminator",
		"a\n.\r\n": "bare LF",
		".\n":      "bare LF",
		"a\r\n":    "no terminator",
		"a\r\n.":   "no terminator",
		"":         "no terminator",
	} {
		local, remote := net.Pipe()
		go func() {
			remote.Write([]byte(stream))
			remote.Close()
		}()
		text, seen, err := newConn(local, &transcript{}).content()
		local.Close()
		if want == "" && (err != nil || len(text)+seen.stuffed+3 != len(stream)) {
			t.Errorf("%.20q: %d octets, %v", stream, len(text), err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.20q: %v, want an error with %q", stream, err, want)
		}
	}
}

// A dot that is not stuffed is dropped, as clients do, and told of.
func TestContentBareDot(t *testing.T) {
	local, remote := net.Pipe()
	defer local.Close()
	go func() {
		remote.Write([]byte("a\r\n.b\r\n..c\r\n.d\r\n.\r\n"))
		remote.Close()
	}()
	text, seen, err := newConn(local, &transcript{}).content()
	if text != "a\r\nb\r\n.c\r\nd\r\n" || seen != (dots{1, ".b\r\n"}) || err != nil {
		t.Errorf("%q, %v, %v", text, seen, err)
	}
}

func TestTop(t *testing.T) {
	for _, tt := range []struct {
		message string
		k       int
		want    string
	}{
		{"H\r\n\r\na\r\nb\r\n", 0, "H\r\n\r\n"}, {"H\r\n\r\na\r\nb\r\n", 1, "H\r\n\r\na\r\n"}, {"H\r\n\r\na\r\nb\r\n", 9, "H\r\n\r\na\r\nb\r\n"},
		{"\r\na\r\n", 0, "\r\n"}, {"H\r\n", 0, "H\r\n"}, {"H\r\n\r\na", 1, "H\r\n\r\na"}, {"", 1, ""},
	} {
		if got := top(tt.message, tt.k); got != tt.want {
			t.Errorf("top(%q, %d) = %q", tt.message, tt.k, got)
		}
	}
}

func TestDefaultsOfTarget(t *testing.T) {
	target := Target{Addr: "pop.example.org:995"}
	if err := target.check(); err != nil {
		t.Fatal(err)
	}
	if target.TLS != Implicit || target.TLSConfig.ServerName != "pop.example.org" || target.TLSConfig.InsecureSkipVerify || target.Timeout != 30*time.Second {
		t.Errorf("%+v", target)
	}
	config := &tls.Config{}
	target = Target{Addr: "pop.example.org:995", TLSConfig: config}
	if err := target.check(); err != nil || config.ServerName != "" {
		t.Error("the caller's configuration was changed")
	}
}

// A server of RFC 1939 alone, without CAPA, passes what the RFC demands.
func TestServerWithoutCapa(t *testing.T) {
	_, target := startReference(t, NoTLS, answers("CAPA", refused).fromStart())
	report, err := Run(t.Context(), target, Cases())
	if err != nil {
		t.Fatal(err)
	}
	if !report.Conforms() || report.Count(Should, Fail) == 0 {
		t.Errorf("%d musts failed, %d shoulds", report.Count(Must, Fail), report.Count(Should, Fail))
	}
}

// Where USER is not announced, AUTH PLAIN is the login.
func TestServerWithoutUser(t *testing.T) {
	noUser := replaces("CAPA", "USER\r\n", "").fromStart()
	noUser.instead = insteads{"USER": func(*refConn, string) string { return refused }}
	_, target := startReference(t, NoTLS, noUser)
	report, err := Run(t.Context(), target, Cases())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		if r.Outcome == Fail {
			t.Errorf("%s: %s", r.Name, r.Detail)
		}
	}
}
