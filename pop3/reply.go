package pop3

import (
	"errors"
	"strings"
)

// ErrMalformedReply is the error for a line that ought to be a status line
// and begins with neither "+OK" nor "-ERR".
var ErrMalformedReply = errors.New("pop3: reply is neither +OK nor -ERR")

// ParseReply reads a status line without its line end (RFC 1939 section 3).
// It gives the text after "+OK ", an *Error for "-ERR", and ErrMalformedReply
// for anything else. The RFC has the indicators in upper case; other cases
// are taken, since servers exist that send them.
func ParseReply(line string) (text string, err error) {
	if rest, ok := cutIndicator(line, "+OK"); ok {
		return strings.TrimPrefix(rest, " "), nil
	}
	if rest, ok := cutIndicator(line, "-ERR"); ok {
		return "", ParseError(rest)
	}
	return "", ErrMalformedReply
}

func cutIndicator(line, indicator string) (rest string, ok bool) {
	if len(line) < len(indicator) || !strings.EqualFold(line[:len(indicator)], indicator) {
		return "", false
	}
	rest = line[len(indicator):]
	return rest, rest == "" || rest[0] == ' ' || rest[0] == '\t'
}
