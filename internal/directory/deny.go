package directory

import (
	"strings"

	"github.com/poplin-mail/poplin/pop3server"
)

// Deny says why a user may not log in, nil where nothing is in the way, for
// sources that keep the passwd-file's restrictions in fields of their own:
// nologin, and allow_nets, a list of networks with commas between them, which
// is empty where the user may come from everywhere.
func Deny(noLogin bool, allowNets string, login pop3server.Login) error {
	e := entry{noLogin: noLogin, limited: strings.TrimSpace(allowNets) != ""}
	for text := range strings.SplitSeq(allowNets, ",") {
		text = strings.TrimSpace(text)
		if text == "" || text == "local" { // "local" is Dovecot's own socket
			continue
		}
		n, err := parseNet(text)
		if err != nil {
			return err // which keeps the user out
		}
		e.nets = append(e.nets, n)
	}
	return e.deny(login)
}
