package pop3client

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

// URL is a pop:// URL (RFC 2384): which maildrop on which server, and how to
// log in. It never holds a password.
type URL struct {
	User string // empty where the URL names none
	Auth string // a SASL mechanism, "+APOP", or "*" for any; empty where the URL says nothing
	Host string // without the brackets of an IPv6 address
	Port int    // 110 where the URL names none
}

// ParseURL reads a URL of the form pop://user;AUTH=mechanism@host:port, in
// which all but the host may be missing (RFC 2384 section 4). A URL with a
// password is refused: it would show up wherever URLs do.
func ParseURL(s string) (URL, error) {
	u, err := parseURL(s)
	if err != nil {
		// The URL itself may hold a password, so the error does not repeat it.
		return URL{}, fmt.Errorf("pop3client: not a pop:// URL: %w", err)
	}
	return u, nil
}

func parseURL(s string) (URL, error) {
	const scheme = "pop://"
	if len(s) < len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
		return URL{}, errors.New("it does not begin with pop://")
	}
	rest := strings.TrimSuffix(s[len(scheme):], "/")
	if strings.ContainsAny(rest, "/?#") {
		return URL{}, errors.New("something follows host and port")
	}
	u := URL{Port: pop3.Port}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if err := u.parseUser(rest[:at]); err != nil {
			return URL{}, err
		}
		rest = rest[at+1:]
	}
	return u, u.parseHost(rest)
}

// parseUser reads what stands before the "@".
func (u *URL) parseUser(s string) error {
	user, auth, found := s, "", false
	if i := strings.IndexByte(s, ';'); i >= 0 {
		if user, auth, found = s[:i], s[i+1:], true; len(auth) < 5 || !strings.EqualFold(auth[:5], "AUTH=") {
			return errors.New(`";" is not followed by AUTH=`)
		}
		auth = auth[5:]
	}
	if strings.Contains(user, ":") || strings.Contains(auth, ":") {
		return errors.New("it holds a password: leave it out")
	}
	var errUser, errAuth error
	u.User, errUser = url.PathUnescape(user)
	u.Auth, errAuth = url.PathUnescape(auth)
	switch {
	case errUser != nil || errAuth != nil:
		return errors.New("a percent sign is not followed by two hex digits")
	case user == "" || (found && auth == ""):
		return errors.New("the user name or the mechanism is empty")
	case !pop3.ValidArgument(u.User) || !pop3.ValidArgument(u.Auth):
		return errors.New("the user name or the mechanism holds CR, LF or NUL")
	}
	return nil
}

// parseHost reads host and port.
func (u *URL) parseHost(s string) error {
	host, port := s, ""
	if strings.Contains(s, ":") && !strings.HasSuffix(s, "]") {
		var err error
		if host, port, err = net.SplitHostPort(s); err != nil {
			return errors.New("host and port cannot be told apart")
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return errors.New("the port is not a number from 1 to 65535")
		}
		u.Port = int(n)
	} else if inner, ok := strings.CutPrefix(s, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	if strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return errors.New("the host is not an address")
	}
	if host == "" || strings.ContainsAny(host, "[] \t\r\n\x00") {
		return errors.New("it names no host")
	}
	u.Host = host
	return nil
}

// Addr gives host:port, for Dial and its kin.
func (u URL) Addr() string { return net.JoinHostPort(u.Host, strconv.Itoa(u.Port)) }

// String gives the URL.
func (u URL) String() string {
	s := "pop://"
	if u.User != "" {
		s += escape(u.User)
		if u.Auth != "" {
			s += ";AUTH=" + escape(u.Auth)
		}
		s += "@"
	}
	switch {
	case u.Port != 0 && u.Port != pop3.Port:
		return s + u.Addr()
	case strings.Contains(u.Host, ":"):
		return s + "[" + u.Host + "]"
	}
	return s + u.Host
}

// escape writes everything as %XX that RFC 2384 does not allow as it is:
// achar of RFC 2384 section 5.
func escape(s string) string {
	const plain = "$-_.+!*'(),&=~"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(plain, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
