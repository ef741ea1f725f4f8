package pop3

import "strings"

// Code is an extended response code: what stands between the square brackets
// of a reply, without them (RFC 2449 section 8). Codes are compared without
// regard to case; ParseError gives them in upper case.
type Code string

// The response codes in use.
const (
	InUse      Code = "IN-USE"      // another session holds the maildrop: RFC 2449 section 8.1.1
	LoginDelay Code = "LOGIN-DELAY" // the last login was too recent: RFC 2449 section 8.1.2
	SysTemp    Code = "SYS/TEMP"    // a fault that passes, try again later: RFC 3206 section 4
	SysPerm    Code = "SYS/PERM"    // a fault that an operator must mend: RFC 3206 section 4
	Auth       Code = "AUTH"        // the credentials are the problem: RFC 3206 section 5
	UTF8       Code = "UTF8"        // the client must issue UTF8 first: RFC 6856 section 5
)

// Error is a negative reply, on both ends: a server turns it into a line
// `-ERR [Code] Text`, a client gets it from such a line.
type Error struct {
	Code Code   // empty where the reply has none
	Text string // for people, in one line
}

// Error gives the reply as it stands on the wire after "-ERR ".
func (e *Error) Error() string {
	switch {
	case e.Code == "":
		return e.Text
	case e.Text == "":
		return "[" + string(e.Code) + "]"
	}
	return "[" + string(e.Code) + "] " + e.Text
}

// Temporary reports whether the same request may succeed later without
// anybody changing anything: [IN-USE], [LOGIN-DELAY] and [SYS/TEMP].
func (e *Error) Temporary() bool {
	return e.Code.Under(InUse) || e.Code.Under(LoginDelay) || e.Code.Under(SysTemp)
}

// Under reports whether c is parent or one of the codes below it in the
// hierarchy that the slash makes: [SYS/TEMP/DISK] is under [SYS/TEMP] (RFC
// 2449 section 8).
func (c Code) Under(parent Code) bool {
	if len(c) < len(parent) || !strings.EqualFold(string(c[:len(parent)]), string(parent)) {
		return false
	}
	return len(c) == len(parent) || c[len(parent)] == '/'
}

// ParseError reads what follows "-ERR" in a reply. A text in square brackets
// at its start is the response code, if it has the form of one.
func ParseError(text string) *Error {
	code, text := CutCode(strings.TrimPrefix(text, " "))
	return &Error{Code: code, Text: text}
}

// CutCode splits a response code in square brackets off the start of a
// reply's text. It gives an empty code, and the text whole, where there is
// none. RFC 2449 section 8 allows codes on positive replies too.
func CutCode(text string) (Code, string) {
	if !strings.HasPrefix(text, "[") {
		return "", text
	}
	end := strings.IndexByte(text, ']')
	if end < 2 || !validCode(text[1:end]) {
		return "", text
	}
	return Code(strings.ToUpper(text[1:end])), strings.TrimPrefix(text[end+1:], " ")
}

// validCode follows the grammar of resp-code, RFC 2449 section 8: printable
// octets but for blanks and square brackets.
func validCode(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '[' {
			return false
		}
	}
	return true
}
