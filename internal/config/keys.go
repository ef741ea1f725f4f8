package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// key is one key of the file: its place in Config, and what it means.
type key struct {
	name  string                  // with its section: "pop3.listen"
	doc   string                  // for people, in sentences
	field func(c *Config) any     // *string, *[]string, *bool, *int, *Octets or *time.Duration
	check func(text string) error // of a string, or of each string of a list; nil: any
	least int64                   // of a number or a duration
	path  bool                    // a file or folder, or a list of them: relative to the file's folder
	// secret values are not printed, and a file that holds one must be closed to others.
	secret bool
}

// section is a table of the file with what stands above its keys.
type section struct{ name, doc string }

// sections are in the order in which they are printed.
var sections = []section{
	{"", ""},
	{"pop3", "POP3 in clear text, until the client asks for TLS with STLS."},
	{"pop3s", "POP3 inside TLS from the first octet. This is what mail programs should use (RFC 8314)."},
	{"proxy", "Balancers before this server that say where a connection comes from, by the PROXY protocol, version 1 or 2."},
	{"lmtp", "Mail from an MTA such as Postfix or Exim, by LMTP (RFC 2033). Whoever may connect may deliver to everybody: a unix socket is best."},
	{"console", "Metrics for Prometheus at /metrics, /healthz for balancers, /livez. It has no password: keep it to trusted networks."},
	{"tls", "The certificate of POP3. TLS 1.2 is the least version. The files are read again when they change, and at SIGHUP."},
	{"acme", "Certificates from an authority such as Let's Encrypt, fetched and renewed by the server itself (RFC 8555). They are kept below state."},
	{"maildrops", "Where mail is."},
	{"maildrops.bucket", "Maildrops in an object store that speaks S3, where maildrops.store is \"bucket\". It must show in listings what was written before, at once: `poplin bucket check` tries that out."},
	{"users", "Who may log in."},
	{"users.sql", "Users in a database, where users.source has \"sql\"."},
	{"users.ldap", "Users in an LDAP directory, where users.source has \"ldap\"."},
	{"users.pam", "Users that PAM knows, where users.source has \"pam\". It takes a program built with `make build-pam`."},
	{"users.oauth", "Users of an OAuth 2.0 or OpenID Connect server, where users.source has \"oauth\": OAUTHBEARER and XOAUTH2."},
	{"quota", "How much mail a user may keep, unless users.source says otherwise for one. It bounds delivery; mail that is there stays."},
	{"retention", "How long mail is kept. `poplin expire` removes what is older, and so does the server once a day. Without a limit nothing is ever removed but by the user."},
	{"fetch", "Mail from maildrops elsewhere, which `poplin fetch` retrieves: a table [fetch.NAME] for each. What stands in [fetch] itself is for all accounts that do not say otherwise."},
	{"target", "Places where retrieved mail goes, that want more than a line: a table [target.NAME] for each, to be named in fetch.to."},
	{"views", "How users see their maildrops, unless their app password says otherwise (`poplin user app-password`)."},
	{"limits", "What a client may take. Durations are written as \"90s\", \"10m\", \"1h30m\", days as \"30d\"."},
	{"log", "Log lines go to standard error. They hold session=, user= and rip=, the remote IP address."},
}

var keys = slices.Concat(serverKeys, bucketKeys, tlsKeys, userKeys, deliveryKeys, fetchKeys, targetKeys, limitKeys)

// of gives the key's name in a table that the user named.
func (k key) of(table string) string {
	if section, _, _ := strings.Cut(table, "."); section == k.section() && table != "" {
		return table + "." + k.last()
	}
	return k.name
}

func notEmpty(text string) error {
	if text == "" {
		return errors.New("it must not be empty")
	}
	return nil
}

func oneOf(words ...string) func(string) error {
	return func(text string) error {
		quoted := make([]string, len(words))
		for i, w := range words {
			if text == w {
				return nil
			}
			quoted[i] = strconv.Quote(w)
		}
		if guess := nearest(text, words); guess != "" {
			return fmt.Errorf("%q is not known; did you mean %q?", text, guess)
		}
		return fmt.Errorf("%q is not known; it is one of %s", text, strings.Join(quoted, ", "))
	}
}

// socket takes what address takes, and the path of a unix socket.
func socket(text string) error {
	path, ok := strings.CutPrefix(text, "unix:")
	if !ok {
		return address(text)
	}
	if !strings.HasPrefix(path, "/") || len(path) > 107 {
		return fmt.Errorf("%q is not unix: and the whole path of a socket, of 107 octets at most", text)
	}
	return nil
}

func address(text string) error {
	if strings.HasPrefix(text, "unix:") {
		return errors.New("this listens on TCP addresses only, such as \"127.0.0.1:110\"")
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%q is not host:port or :port; an IPv6 address stands in square brackets: \"[::1]:110\"", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("the port of %q is not a number from 0 to 65535", text)
	}
	if net.ParseIP(host) == nil && host != "" {
		if err := hostname(host); err != nil {
			return err
		}
	}
	return nil
}

// separators takes characters that may stand in the local part of an address.
func separators(text string) error {
	for _, r := range text {
		if !strings.ContainsRune("+-_=#.", r) {
			return fmt.Errorf("%q is none of the characters +-_=#. that may separate", string(r))
		}
	}
	return nil
}

// mode takes the mode of a file.
func mode(text string) error {
	if n, err := strconv.ParseUint(text, 8, 16); err != nil || n > 0o777 {
		return fmt.Errorf("%q is not a mode such as \"0660\"", text)
	}
	return nil
}

// hostname takes what may stand in a message-id too, since APOP's timestamp
// has its form.
func hostname(text string) error {
	if len(text) > 253 || strings.HasPrefix(text, "-") {
		return fmt.Errorf("%q is not the name of a host", text)
	}
	for _, r := range text {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.') {
			return fmt.Errorf("%q is not the name of a host", text)
		}
	}
	return nil
}

// network takes an address or a network with its length.
func network(text string) error {
	if _, err := netip.ParseAddr(text); err == nil {
		return nil
	}
	if _, err := netip.ParsePrefix(text); err != nil {
		return fmt.Errorf("%q is not an address or a network such as \"192.0.2.0/24\"", text)
	}
	return nil
}
