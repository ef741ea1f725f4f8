package pop3

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"strings"
)

// Timestamp finds the timestamp of APOP in a greeting: the first text in
// angle brackets that has the form of a message id, with the brackets. It is
// empty where the server offers none (RFC 1939 section 7, APOP).
func Timestamp(greeting string) string {
	for {
		start := strings.IndexByte(greeting, '<')
		if start < 0 {
			return ""
		}
		greeting = greeting[start:]
		end := strings.IndexByte(greeting, '>')
		if end < 0 {
			return ""
		}
		if ts := greeting[:end+1]; validTimestamp(ts) {
			return ts
		}
		greeting = greeting[1:]
	}
}

// validTimestamp asks for the form of a msg-id, printable and with one "@".
// Servers that can be made to send anything else can be used to gather
// digests of chosen texts, by which MD5 collisions give passwords away.
func validTimestamp(ts string) bool {
	for i := range len(ts) {
		if ts[i] <= ' ' || ts[i] > '~' {
			return false
		}
	}
	inner := ts[1 : len(ts)-1]
	at := strings.IndexByte(inner, '@')
	return at > 0 && at < len(inner)-1 && strings.Count(inner, "@") == 1 && !strings.Contains(inner, "<")
}

// APOPDigest computes the digest that APOP sends: MD5 over the timestamp,
// with its angle brackets, and the shared secret, in lower-case hex (RFC 1939
// section 7, APOP). MD5 no longer protects much: prefer TLS and a password.
func APOPDigest(timestamp, secret string) string {
	sum := md5.Sum([]byte(timestamp + secret))
	return hex.EncodeToString(sum[:])
}

// CheckAPOP compares a digest from a client with the one that the secret
// gives, in constant time and without regard to the case of its hex digits.
func CheckAPOP(timestamp, secret, digest string) bool {
	want := APOPDigest(timestamp, secret)
	return subtle.ConstantTimeCompare([]byte(want), []byte(strings.ToLower(digest))) == 1
}
