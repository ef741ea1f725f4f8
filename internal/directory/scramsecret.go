package directory

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/poplin-mail/poplin/sasl"
)

const (
	// newIterations is how often new SCRAM keys are hashed: the least that RFC
	// 7677 section 4 asks for, since the client pays it at every login.
	newIterations = 4096

	// newSalt is the length of the salts that Poplin makes, in octets.
	newSalt = 16

	// cheapIterations take a few milliseconds.
	cheapIterations = 10_000

	maxSalt = 64 // octets, of SCRAM
)

// scramSize is the length of the keys with a hash function.
func scramSize(hash sasl.Hash) int {
	if hash == sasl.SHA1 {
		return sha1.Size
	}
	return sha256.Size
}

// scramKeys parses the keys of SCRAM in Dovecot's form: iterations, salt,
// StoredKey and ServerKey with commas between them, all but the first in
// Base64. A password is checked against them too.
func scramKeys(hash sasl.Hash) parser {
	return func(stored string) (secret, error) {
		parts := strings.Split(stored, ",")
		if len(parts) != 4 || len(stored) > maxHash {
			return secret{}, errForm
		}
		if err := rounds("number of iterations", parts[0], 1, maxPBKDF2); err != nil {
			return secret{}, err
		}
		n, err := strconv.Atoi(parts[0])
		if err != nil {
			return secret{}, errForm
		}
		keys := sasl.Keys{Iterations: n}
		for i, field := range []*[]byte{&keys.Salt, &keys.StoredKey, &keys.ServerKey} {
			if *field, err = base64Text(parts[i+1]); err != nil {
				return secret{}, errForm
			}
		}
		size := scramSize(hash)
		if len(keys.Salt) == 0 || len(keys.Salt) > maxSalt || len(keys.StoredKey) != size || len(keys.ServerKey) != size {
			return secret{}, errForm
		}
		return secret{hash: hash, keys: keys, cheap: n <= cheapIterations,
			match: func(password string) bool { return keys.Match(hash, password) }}, nil
	}
}

// hashSCRAM makes the stored form of new keys.
func hashSCRAM(hash sasl.Hash, password string) (string, error) {
	salt := make([]byte, newSalt)
	rand.Read(salt) // never fails
	keys, err := sasl.DeriveKeys(hash, password, salt, newIterations)
	if err != nil {
		return "", fmt.Errorf("deriving keys from the password: %w", err)
	}
	text := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("{SCRAM-%s}%d,%s,%s,%s", hash, keys.Iterations, text(keys.Salt), text(keys.StoredKey), text(keys.ServerKey)), nil
}
