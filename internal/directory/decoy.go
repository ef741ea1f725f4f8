package directory

import (
	"context"
	"encoding/binary"
	"sync/atomic"

	"github.com/poplin-mail/poplin/sasl"
)

// A login of a name that nobody knows is checked against a decoy, so that it
// takes as long as another one. A decoy is the secret of some user. It is the
// same one for a name each time, and over all names decoys are spread as the
// secrets are: time tells nothing where there are several schemes either.

// openBook is a Source all of whose secrets can be seen.
type openBook interface {
	secrets() []*secret              // that are not locked
	everyoneHas(hash sasl.Hash) bool // a secret that SCRAM can be done with
}

// decoyer is a Source that asks somebody else about passwords, and can do so
// in vain: Decoy takes as long as the Verify of a user whose password is
// wrong. An error says that it could not be asked.
type decoyer interface {
	Decoy(ctx context.Context, password string) error
}

// known is a sample of the secrets of a source that is no openBook: in each
// place that of the first user that was found whose name belongs there.
type known [64]atomic.Pointer[secret]

// remember puts what was found into the sample.
func (d *Directory) remember(f *found) {
	if _, open := d.opts.Sources[f.source].(openBook); open || f.secret.locked() {
		return
	}
	sample := &d.known[f.source]
	sample[d.pick("sample", f.user.Name, len(sample))].CompareAndSwap(nil, f.secret)
}

// of gives the secret of the place at, or the next one.
func (k *known) of(at int) *secret {
	for i := range k {
		if s := k[(at+i)%len(k)].Load(); s != nil {
			return s
		}
	}
	return nil
}

// pick gives a number below n for a name, the same one each time.
func (d *Directory) pick(what, name string, n int) int {
	s := d.sums.sum(0, what, fold(name))
	return int(binary.BigEndian.Uint64(s[:]) % uint64(n))
}

// decoy is what a login without a user is checked against: one of the two.
type decoy struct {
	secret *secret
	source decoyer
}

// decoy gives the decoy of a name.
func (d *Directory) decoy(name string) decoy {
	var all []decoy // at most one of each source
	for i, source := range d.opts.Sources {
		if book, ok := source.(openBook); ok {
			if list := book.secrets(); len(list) > 0 {
				all = append(all, decoy{secret: list[d.pick("user", name, len(list))]})
			}
		} else if s, ok := source.(decoyer); ok {
			all = append(all, decoy{source: s})
		} else if s := d.known[i].of(d.pick("sample", name, len(d.known[i]))); s != nil {
			all = append(all, decoy{secret: s})
		}
	}
	if len(all) == 0 {
		return decoy{secret: &ownDecoy}
	}
	return all[d.pick("source", name, len(all))]
}

// masterDecoy is decoy for the name of a master user.
func (d *Directory) masterDecoy(name string) decoy {
	if d.masters != nil {
		if list := d.masters.secrets(); len(list) > 0 {
			return decoy{secret: list[d.pick("user", name, len(list))]}
		}
	}
	return decoy{secret: &ownDecoy}
}

// ownDecoy has the cost of the passwords that Poplin makes.
var ownDecoy = mustParse("{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")

func mustParse(field string) secret {
	s, err := parseSecret(field)
	if err != nil {
		panic(err)
	}
	return s
}
