package directory

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	cryptargon2 "github.com/go-crypt/crypt/algorithm/argon2"

	"github.com/poplin-mail/poplin/sasl"
)

// Parameters of new passwords: Argon2id with 19 MiB and two passes, the least
// that OWASP's cheat sheet for password storage recommends. Mail programs log
// in every few minutes, so it is paid often. One lane: libsodium, and with it
// Dovecot, checks such hashes too.
const (
	newMemory = 19456 // KiB
	newPasses = 2
	newLanes  = 1
)

// Schemes are the names of the schemes that HashAs makes, in lower case, as a
// command line has them. The first one is that of Hash.
var Schemes = []string{"argon2id", "scram-sha-256", "scram-sha-1"}

// Hash makes the second field of a line from a password, with a new salt:
// {ARGON2ID} and the hash.
func Hash(password string) (string, error) { return HashAs(Schemes[0], password) }

// HashAs is Hash with one of Schemes.
func HashAs(scheme, password string) (string, error) {
	if err := CheckPassword(password); err != nil {
		return "", err
	}
	switch scheme {
	case "argon2id":
		return hashArgon2(password)
	case "scram-sha-256":
		return hashSCRAM(sasl.SHA256, password)
	case "scram-sha-1":
		return hashSCRAM(sasl.SHA1, password)
	}
	return "", fmt.Errorf("there is no scheme %q to store passwords by: choose one of %s", scheme, strings.Join(Schemes, ", "))
}

func hashArgon2(password string) (string, error) {
	hasher, err := cryptargon2.New(cryptargon2.WithVariantID(),
		cryptargon2.WithM(newMemory), cryptargon2.WithT(newPasses), cryptargon2.WithP(newLanes))
	if err != nil {
		return "", fmt.Errorf("hashing the password: %w", err)
	}
	digest, err := hasher.Hash(password)
	if err != nil {
		return "", fmt.Errorf("hashing the password: %w", err)
	}
	return "{ARGON2ID}" + digest.Encode(), nil
}

// CheckPassword says why a password cannot be used with POP3, nil if it can.
func CheckPassword(password string) error {
	switch {
	case password == "":
		return errors.New("the password is empty")
	case len(password) > maxCommandPassword:
		return fmt.Errorf("the password is longer than %d octets: mail programs could not send it", maxCommandPassword)
	case !utf8.ValidString(password):
		return errors.New("the password is not UTF-8: mail programs would send other octets")
	}
	for _, r := range password {
		if unicode.IsControl(r) {
			return errors.New("the password holds a control character: mail programs could not send it")
		}
	}
	return nil
}

// maxCommandPassword is what fits into PASS: a line of 255 octets less the
// verb, its blank and the line end (RFC 2449 section 4).
const maxCommandPassword = 248

// Generate makes a password of 20 characters, 100 bits, without those that
// look alike.
func Generate() string {
	const alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
	octets := make([]byte, 20)
	rand.Read(octets) // never fails
	for i, o := range octets {
		octets[i] = alphabet[int(o)%len(alphabet)] // 32 of them: each is as likely
	}
	return string(octets)
}
