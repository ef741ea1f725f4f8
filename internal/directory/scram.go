package directory

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

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
	d.askTheOthers(ctx, login, f)           // whether the password is right is not known yet
	decoy := d.decoy(login.Username).secret // of no use to a user, and yet: the time would tell
	if f == nil || !f.secret.scram(hash) {
		keys, err := d.decoyKeys(ctx, login, hash, decoy)
		if err == nil {
			err = pop3server.ErrBadCredentials
		}
		return keys, pop3server.Account{}, err
	}
	keys := f.secret.keys
	if f.secret.plain {
		if keys, err = d.derive(ctx, login, hash, f.user.Name, f.secret.text); err != nil {
			return sasl.Keys{}, pop3server.Account{}, err
		}
	} else {
		d.madeUp(login.Username, hash, f.secret) // as decoy
	}
	account, err := d.admit(f, nil)
	return keys, account, err
}

// decoyKeys gives the keys of a name that nobody has: they look like those of
// the user whose secret is the decoy, and take as long to get.
func (d *Directory) decoyKeys(ctx context.Context, login pop3server.Login, hash sasl.Hash, decoy *secret) (sasl.Keys, error) {
	name := login.Username
	if decoy != nil && decoy.plain {
		return d.derive(ctx, login, hash, name, hex.EncodeToString(d.octets("password", "", name, 16)))
	}
	return d.madeUp(name, hash, decoy), nil
}

// madeUp gives keys for which nobody knows a password, in the form of those of
// a secret, where it has some.
func (d *Directory) madeUp(name string, hash sasl.Hash, like *secret) sasl.Keys {
	size := scramSize(hash)
	keys := sasl.Keys{Iterations: newIterations, Salt: d.salt(hash, name, newSalt),
		StoredKey: d.octets("stored", hash, name, size), ServerKey: d.octets("server", hash, name, size)}
	if like != nil && like.hash == hash {
		keys.Iterations, keys.Salt = like.keys.Iterations, d.salt(hash, name, len(like.keys.Salt))
	}
	return keys
}

// salt is what the keys of a name are derived with, the same each time.
func (d *Directory) salt(hash sasl.Hash, name string, n int) []byte {
	return d.octets("salt", hash, name, n)
}

// octets gives n octets for a name, which the key of the installation alone
// decides.
func (d *Directory) octets(what string, hash sasl.Hash, name string, n int) []byte {
	seed := d.sums.sum(1, what, string(hash), fold(name))
	out, err := hkdf.Expand(sha256.New, seed[:], "", n)
	if err != nil {
		panic(err) // n is at most maxSalt or the size of a hash
	}
	return out
}

// derive gives the keys of a password in clear text. They are derived each
// time: where they were remembered, a name that is quick to get keys would be
// one of somebody who has logged in. It waits for its turn, as all that takes
// long.
func (d *Directory) derive(ctx context.Context, login pop3server.Login, hash sasl.Hash, name, password string) (sasl.Keys, error) {
	leave, err := d.gate.enter(ctx, placeOf(login.Remote), 0)
	if err != nil {
		return sasl.Keys{}, fmt.Errorf("waiting to derive keys for SCRAM: %w", err)
	}
	defer leave()
	keys, err := sasl.DeriveKeys(hash, password, d.salt(hash, name, newSalt), newIterations)
	if err != nil {
		return sasl.Keys{}, fmt.Errorf("deriving keys for SCRAM: %w", err)
	}
	return keys, nil
}
