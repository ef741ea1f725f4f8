package directory

import (
	"slices"
	"strings"

	"github.com/poplin-mail/poplin/sasl"
)

// Offers implements pop3server.Offerer. SCRAM is offered where every user and
// every master can log in by it, or where Options.Mechanisms says so: not
// where users are in a source that cannot be looked into, and not where there
// are app passwords, of which a client's login cannot name one.
func (d *Directory) Offers(mechanism string) bool {
	if len(d.opts.Mechanisms) > 0 && !slices.ContainsFunc(d.opts.Mechanisms, func(m string) bool { return strings.EqualFold(m, mechanism) }) {
		return false
	}
	listed := len(d.opts.Mechanisms) > 0
	switch mechanism {
	case "EXTERNAL":
		return true
	case "OAUTHBEARER", "XOAUTH2":
		return d.opts.Tokens != nil
	case "CRAM-MD5":
		return listed
	case "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS":
		return listed || d.everyoneHas(sasl.SHA1)
	case "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS":
		return listed || d.everyoneHas(sasl.SHA256)
	}
	return len(d.opts.Sources) > 0
}

func (d *Directory) everyoneHas(hash sasl.Hash) bool {
	if d.apps != nil && d.apps.current().entries > 0 {
		return false
	}
	books := make([]openBook, 0, len(d.opts.Sources)+1)
	users := 0
	for _, s := range d.opts.Sources {
		book, ok := s.(openBook)
		if !ok {
			return false
		}
		users += len(book.secrets())
		books = append(books, book)
	}
	if d.masters != nil {
		books = append(books, d.masters)
	}
	return users > 0 && !slices.ContainsFunc(books, func(b openBook) bool { return !b.everyoneHas(hash) })
}
