package maildroptest

import (
	"context"
	"fmt"
	"strings"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/memory"
)

// lister is a Maildrop that is a Lister, of which one method is broken.
type lister struct {
	maildrop.Maildrop
	messages int // what Totals has too many
	octets   int64
	size     int64 // what Size has too much
	uid      string
	uids     string // what UIDs end in
}

func (l lister) Totals() (messages int, octets int64) {
	for _, m := range l.Messages() {
		octets += m.Size
	}
	return len(l.Messages()) + l.messages, octets + l.octets
}

func (l lister) Size(i int) int64 { return l.Messages()[i].Size + l.size }
func (l lister) UID(i int) string { return l.Messages()[i].UID + l.uid }

func (l lister) UIDs() string {
	var b strings.Builder
	for i, m := range l.Messages() {
		fmt.Fprintf(&b, "%d %s\r\n", i+1, m.UID)
	}
	return b.String() + l.uids
}

// lists makes a fault of a Lister.
func lists(broken lister) func(h *Harness, s *memory.Store) {
	return func(h *Harness, s *memory.Store) {
		h.Store = opens(func(ctx context.Context, name string) (maildrop.Maildrop, error) {
			m, err := s.Open(ctx, name)
			if err != nil {
				return nil, err
			}
			l := broken
			l.Maildrop = m
			return l, nil
		})
	}
}

var listerFaults = []fault{
	{"Totals with a message too many", "Listing", "Totals are 13", lists(lister{messages: 1})},
	{"Totals with an octet too many", "Listing", "Totals are 12", lists(lister{octets: 1})},
	{"Size of a Lister", "Listing", "Size and UID of message 0", lists(lister{size: 1})},
	{"UID of a Lister", "Listing", "Size and UID of message 0", lists(lister{uid: "x"})},
	{"UIDs with a line too many", "Listing", "UIDs are", lists(lister{uids: "13 x\r\n"})},
}
