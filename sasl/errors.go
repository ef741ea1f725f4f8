package sasl

import "errors"

// errNUL refuses a user name or password that holds a NUL, which other
// programs take for its end (RFC 4616 section 2 forbids it for PLAIN).
var errNUL = errors.New("sasl: NUL in user name or password")
