package sasl

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"
)

// XOAUTH2 is the name of the mechanism that Google and Microsoft had before
// OAUTHBEARER (RFC 7628). Both carry a bearer token of OAuth 2.0, which is as
// good as a password to whoever sees it.
const XOAUTH2 = "XOAUTH2"

// BearerError is why a server does not take a token, as RFC 7628 section 3.2.2
// has it. Empty fields are left out.
type BearerError struct {
	Status              string `json:"status"` // such as "invalid_token"
	Schemes             string `json:"schemes,omitempty"`
	Scope               string `json:"scope,omitempty"` // that a token must have
	OpenIDConfiguration string `json:"openid-configuration,omitempty"`
}

// Error implements error.
func (e *BearerError) Error() string {
	text := fmt.Sprintf("the server does not take the token: %q", e.Status)
	if e.Scope != "" {
		text += fmt.Sprintf(", it must have the scope %q", e.Scope)
	}
	return text
}

// NewOAuthBearerClient makes the client's side of OAUTHBEARER. Where the server
// says why it does not take the token, Next gives a *BearerError.
func NewOAuthBearerClient(username, token string) sasl.Client {
	gs2 := "n,,"
	if username != "" {
		gs2 = "n,a=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(username) + ","
	}
	return bearerClient{sasl.OAuthBearer, gs2 + "\x01auth=Bearer " + token + "\x01\x01"}
}

// NewXOAUTH2Client makes the client's side of XOAUTH2. Where the server says
// why it does not take the token, Next gives a *BearerError.
func NewXOAUTH2Client(username, token string) sasl.Client {
	return bearerClient{XOAUTH2, "user=" + username + "\x01auth=Bearer " + token + "\x01\x01"}
}

type bearerClient struct{ name, initial string }

// Start implements sasl.Client.
func (c bearerClient) Start() (mech string, initial []byte, err error) {
	return c.name, []byte(c.initial), nil
}

// Next implements sasl.Client. A challenge is always bad news.
func (c bearerClient) Next(challenge []byte) ([]byte, error) {
	e := new(BearerError)
	if json.Unmarshal(challenge, e) != nil || e.Status == "" {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	return nil, e
}

// NewBearerServer makes the server's side of the mechanism, which is
// OAUTHBEARER or XOAUTH2. It calls authenticate once, with the user that the
// client says it is, empty where it does not say. An error that wraps a
// *BearerError says that the token is not good: the client is told that in
// JSON, and Next gives the error after the client has answered. Any other
// error ends the exchange at once, for it says nothing of the token.
func NewBearerServer(mechanism string, authenticate func(username, token string) error) sasl.Server {
	parse := parseOAuthBearer
	if mechanism == XOAUTH2 {
		parse = parseXOAUTH2
	}
	return &bearerServer{parse: parse, authenticate: authenticate}
}

type bearerServer struct {
	parse        func(string) (username, token string, err error)
	authenticate func(username, token string) error
	failed       error
	done         bool
}

// Next implements sasl.Server.
func (s *bearerServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.done:
		return nil, false, sasl.ErrUnexpectedClientResponse
	case s.failed != nil: // what the client says to it does not matter
		s.done = true
		return nil, false, s.failed
	case response == nil:
		return []byte{}, false, nil
	}
	username, token, err := s.parse(string(response))
	if err != nil {
		s.failed = err
		return told(&BearerError{Status: "invalid_request"}), false, nil
	}
	if err := s.authenticate(username, token); err != nil {
		var why *BearerError
		if !errors.As(err, &why) {
			s.done = true
			return nil, false, err
		}
		s.failed = err
		return told(why), false, nil
	}
	s.done = true
	return nil, true, nil
}

// told gives what the client is told.
func told(e *BearerError) []byte {
	data, err := json.Marshal(e)
	if err != nil { // strings always can be
		panic(err)
	}
	return data
}

var errBearer = errors.New("sasl: malformed bearer token message")

// parseOAuthBearer reads gs2-header kvsep *kvpair kvsep (RFC 7628 section
// 3.1). Keys other than auth are of no use here.
func parseOAuthBearer(message string) (username, token string, err error) {
	header, rest, ok := strings.Cut(message, "\x01")
	if !ok {
		return "", "", errBearer
	}
	flag, name, ok := strings.Cut(header, ",")
	name, comma := strings.CutSuffix(name, ",")
	if !ok || !comma || flag != "n" && flag != "y" || strings.ContainsAny(name, ",\x00") {
		return "", "", errBearer
	}
	if name != "" {
		escaped, ok := strings.CutPrefix(name, "a=")
		if !ok {
			return "", "", errBearer
		}
		if username, err = unescape(escaped); err != nil {
			return "", "", err
		}
	}
	token, err = parseBearer(rest, nil)
	return username, token, err
}

// parseXOAUTH2 reads user=NAME^Aauth=Bearer TOKEN^A^A.
func parseXOAUTH2(message string) (username, token string, err error) {
	token, err = parseBearer(message, &username)
	return username, token, err
}

// parseBearer reads pairs of key and value, each with ^A behind it, and ^A at
// the end. The value of user goes to username, if that is not nil.
func parseBearer(pairs string, username *string) (token string, err error) {
	pairs, ok := strings.CutSuffix(pairs, "\x01\x01")
	if !ok || strings.ContainsRune(pairs, 0) {
		return "", errBearer
	}
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(pairs, "\x01") {
		key, value, ok := strings.Cut(pair, "=")
		key = strings.ToLower(key)
		if !ok || key == "" || seen[key] {
			return "", errBearer
		}
		seen[key] = true
		switch {
		case key == "auth":
			scheme, rest, _ := strings.Cut(value, " ")
			if !strings.EqualFold(scheme, "Bearer") {
				return "", errBearer
			}
			token = strings.TrimLeft(rest, " ")
		case key == "user" && username != nil:
			*username = value
		}
	}
	if token == "" || username != nil && *username == "" {
		return "", errBearer
	}
	return token, nil
}

// unescape reads a saslname (RFC 5801 section 4).
func unescape(name string) (string, error) {
	var b strings.Builder
	for rest := name; rest != ""; {
		plain, escape, found := strings.Cut(rest, "=")
		b.WriteString(plain)
		if !found {
			break
		}
		switch {
		case strings.HasPrefix(escape, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(escape, "3D"):
			b.WriteByte('=')
		default:
			return "", errBearer
		}
		rest = escape[2:]
	}
	if b.Len() == 0 {
		return "", errBearer
	}
	return b.String(), nil
}
