package e2e

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// restartedWith starts the server anew with further tables in its
// configuration. Where tlsKeys is not empty, they go into the table [tls].
func (s *poplinServer) restartedWith(t *testing.T, tlsKeys, usersKeys, tables string) {
	t.Helper()
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	s.process, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		s.configure(t, false, plain, tls)
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.NewReplacer("[tls]\n", "[tls]\n"+tlsKeys, "[users]\n", "[users]\n"+usersKeys).Replace(string(text)) + tables
		if err := os.WriteFile(s.config, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		return s.command()
	})
}

// startForLogins starts a server that offers all mechanisms of passwords and
// certificates, with users whose passwords are stored in each way.
func startForLogins(t *testing.T) poplinServer {
	t.Helper()
	s := startPoplin(t, false)
	for _, scheme := range []string{"scram-sha-1", "scram-sha-256"} {
		add := command(t, poplin, "user", "add", "--config", s.config, "--scheme", scheme, scheme)
		add.Stdin = strings.NewReader(s.password + "\n")
		run(t, add)
	}
	f, err := os.OpenFile(filepath.Join(s.dir, "users"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "plain:{PLAIN}%s\n", s.password); err != nil {
		t.Fatal(err)
	}
	newMaildir(t, filepath.Join(s.dir, "mail", "plain"))
	s.restartedWith(t, fmt.Sprintf("client_ca = %q\nclient_name = \"cn\"\n", newClientCertificate(t, s.dir, "certified", "plain")),
		`mechanisms = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "EXTERNAL"]`+"\n", "")
	return s
}

// newClientCertificate writes a client certificate into NAME.pem and
// NAME.key, and gives the file of the authority that signed it.
func newClientCertificate(t *testing.T, dir, name, user string) string {
	t.Helper()
	now, ca := time.Now(), filepath.Join(dir, name+"-ca.pem")
	caKey, key := newKey(t), newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Poplin end-to-end test authority for clients"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	writePEM(t, ca, "CERTIFICATE", sign(t, template, template, caKey, caKey))
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: user},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	writePEM(t, filepath.Join(dir, name+".pem"), "CERTIFICATE", sign(t, leaf, template, key, caKey))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, name+".key"), "PRIVATE KEY", der)
	return ca
}

// loggedIn checks that the server's log has one line more of a login of that
// user by that mechanism once do has run.
func (s poplinServer) loggedIn(t *testing.T, user, mechanism string, do func()) {
	t.Helper()
	const want = `msg="logged in" `
	count := func() (n int) {
		for line := range strings.Lines(s.process.log.String()) {
			if strings.Contains(line, want) && strings.Contains(line, " user="+user+" ") && strings.Contains(line, " mechanism="+mechanism+" ") {
				n++
			}
		}
		return n
	}
	before := count()
	do()
	for end := time.Now().Add(10 * time.Second); count() == before && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // the log comes through a pipe
	}
	if n := count() - before; n != 1 {
		t.Errorf("the log has %d logins of %s by %s, want one", n, user, mechanism)
	}
}

// TestLoginsByMpop: mpop 1.4.18 with GNU SASL 2.2.0 logs in by each mechanism
// that it knows; "auth scram-sha-256-plus" it takes for a mistake.
func TestLoginsByMpop(t *testing.T) {
	s := startForLogins(t)
	for _, l := range []struct{ auth, user, mechanism string }{
		{"user", "bela", "USER"},
		{"plain", "bela", "PLAIN"},
		{"login", "bela", "LOGIN"},
		{"cram-md5", "plain", "CRAM-MD5"},
		{"scram-sha-1", "plain", "SCRAM-SHA-1"},
		{"scram-sha-1", "scram-sha-1", "SCRAM-SHA-1"},
		{"scram-sha-256", "plain", "SCRAM-SHA-256"},
		{"scram-sha-256", "scram-sha-256", "SCRAM-SHA-256"},
		{"external", "plain", "EXTERNAL"},
	} {
		t.Run(l.auth+" of "+l.user, func(t *testing.T) {
			v := visit{server: s.server, state: clientDir(t), out: clientDir(t)}
			giveToNobody(t, filepath.Join(s.dir, "certified.pem"), filepath.Join(s.dir, "certified.key"))
			config := func(password string) string {
				secret := "password " + password
				if l.auth == "external" {
					secret = fmt.Sprintf("tls_cert_file %[1]s/certified.pem\ntls_key_file %[1]s/certified.key", s.dir)
				}
				return writeConfig(t, v, "mpoprc", fmt.Sprintf(
					"account poplin\nhost 127.0.0.1\nport %s\nuser %s\n%s\nauth %s\ntimeout 180\ndelivery maildir %s\nuidls_file %s/uidls\ntls on\ntls_starttls off\ntls_trust_file %s\n",
					port(s.tls), l.user, secret, l.auth, newMaildir(t, v.out), v.state, s.authority.ca))
			}
			mpop := func(file string) *exec.Cmd {
				cmd := command(t, "mpop", "--quiet", "--file", file, "poplin")
				asNobody(cmd)
				return cmd
			}
			s.loggedIn(t, l.user, l.mechanism, func() { run(t, mpop(config(s.password))) })
			if l.auth == "external" {
				return
			}
			if out, err := mpop(config("wrong")).CombinedOutput(); err == nil || !strings.Contains(string(out), "uthentication failed") {
				t.Errorf("with a wrong password: %v, %s", err, out)
			}
		})
	}
}

