package pop3

import (
	"encoding/base64"
	"errors"
)

// ErrBase64 is the error for a SASL response or challenge that is not
// canonical base64.
var ErrBase64 = errors.New("pop3: not base64")

var strictBase64 = base64.StdEncoding.Strict()

// EncodeSASL gives a challenge or response the form of the wire. The empty
// one is "" (RFC 5034 section 4); as an initial response it must be written
// "=", which EncodeInitial does.
func EncodeSASL(b []byte) string { return strictBase64.EncodeToString(b) }

// EncodeInitial is EncodeSASL for an initial response in the AUTH command:
// an empty one becomes "=" (RFC 5034 section 4).
func EncodeInitial(b []byte) string {
	if len(b) == 0 {
		return "="
	}
	return EncodeSASL(b)
}

// DecodeSASL reads a challenge or response. It is strict (RFC 4648 sections
// 3.1 to 3.5): blanks, line ends inside, missing or surplus padding and stray
// bits are errors. The result is empty, never nil, for an empty s.
func DecodeSASL(s string) ([]byte, error) {
	for i := range len(s) {
		if s[i] == '\r' || s[i] == '\n' { // which encoding/base64 would skip
			return nil, ErrBase64
		}
	}
	b, err := strictBase64.DecodeString(s)
	if err != nil {
		return nil, ErrBase64
	}
	return b, nil
}

// DecodeInitial is DecodeSASL for an initial response in the AUTH command:
// "=" is the empty one, and the empty text is an error.
func DecodeInitial(s string) ([]byte, error) {
	switch s {
	case "=":
		return []byte{}, nil
	case "":
		return nil, ErrBase64
	}
	return DecodeSASL(s)
}
