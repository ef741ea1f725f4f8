package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestFetchmail: fetchmail changes line ends, and mends what it holds for
// broken.
func TestFetchmail(t *testing.T) {
	testClient(t, client{form: fetchmailForm, remembers: true, visit: visitWithFetchmail})
}

// fetchmailForm is what fetchmail 6.4.37 hands to an MDA: every CR gone, a
// blank line after a header that has none, and a header of its own before a
// body that has none.
func fetchmailForm(wire []byte) []byte {
	text := strings.ReplaceAll(string(wire), "\r", "")
	if !strings.Contains(text, "\n\n") && !strings.HasPrefix(text, "\n") {
		return []byte(text + "\n")
	}
	if strings.HasPrefix(text, "\n") {
		text = fmt.Sprintf(fetchmailHeader, hostname()) + text
	}
	return []byte(text)
}

// fetchmailHeader is the header that fetchmail makes up.
const fetchmailHeader = "From: FETCHMAIL-DAEMON\nTo: nobody@%s\nSubject: Headerless mail from bela's mailbox on 127.0.0.1\n"

// joined takes out what fetchmail puts into a line of the body longer than its
// buffer: after 8191 octets at most, depending on how they arrived, a NUL, one
// octet of any kind, and LF. No letter of the corpus has the like in a line of
// that length.
func joined(got []byte) []byte {
	out := make([]byte, 0, len(got))
	for line := range bytes.Lines(got) {
		if n := len(line); n > 1000 && line[n-3] == 0 {
			line = line[:n-3]
		}
		out = append(out, line...)
	}
	return out
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		panic(err)
	}
	return name
}

func visitWithFetchmail(t *testing.T, v visit) [][]byte {
	tls := map[transport]string{
		inClear:  `sslproto ""`,
		overSTLS: `sslproto "TLS1.2+"`,
		overTLS:  `ssl sslproto "TLS1.2+"`,
	}[v.transport]
	if v.transport != inClear {
		tls += fmt.Sprintf(` sslcertck sslcertfile %q sslcommonname "localhost"`, v.authority.ca)
	}
	keep := "keep"
	if v.delete {
		keep = "nokeep fetchall"
	}
	config := writeConfig(t, v, "fetchmailrc", fmt.Sprintf(`set no syslog
set no bouncemail
set invisible
set idfile "%[1]s/ids"
set pidfile "%[1]s/pid"
poll 127.0.0.1 service %[2]s protocol POP3 timeout 180 uidl
  user %[3]q password %[4]q is nobody here no rewrite %[5]s %[6]s
  mda "cat >$(mktemp %[7]s/XXXXXXXXXX)"
`, v.state, port(v.addr(v.transport)), v.user, v.password, keep, tls, v.out))
	cmd := command(t, "fetchmail", "--fetchmailrc", config, "--nodetach")
	asNobody(cmd)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=" + v.state, "FETCHMAILHOME=" + v.state, "TMPDIR=" + v.state}
	run(t, cmd, 1) // 1: there was no mail
	got := filesIn(t, v.out)
	for i := range got {
		got[i] = joined(got[i])
	}
	return got
}