// TestLoginsByCurl: curl 7.88.1 of Debian is built without GNU SASL, and so
// without SCRAM; the rest of its mechanisms work.
func TestLoginsByCurl(t *testing.T) {
	s := startForLogins(t)
	for _, l := range []struct{ user, mechanism, options string }{
		{"bela", "PLAIN", `login-options = "AUTH=PLAIN"`},
		{"bela", "LOGIN", `login-options = "AUTH=LOGIN"`},
		{"plain", "CRAM-MD5", `login-options = "AUTH=CRAM-MD5"`},
		{"bela", "PLAIN", "login-options = \"AUTH=PLAIN\"\nsasl-ir"},
		{"plain", "CRAM-MD5", ""}, // its choice
		{"plain", "EXTERNAL", fmt.Sprintf("login-options = \"AUTH=EXTERNAL\"\ncert = \"%[1]s/certified.pem\"\nkey = \"%[1]s/certified.key\"", s.dir)},
	} {
		for _, tr := range []transport{overTLS, overSTLS} {
			t.Run(fmt.Sprintf("%s of %s over %s", l.mechanism, l.user, tr), func(t *testing.T) {
				v := visit{server: s.server, transport: tr, state: clientDir(t)}
				v.user = l.user
				if l.mechanism == "EXTERNAL" {
					v.password = ""
				}
				s.loggedIn(t, l.user, l.mechanism, func() { curl(t, v, "", l.options) })
			})
		}
	}
}

// TestLoginsByPoplib: Python's POP3_SSL and STLS with USER and PASS.
func TestLoginsByPoplib(t *testing.T) {
	s := startForLogins(t)
	const program = `import poplib, ssl, sys
how, port, authority, user = sys.argv[1:]
password = sys.stdin.readline().rstrip("\n")
context = ssl.create_default_context(cafile=authority)
if how == "tls":
    p = poplib.POP3_SSL("127.0.0.1", int(port), context=context)
else:
    p = poplib.POP3("127.0.0.1", int(port))
    p.stls(context=context)
p.user(user)
try:
    p.pass_("wrong")
except poplib.error_proto as e:
    assert b"[AUTH]" in e.args[0], e
else:
    raise AssertionError("a wrong password is taken")
p.user(user)
p.pass_(password)
p.quit()
`
	for _, tr := range []transport{overTLS, overSTLS} {
		t.Run(string(tr), func(t *testing.T) {
			cmd := command(t, "python3", "-c", program, string(tr), port(s.addr(tr)), s.authority.ca, s.user)
			cmd.Stdin = strings.NewReader(s.password + "\n")
			s.loggedIn(t, s.user, "USER", func() { run(t, cmd) })
		})
	}
}

// TestLoginsByChannelBinding: no POP3 client of Debian 12 knows tls-exporter
// (RFC 9266), so GNU SASL and OpenSSL are put together by a script.
func TestLoginsByChannelBinding(t *testing.T) {
	s := startForLogins(t)
	for _, l := range []struct{ user, mechanism string }{
		{"plain", "SCRAM-SHA-1-PLUS"},
		{"scram-sha-1", "SCRAM-SHA-1-PLUS"},
		{"plain", "SCRAM-SHA-256-PLUS"},
		{"scram-sha-256", "SCRAM-SHA-256-PLUS"},
	} {
		t.Run(l.mechanism+" of "+l.user, func(t *testing.T) {
			script := func(password string) *exec.Cmd {
				cmd := command(t, "python3", "testdata/scramplus.py", s.tls, s.authority.ca, l.user, l.mechanism)
				cmd.Stdin = strings.NewReader(password + "\n")
				return cmd
			}
			s.loggedIn(t, l.user, l.mechanism, func() {
				if got := string(run(t, script(s.password))); got != l.mechanism+" 0 0\n" {
					t.Errorf("the script says %q", got)
				}
			})
			if out, err := script("wrong").CombinedOutput(); err == nil || !strings.Contains(string(out), "refused: [AUTH]") {
				t.Errorf("with a wrong password: %v, %s", err, out)
			}
		})
	}
}
