package directory

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/poplin-mail/poplin/sasl"
)

// secret is the password of a user as a source holds it.
type secret struct {
	field  string                     // as it is stored, with its scheme
	scheme string                     // as the source spells it, in upper case
	match  func(password string) bool // nil where no password matches
	memory int64                      // octets that one match takes, about
	cheap  bool                       // one match takes no more than a few milliseconds and no memory
	plain  bool                       // the clear text is known: APOP works
	text   string                     // the clear text, where plain is set: not empty
	hash   sasl.Hash                  // of keys; empty where it has none
	keys   sasl.Keys                  // of SCRAM
}

// locked reports whether no password matches.
func (s *secret) locked() bool { return s.match == nil }

// out reports whether the user is kept out altogether, rather than being
// without a password.
func (s *secret) out() bool { return s.locked() && s.field != "" }

// scram reports whether SCRAM can be done with this secret.
func (s *secret) scram(hash sasl.Hash) bool {
	return s.plain || s.hash == hash
}

// parser makes a secret of what follows the scheme in the file. Its errors
// never hold any part of that.
type parser func(stored string) (secret, error)

// schemes are the schemes that the file may name, as Dovecot spells them. A
// suffix .B64, .BASE64 or .HEX is cut off before the look-up.
var schemes = map[string]parser{
	"ARGON2ID":      modular(argon2ID),
	"ARGON2I":       modular(argon2I),
	"ARGON2D":       modular(argon2D),
	"ARGON2":        modular(argon2ID, argon2I, argon2D),
	"BLF-CRYPT":     modular(bcrypt),
	"BCRYPT":        modular(bcrypt),
	"SHA512-CRYPT":  modular(sha512Crypt),
	"SHA256-CRYPT":  modular(sha256Crypt),
	"MD5-CRYPT":     modular(md5Crypt),
	"MD5":           modular(md5Crypt), // so Dovecot, for the sake of old files
	"SCRYPT":        modular(scrypt),
	"YESCRYPT":      modular(yescrypt),
	"PBKDF2":        parsePBKDF2,
	"CRYPT":         parseCrypt,
	"PLAIN":         parsePlain,
	"CLEARTEXT":     parsePlain,
	"CLEAR":         parsePlain,
	"PLAIN-MD5":     sum(md5Sum, false, hexadecimal),
	"LDAP-MD5":      sum(md5Sum, false, base64Text),
	"SMD5":          sum(md5Sum, true, base64Text),
	"SHA":           sum(sha1Sum, false, base64Text),
	"SHA1":          sum(sha1Sum, false, base64Text),
	"SSHA":          sum(sha1Sum, true, base64Text),
	"SHA256":        sum(sha256Sum, false, base64Text),
	"SSHA256":       sum(sha256Sum, true, base64Text),
	"SHA512":        sum(sha512Sum, false, base64Text),
	"SSHA512":       sum(sha512Sum, true, base64Text),
	"SCRAM-SHA-1":   scramKeys(sasl.SHA1),
	"SCRAM-SHA-256": scramKeys(sasl.SHA256),
}

// parseSecret reads the second field of a line.
func parseSecret(field string) (secret, error) {
	s, err := parseScheme(field)
	s.field = field
	return s, err
}

func parseScheme(field string) (secret, error) {
	if field == "" || field[0] == '!' || field[0] == '*' {
		return secret{scheme: "locked"}, nil
	}
	if field[0] == '$' {
		return parseCrypt(field)
	}
	name, stored, ok := strings.Cut(strings.TrimPrefix(field, "{"), "}")
	if !ok || field[0] != '{' {
		return secret{}, errors.New("the password has no {SCHEME} before it; clear text needs {PLAIN}, and " + advice)
	}
	name = strings.ToUpper(name)
	base, encoding, _ := strings.Cut(name, ".")
	parse, known := schemes[base]
	if !known {
		return secret{}, unknownScheme(name)
	}
	if encoding != "" {
		if parse = encoded(base, encoding); parse == nil {
			return secret{}, unknownScheme(name)
		}
	}
	s, err := parse(stored)
	if stored == "" || err != nil && (stored[0] == '!' || stored[0] == '*') {
		return secret{scheme: "locked"}, nil
	}
	if err != nil {
		return secret{}, fmt.Errorf("{%s}: %w", name, err)
	}
	s.scheme = name
	return s, nil
}

const advice = "`poplin user passwd NAME` sets a new one"

// unknownScheme names the scheme only where it looks like one: whoever wrote
// a password in braces would find it in a log otherwise.
func unknownScheme(name string) error {
	shown := "the scheme in braces"
	if len(name) <= 24 && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == "" {
		shown = "the scheme {" + name + "}"
	}
	known := slices.Sorted(maps.Keys(schemes))
	return fmt.Errorf("%s is not supported (known: %s); %s", shown, strings.Join(known, " "), advice)
}

// parsePlain takes the clear text itself.
func parsePlain(stored string) (secret, error) {
	want := sha256.Sum256([]byte(stored))
	return secret{
		scheme: "PLAIN", plain: true, text: stored, cheap: true,
		match: func(password string) bool {
			// Sums are compared, since the time of a comparison tells the length.
			got := sha256.Sum256([]byte(password))
			return subtle.ConstantTimeCompare(got[:], want[:]) == 1
		},
	}, nil
}
