package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestPoplib: Python's poplib gives every octet, line by line.
func TestPoplib(t *testing.T) {
	testClient(t, client{
		form: asSent,
		visit: func(t *testing.T, v visit) [][]byte {
			after := "keep"
			if v.delete {
				after = "delete"
			}
			cmd := command(t, "python3", "testdata/visit.py", string(v.transport), "127.0.0.1", port(v.addr(v.transport)),
				v.authority.ca, v.user, v.out, after)
			cmd.Stdin = strings.NewReader(v.password + "\n")
			run(t, cmd)
			return filesIn(t, v.out)
		},
	})
}

// TestPoplibExample runs the example of the POP3 manuals as it stands; only
// the port, which they take for 995, and the authority are set around it.
func TestPoplibExample(t *testing.T) {
	s := startPoplin(t, false)
	letters := corpus()[:1]
	s.maildir.fill(t, letters, 0)
	example, err := os.ReadFile("testdata/example.py")
	if err != nil {
		t.Fatal(err)
	}
	program := fmt.Sprintf(`import functools, poplib, ssl, sys
poplib.POP3_SSL = functools.partial(poplib.POP3_SSL, port=%s, context=ssl.create_default_context(cafile=%q))
server, user, password = "127.0.0.1", %q, sys.stdin.readline().rstrip("\n")
%s
print(msg["Subject"], octets)
`, port(s.tls), s.authority.ca, s.user, example)
	cmd := command(t, "python3", "-c", program)
	cmd.Stdin = strings.NewReader(s.password + "\n")
	want := fmt.Sprintf("plain %d\n", len(letters[0].wire))
	if got := string(run(t, cmd)); got != want {
		t.Errorf("the example printed %q, want %q", got, want)
	}
}
