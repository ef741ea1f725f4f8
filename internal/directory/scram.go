package directory

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/poplin-mail/poplin/pop3server"
	"github.com/poplin-mail/poplin/sasl"
)

// SCRAM implements pop3server.SCRAMAuthenticator, for users whose keys are
// stored, or whose password is in clear text. What keeps a user out is in the
// error, beside the keys.
func (d *Directory) SCRAM(ctx context.Context, login pop3server.Login, hash sasl.Hash) (sasl.Keys, pop3server.Account, error) {
	f, err := d.findOrMaster(ctx, login)
	if err != nil {
		return sasl.Keys{}, pop3server.Account{}, err
	}
	d.askTheOthers(ctx, login, f) // whether the password is right is not known yet
	if f == nil || !f.secret.scram(hash) {
		keys, err := d.decoyKeys(login.Username, hash)
		if err == nil {
			err = pop3server.ErrBadCredentials
		}
		return keys, pop3server.Account{}, err
	}
	keys := f.secret.keys
	if f.secret.plain {
		if keys, err = d.derive(hash, f.user.Name, f.secret.text); err != nil {
			return sasl.Keys{}, pop3server.Account{}, err
		}
	}
	account, err := d.admit(f, nil)
	return keys, account, err
}

// decoyKeys gives the keys of a name that nobody has: they look like those of
// the user whose secret is the decoy, and take as long to get.
func (d *Directory) decoyKeys(name string, hash sasl.Hash) (sasl.Keys, error) {
	s := d.decoy(name).secret
	if s != nil && s.plain {
		return d.derive(hash, name, hex.EncodeToString(d.octets("password", "", name, 16)))
	}
	size := scramSize(hash)
	keys := sasl.Keys{Iterations: newIterations, Salt: d.salt(hash, name, newSalt),
		StoredKey: d.octets("stored", hash, name, size), ServerKey: d.octets("server", hash, name, size)}
	if s != nil && s.hash == hash {
		keys.Iterations, keys.Salt = s.keys.Iterations, d.salt(hash, name, len(s.keys.Salt))
	}
	return keys, nil
}

// salt is what the keys of a name are derived with, the same each time.
func (d *Directory) salt(hash sasl.Hash, name string, n int) []byte {
	return d.octets("salt", hash, name, n)
}

// octets gives n octets for a name, which the key of the installation alone
// decides.
func (d *Directory) octets(what string, hash sasl.Hash, name string, n int) []byte {
	seed := keyedSum(d.key, 1, what, string(hash), fold(name)).Sum(nil)
	out, err := hkdf.Expand(sha256.New, seed, "", n)
	if err != nil {
		panic(err) // n is at most maxSalt or the size of a hash
	}
	return out
}

// keyCache holds keys that were derived from passwords in clear text, since
// deriving them costs.
type keyCache struct {
	mu   sync.Mutex
	keys map[checkSum]sasl.Keys
}

// maxKeys bounds the keys that are held.
const maxKeys = 10_000

// derive gives the keys of a password in clear text.
func (d *Directory) derive(hash sasl.Hash, name, password string) (sasl.Keys, error) {
	c := &d.keys
	at := d.cache.sum(-2, string(hash), fold(name), password)
	c.mu.Lock()
	keys, ok := c.keys[at]
	c.mu.Unlock()
	if ok {
		return keys, nil
	}
	keys, err := sasl.DeriveKeys(hash, password, d.salt(hash, name, newSalt), newIterations)
	if err != nil {
		return sasl.Keys{}, fmt.Errorf("deriving keys for SCRAM: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil {
		c.keys = make(map[checkSum]sasl.Keys)
	}
	for old := range c.keys {
		if len(c.keys) < maxKeys {
			break
		}
		delete(c.keys, old)
	}
	c.keys[at] = keys
	return keys, nil
}
