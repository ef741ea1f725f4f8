package pop3client

import (
	"errors"
	"testing"
)

// The capabilities of a session that has logged in are asked for with the lists
// where the server had PIPELINING before: the script's server sends nothing
// before it has all three commands.
func TestListUidlWithCapa(t *testing.T) {
	const before = "C: CAPA\nS: +OK\nS: USER\nS: PIPELINING\nS: .\nC: USER u\nS: +OK\nC: PASS p\nS: +OK\n"
	for name, test := range map[string]struct {
		script   string
		caps     int
		listings int
		uids     int
		refused  bool
		broken   bool
	}{
		"all":          {"S: +OK\nS: PIPELINING\nS: LOGIN-DELAY 60\nS: .\nS: +OK\nS: 1 10\nS: 2 20\nS: .\nS: +OK\nS: 1 a\nS: 2 b\nS: .\n", 2, 2, 2, false, false},
		"no CAPA now":  {"S: -ERR what?\nS: +OK\nS: 1 10\nS: .\nS: +OK\nS: 1 a\nS: .\n", 0, 1, 1, false, false},
		"no UIDL":      {"S: +OK\nS: TOP\nS: .\nS: +OK\nS: 1 10\nS: .\nS: -ERR what?\n", 1, 1, 0, false, false},
		"no LIST":      {"S: +OK\nS: TOP\nS: .\nS: -ERR [SYS/TEMP] no\nS: +OK\nS: 1 a\nS: .\n", 1, 0, 0, true, false},
		"they differ":  {"S: +OK\nS: TOP\nS: .\nS: +OK\nS: 1 10\nS: .\nS: +OK\nS: 2 a\nS: .\n", 1, 0, 0, false, true},
		"CAPA is none": {"S: what?\nCLOSE\n", 0, 0, 0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, before+"C: CAPA\nC: LIST\nC: UIDL\n"+test.script)
			must(t, c.Login(t.Context(), "u", "p"))
			listings, uids, err := c.ListUidl(t.Context())
			if broken := errors.As(err, new(*ProtocolError)); broken != test.broken || isRefusal(err) != test.refused {
				t.Fatalf("the error is %v", err)
			}
			if test.broken {
				return
			}
			if !test.refused && (len(listings) != test.listings || len(uids) != test.uids) {
				t.Errorf("got %v and %v", listings, uids)
			}
			caps, err := c.Capabilities(t.Context()) // of which the server hears nothing
			if must(t, err); len(caps) != test.caps {
				t.Errorf("the capabilities are %v", caps)
			}
		})
	}
}
