package e2e

import (
	"fmt"
	"testing"
)

// TestMpop: mpop writes LF for CRLF, and nothing else is changed.
func TestMpop(t *testing.T) {
	testClient(t, client{form: bareLF, remembers: true, visit: visitWithMpop})
}

func visitWithMpop(t *testing.T, v visit) [][]byte {
	tls := map[transport]string{inClear: "tls off\n", overSTLS: "tls on\ntls_starttls on\n", overTLS: "tls on\ntls_starttls off\n"}[v.transport]
	if v.transport != inClear {
		tls += "tls_trust_file " + v.authority.ca + "\n"
	}
	keep := "on"
	if v.delete {
		keep = "off"
	}
	box := newMaildir(t, v.out)
	config := writeConfig(t, v, "mpoprc", fmt.Sprintf(`account poplin
host 127.0.0.1
port %s
user %s
password %s
auth user
timeout 180
delivery maildir %s
keep %s
uidls_file %s/uidls
received_header off
%s`, port(v.addr(v.transport)), v.user, v.password, v.out, keep, v.state, tls))
	cmd := command(t, "mpop", "--quiet", "--file", config, "poplin")
	asNobody(cmd)
	run(t, cmd)
	return box.messages(t)
}
