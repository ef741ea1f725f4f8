package pop3server

import (
	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3"
)

// listing is what a session knows of the messages of its maildrop, by their
// numbers, from 1. From a maildrop.Lister it takes nothing that is not asked
// for.
type listing struct {
	count  int
	lister maildrop.Lister    // or nil, and then
	all    []maildrop.Message // these
}

// listingOf gives the listing of a maildrop, and its total.
func listingOf(drop maildrop.Maildrop) (listing, pop3.Stat) {
	if lister, ok := drop.(maildrop.Lister); ok {
		count, octets := lister.Totals()
		return listing{count: count, lister: lister}, pop3.Stat{Messages: count, Octets: octets}
	}
	l := listing{all: drop.Messages()}
	l.count = len(l.all)
	total := pop3.Stat{Messages: l.count}
	for i := range l.all {
		total.Octets += l.all[i].Size
	}
	return l, total
}

// size gives the size of message n.
func (l *listing) size(n int) int64 {
	if l.lister != nil {
		return l.lister.Size(n - 1)
	}
	return l.all[n-1].Size
}

// uid gives the unique-id of message n.
func (l *listing) uid(n int) string {
	if l.lister != nil {
		return l.lister.UID(n - 1)
	}
	return l.all[n-1].UID
}
