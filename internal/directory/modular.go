package directory

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	cryptargon2 "github.com/go-crypt/crypt/algorithm/argon2"
	cryptbcrypt "github.com/go-crypt/crypt/algorithm/bcrypt"
	cryptmd5 "github.com/go-crypt/crypt/algorithm/md5crypt"
	cryptpbkdf2 "github.com/go-crypt/crypt/algorithm/pbkdf2"
	cryptscrypt "github.com/go-crypt/crypt/algorithm/scrypt"
	cryptsha "github.com/go-crypt/crypt/algorithm/shacrypt"
	xyescrypt "github.com/go-crypt/x/yescrypt"
)

// Bounds of what a hash may ask for. The file is the operator's, but a hash
// in it may come from a web form or from another machine, and one line must
// not take the server down. They are well above what any tool writes.
const (
	maxMemory    = 1 << 30   // octets for one check: Argon2, scrypt, yescrypt
	maxPasses    = 4 << 30   // octets gone over in one check: memory times passes
	maxThreads   = 64        // Argon2's lanes
	maxBcrypt    = 16        // the cost is a power of two: about 4 seconds
	maxSHA       = 5_000_000 // rounds of SHA256-CRYPT and SHA512-CRYPT
	minSHA       = 1000      // by its specification; crypt(3) has no fewer
	maxPBKDF2    = 2_000_000 // rounds: about a second
	minPBKDF2Key = 10        // octets: a shorter one is hit by chance, an empty one by every password
	maxHash      = 1024      // characters of a stored hash
)

var errForm = errors.New("the hash is cut short or not of this scheme; " + advice)

// family is a form of hash with dollar signs: how it begins, how it is
// decoded, and what a check of it costs.
type family struct {
	prefixes []string
	decode   algorithm.DecodeFunc
	memory   func(parts []string) (int64, error) // parts: what stands between the dollar signs
}

var (
	argon2ID    = family{[]string{"$argon2id$"}, cryptargon2.Decode, argon2Memory}
	argon2I     = family{[]string{"$argon2i$"}, cryptargon2.Decode, argon2Memory}
	argon2D     = family{[]string{"$argon2d$"}, cryptargon2.Decode, argon2Memory}
	bcrypt      = family{[]string{"$2a$", "$2b$", "$2y$"}, cryptbcrypt.Decode, bcryptCost}
	sha512Crypt = family{[]string{"$6$"}, cryptsha.Decode, shaRounds}
	sha256Crypt = family{[]string{"$5$"}, cryptsha.Decode, shaRounds}
	md5Crypt    = family{[]string{"$1$"}, cryptmd5.Decode, md5Salt}
	scrypt      = family{[]string{"$scrypt$"}, cryptscrypt.Decode, scryptMemory}
	yescrypt    = family{[]string{"$y$"}, cryptscrypt.Decode, yescryptMemory}
	pbkdf2Hash  = family{[]string{"$pbkdf2$", "$pbkdf2-sha1$", "$pbkdf2-sha224$", "$pbkdf2-sha256$", "$pbkdf2-sha384$", "$pbkdf2-sha512$"}, cryptpbkdf2.Decode, pbkdf2Rounds}
)

// named are the families by the scheme that a hash without {SCHEME} has.
var named = []struct {
	scheme string
	family family
}{
	{"ARGON2ID", argon2ID}, {"ARGON2I", argon2I}, {"ARGON2D", argon2D}, {"BLF-CRYPT", bcrypt},
	{"SHA512-CRYPT", sha512Crypt}, {"SHA256-CRYPT", sha256Crypt}, {"MD5-CRYPT", md5Crypt},
	{"YESCRYPT", yescrypt}, {"SCRYPT", scrypt}, {"PBKDF2", pbkdf2Hash},
}

// parseCrypt reads a hash that says itself what it is, as crypt(3) does.
func parseCrypt(stored string) (secret, error) {
	for _, n := range named {
		if n.family.begins(stored) {
			s, err := modular(n.family)(stored)
			s.scheme = n.scheme
			return s, err
		}
	}
	return secret{}, errors.New("the form of the hash is not known (old DES hashes are not supported); " + advice)
}

func (f family) begins(stored string) bool {
	for _, prefix := range f.prefixes {
		if strings.HasPrefix(stored, prefix) {
			return true
		}
	}
	return false
}

// modular makes the parser of some families. Errors of the library are not
// passed on, since they quote from the hash.
func modular(families ...family) parser {
	return func(stored string) (secret, error) {
		for _, f := range families {
			if !f.begins(stored) || len(stored) > maxHash {
				continue
			}
			memory, err := f.memory(strings.Split(stored[1:], "$"))
			if err != nil {
				return secret{}, err
			}
			digest, err := f.decode(stored)
			if err != nil {
				return secret{}, errForm
			}
			return secret{match: digest.Match, memory: memory}, nil
		}
		return secret{}, errForm
	}
}

