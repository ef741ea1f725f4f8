package e2e

import (
	_ "embed"
	"fmt"
	"strings"
	"testing"
)

// TestGetmail: getmail6 stores a message as Python's email package sees it.
// getmail6 6.18.11 has no STLS for POP3.
func TestGetmail(t *testing.T) {
	testClient(t, client{form: getmailForm, noSTLS: true, remembers: true, visit: visitWithGetmail})
}

// getmailProgram runs getmail6 with Debian's Python. It is given as text, as
// nobody may not be able to read this folder.
//
//go:embed testdata/getmail.py
var getmailProgram string

// getmailForm is what getmail6 6.18.11 makes of a message: LF for CRLF and for
// a lone CR, the Return-Path (or one of its own) first, and a blank line after
// a header that has none.
func getmailForm(wire []byte) []byte {
	text := strings.ReplaceAll(string(bareLF(wire)), "\r", "\n")
	header, body, found := strings.Cut("\n"+text, "\n\n")
	if !found {
		header = strings.TrimSuffix(header, "\n")
	}
	const name = "\nReturn-Path: "
	path := name + "<unknown>"
	if before, after, ok := strings.Cut(header, name); ok {
		value, rest, _ := strings.Cut(after, "\n")
		path, header = name+value, before+"\n"+rest
	}
	return []byte(path[1:] + header + "\n\n" + body)
}

// visitWithGetmail runs as nobody: getmail6 refuses to deliver mail as root.
func visitWithGetmail(t *testing.T, v visit) [][]byte {
	kind, tls := "SimplePOP3Retriever", ""
	if v.transport == overTLS {
		kind, tls = "SimplePOP3SSLRetriever", "ca_certs = "+v.authority.ca
	}
	box := newMaildir(t, v.out)
	config := writeConfig(t, v, "getmailrc", fmt.Sprintf(`[retriever]
type = %s
server = 127.0.0.1
port = %s
username = %s
password = %s
timeout = 180
%s
[destination]
type = Maildir
path = %s/
[options]
read_all = false
delete = %s
verbose = 0
delivered_to = false
received = false
`, kind, port(v.addr(v.transport)), v.user, v.password, tls, v.out, strings.ToLower(fmt.Sprint(v.delete))))
	cmd := command(t, "/usr/bin/python3", "-c", getmailProgram, "--quiet", "--getmaildir", v.state, "--rcfile", config)
	asNobody(cmd)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=" + v.state}
	run(t, cmd)
	return box.messages(t)
}
