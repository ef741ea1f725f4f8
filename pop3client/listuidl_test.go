package pop3client

import (
	"errors"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/pop3"
)

// ListUidl takes what is wrong about one message for that message's own
// trouble, and what is wrong about the lists for the session's.
func TestListUidl(t *testing.T) {
	long := strings.Repeat("x", 71)
	for _, caps := range []string{"", "PIPELINING\r\n"} {
		ask := func(list, uidl string) ([]pop3.Listing, []pop3.UID, error) {
			c := connectTo(t, func(verb string) string {
				return "+OK\r\n" + map[string]string{"CAPA": caps, "LIST": list, "UIDL": uidl}[verb] + ".\r\n"
			})
			return c.ListUidl(t.Context())
		}
		listings, uids, err := ask("1 -5\r\n2 10\r\n3\r\n4 1e30\r\n", "1 a\r\n2 "+long+"\r\n3\r\n4 \x1b\r\n")
		must(t, err)
		for i, octets := range []int64{-1, 10, -1, -1} {
			if listings[i] != (pop3.Listing{Number: i + 1, Octets: octets}) {
				t.Errorf("listing %+v", listings[i])
			}
		}
		for i, uid := range []string{"a", "", "", ""} {
			if uids[i] != (pop3.UID{Number: i + 1, UID: uid}) {
				t.Errorf("unique-id %+v", uids[i])
			}
		}
		for _, w := range [][2]string{{"0 5\r\n", "1 a\r\n"}, {"1 5\r\n", "-1 a\r\n"}, {"1 5\r\n1 -5\r\n", "1 a\r\n"}, {"1 5\r\n", "\r\n"}, {"\x1b\r\n", "1 a\r\n"}} {
			var e *ProtocolError
			if _, _, err := ask(w[0], w[1]); !errors.As(err, &e) {
				t.Errorf("%q: error %v", w, err)
			}
		}
	}
}