// parameters reads "m=65536,t=3,p=1". Every name must be there, and no other.
func parameters(text string, names ...string) ([]int64, error) {
	values := make([]int64, len(names))
	fields := strings.Split(text, ",")
	if len(fields) != len(names) {
		return nil, errForm
	}
	for i, field := range fields {
		digits, ok := strings.CutPrefix(field, names[i]+"=")
		v, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || v == 0 {
			return nil, errForm
		}
		values[i] = int64(v)
	}
	return values, nil
}

func argon2Memory(parts []string) (int64, error) {
	if len(parts) != 5 {
		return 0, errForm
	}
	v, err := parameters(parts[2], "m", "t", "p")
	if err != nil {
		return 0, err
	}
	if v[2] > maxThreads {
		return 0, fmt.Errorf("the hash asks for p=%d, and at most %d is allowed; %s", v[2], maxThreads, advice)
	}
	return bounded(v[0]<<10, v[1])
}

func scryptMemory(parts []string) (int64, error) {
	if len(parts) != 4 {
		return 0, errForm
	}
	v, err := parameters(parts[1], "ln", "r", "p")
	if err != nil {
		return 0, err
	}
	return blockMemory(v[0], v[1], v[2])
}

func yescryptMemory(parts []string) (int64, error) {
	if len(parts) != 4 {
		return 0, errForm
	}
	_, ln, r, err := xyescrypt.DecodeSetting([]byte(parts[1]))
	if err != nil || ln < 2 || len(parts[2]) == 0 {
		return 0, errForm
	}
	return blockMemory(int64(ln), int64(r), 1)
}

// blockMemory is 128 times r octets for each of 2 to the ln blocks, and for
// each of the p lanes, which are all made before the first is worked on.
func blockMemory(ln, r, p int64) (int64, error) {
	if ln > 30 || r > 1<<16 || p > 1<<16 {
		return 0, tooMuch(maxMemory)
	}
	return bounded(128*r<<ln+128*r*p, p)
}

// bounded checks the memory of a hash and the passes over it.
func bounded(memory, passes int64) (int64, error) {
	switch {
	case memory > maxMemory:
		return 0, tooMuch(maxMemory)
	case passes > maxPasses/memory:
		return 0, fmt.Errorf("the hash asks for %d passes over %d MiB, more than one login may cost; %s", passes, memory>>20, advice)
	}
	return memory, nil
}

func tooMuch(limit int64) error {
	return fmt.Errorf("the hash asks for more than %d MiB of memory; %s", limit>>20, advice)
}

func bcryptCost(parts []string) (int64, error) {
	if len(parts) != 3 {
		return 0, errForm
	}
	return 0, rounds("cost", parts[1], 4, maxBcrypt)
}

// shaRounds knows that crypt(3) uses at most 16 octets of the salt.
func shaRounds(parts []string) (int64, error) {
	switch {
	case len(parts) == 3 && len(parts[1]) <= 16 && parts[2] != "":
		return 0, nil
	case len(parts) != 4 || len(parts[2]) > 16:
		return 0, errForm
	}
	digits, ok := strings.CutPrefix(parts[1], "rounds=")
	if !ok {
		return 0, errForm
	}
	return 0, rounds("number of rounds", digits, minSHA, maxSHA)
}

// md5Salt knows that crypt(3) uses at most 8 octets of the salt.
func md5Salt(parts []string) (int64, error) {
	if len(parts) != 3 || len(parts[1]) > 8 || parts[2] == "" {
		return 0, errForm
	}
	return 0, nil
}

// pbkdf2Rounds bounds the key too: each further length of the hash function
// costs all rounds again, and adds nothing.
func pbkdf2Rounds(parts []string) (int64, error) {
	if len(parts) != 4 {
		return 0, errForm
	}
	size := map[string]int{"pbkdf2-sha224": 28, "pbkdf2-sha256": 32, "pbkdf2-sha384": 48, "pbkdf2-sha512": 64}[parts[0]]
	if size == 0 {
		size = sha1.Size
	}
	key := base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(parts[3], "=")))
	if key > size || key < minPBKDF2Key {
		return 0, fmt.Errorf("the key is not of %d to %d octets; %s", minPBKDF2Key, size, advice)
	}
	return 0, rounds("number of rounds", parts[1], 1, maxPBKDF2)
}

func rounds(what, digits string, least, most uint64) error {
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return errForm
	}
	if n < least || n > most {
		return fmt.Errorf("the %s of the hash is not between %d and %d; %s", what, least, most, advice)
	}
	return nil
}
