package directory

import (
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// The hashes of the simple schemes. They are fast to guess: they are read so
// that a file can be taken over, and never written.
var (
	md5Sum    = md5.New
	sha1Sum   = sha1.New
	sha256Sum = sha256.New
	sha512Sum = sha512.New
)

// decoding is how the octets of a hash are written.
type decoding func(stored string) ([]byte, error)

func hexadecimal(stored string) ([]byte, error) { return hex.DecodeString(stored) }
func base64Text(stored string) ([]byte, error)  { return base64.StdEncoding.DecodeString(stored) }

// sum parses the hash of the password, or, salted, of the password and what
// follows the hash.
func sum(newHash func() hash.Hash, salted bool, decode decoding) parser {
	return func(stored string) (secret, error) {
		raw, err := decode(stored)
		size := newHash().Size()
		if err != nil || len(raw) < size || !salted && len(raw) != size || len(raw) > size+64 {
			return secret{}, errors.New("the hash is cut short or not of this scheme; " + advice)
		}
		want, salt := raw[:size], raw[size:]
		return secret{cheap: true, match: func(password string) bool {
			h := newHash()
			h.Write([]byte(password))
			h.Write(salt)
			return subtle.ConstantTimeCompare(h.Sum(nil), want) == 1
		}}, nil
	}
}

// encoded gives the parser of a scheme with a suffix that says how its octets
// are written, or nil where there is none.
func encoded(scheme, suffix string) parser {
	decode := map[string]decoding{"HEX": hexadecimal, "B64": base64Text, "BASE64": base64Text}[suffix]
	if decode == nil {
		return nil
	}
	switch scheme {
	case "PLAIN-MD5", "LDAP-MD5":
		return sum(md5Sum, false, decode)
	case "SMD5":
		return sum(md5Sum, true, decode)
	case "SHA", "SHA1":
		return sum(sha1Sum, false, decode)
	case "SSHA":
		return sum(sha1Sum, true, decode)
	case "SHA256":
		return sum(sha256Sum, false, decode)
	case "SSHA256":
		return sum(sha256Sum, true, decode)
	case "SHA512":
		return sum(sha512Sum, false, decode)
	case "SSHA512":
		return sum(sha512Sum, true, decode)
	case "PLAIN", "CLEAR", "CLEARTEXT":
		return func(stored string) (secret, error) {
			raw, err := decode(stored)
			if err != nil {
				return secret{}, errors.New("what follows is not written as the suffix says")
			}
			return parsePlain(string(raw))
		}
	}
	return nil
}

// parsePBKDF2 reads Dovecot's own form, $1$salt$rounds$hex with SHA-1, and
// the form $pbkdf2-sha256$rounds$salt$hash that other tools write.
func parsePBKDF2(stored string) (secret, error) {
	if !strings.HasPrefix(stored, "$1$") {
		return modular(pbkdf2Hash)(stored)
	}
	parts := strings.Split(stored, "$")
	if len(parts) != 5 {
		return secret{}, errForm
	}
	rounds, err := strconv.Atoi(parts[3])
	if err != nil || rounds < 1 || rounds > maxPBKDF2 {
		return secret{}, fmt.Errorf("the number of rounds is not between 1 and %d; %s", maxPBKDF2, advice)
	}
	want, err := hex.DecodeString(parts[4])
	if err != nil || len(want) != sha1.Size {
		return secret{}, errForm
	}
	salt := []byte(parts[2])
	return secret{match: func(password string) bool {
		key, err := pbkdf2.Key(sha1.New, password, salt, rounds, len(want))
		return err == nil && subtle.ConstantTimeCompare(key, want) == 1
	}}, nil
}
