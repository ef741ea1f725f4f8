package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestCurl: curl gives every octet.
func TestCurl(t *testing.T) {
	testClient(t, client{form: asSent, visit: visitWithCurl})
}

// visitWithCurl asks for LIST and UIDL, retrieves each message of the listing
// and, to delete, sends a DELE for each over one connection.
func visitWithCurl(t *testing.T, v visit) [][]byte {
	listing := curlLines(t, v, "")
	uidl := curlLines(t, v, `request = "UIDL"`)
	if len(listing) != len(uidl) {
		t.Fatalf("LIST gives %d lines, UIDL %d", len(listing), len(uidl))
	}
	uids := make(map[string]bool)
	for i, line := range uidl {
		number, uid, _ := strings.Cut(line, " ")
		if number != fmt.Sprint(i+1) || uids[uid] {
			t.Fatalf("line %d of UIDL: %q", i+1, line)
		}
		uids[uid] = true
	}
	curl(t, v, fmt.Sprintf("[1-%d]", len(listing)), fmt.Sprintf("output = %q", v.out+"/#1"))
	if v.delete {
		var requests []string
		for i := range listing {
			requests = append(requests, curlConfig(v, "", fmt.Sprintf("head\nrequest = \"DELE %d\"", i+1)))
		}
		runCurl(t, v, strings.Join(requests, "next\n"))
	}
	return filesIn(t, v.out)
}

// curlLines gives the lines of a listing.
func curlLines(t *testing.T, v visit, options string) []string {
	t.Helper()
	return strings.Split(strings.TrimSuffix(curl(t, v, "", options), "\r\n"), "\r\n")
}

// curl runs curl on a message, or on the maildrop if that is empty, with
// further lines for its settings.
func curl(t *testing.T, v visit, message, options string) string {
	t.Helper()
	return runCurl(t, v, curlConfig(v, message, options))
}

// curlConfig is one request in the form of curl's settings file, which keeps
// the password off the command line.
func curlConfig(v visit, message, options string) string {
	scheme, tls := "pop3", ""
	switch v.transport {
	case overSTLS:
		tls = "ssl-reqd\n"
	case overTLS:
		scheme = "pop3s"
	}
	return fmt.Sprintf("url = \"%s://%s/%s\"\nuser = \"%s:%s\"\ncacert = %q\nsilent\nshow-error\nmax-time = 180\n%s%s\n",
		scheme, v.addr(v.transport), message, v.user, v.password, v.authority.ca, tls, options)
}

func runCurl(t *testing.T, v visit, config string) string {
	t.Helper()
	return string(run(t, command(t, "curl", "--disable", "--config", writeConfig(t, v, "curl", config))))
}
