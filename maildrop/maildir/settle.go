package maildir

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// unsettledName is a file that is there from the first message of an import to
// its end, also where that was broken off. It holds the UIDs of the messages
// in their order, one a line.
const unsettledName = "poplin.unsettled"

// Settle implements maildrop.Importer.
func (s *session) Settle(ctx context.Context, settled bool) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	if settled {
		if err := s.sys.unlink(s.top, unsettledName); err != nil && !missing(err) {
			return s.stateError(unsettledName, err)
		}
		return nil
	}
	there, err := s.unsettled()
	switch {
	case err != nil:
		return err
	case there: // who wrote it may have been killed before it was durable
		err = s.sys.fsync(s.top)
	default:
		err = s.replaceFile(unsettledName, nil, true)
	}
	if err != nil {
		return s.stateError(unsettledName, err)
	}
	return nil
}

// unsettled tells whether an import has not ended.
func (s *session) unsettled() (bool, error) {
	var st unix.Stat_t
	err := s.sys.lstat(s.top, unsettledName, &st)
	if missing(err) {
		return false, nil
	} else if err != nil {
		return false, s.stateError(unsettledName, err)
	}
	return true, nil
}

// unsettle is Settle(ctx, false) for an import of messages that lie in that
// order.
func (s *session) unsettle(list []maildrop.Message) error {
	var b strings.Builder
	for i := range list {
		b.WriteString(list[i].UID)
		b.WriteByte('\n')
	}
	if b.Len() > maxState {
		return permanent("import into "+s.name, fmt.Errorf("%s would have %d octets, which are more than it may", unsettledName, b.Len()))
	}
	if err := s.replaceFile(unsettledName, []byte(b.String()), true); err != nil {
		return s.stateError(unsettledName, err)
	}
	return nil
}

// importOrder gives the order of the messages of an import that has not ended,
// nil where there is none.
func (f *folder) importOrder() (map[string]int, error) {
	text, _, err := f.readFile(unsettledName, maxState)
	switch {
	case missing(err):
		return nil, nil
	case errors.Is(err, errNotFile): // it only orders
		return map[string]int{}, nil
	case err != nil:
		return nil, err
	}
	order := make(map[string]int)
	for uid := range strings.Lines(string(text)) {
		order[strings.TrimSuffix(uid, "\n")] = len(order)
	}
	return order, nil
}

// inOrder has the messages whose UIDs are in order follow each other as that
// says, in the places that they have together.
func inOrder(records []record, order map[string]int) []record {
	if len(order) == 0 {
		return records
	}
	var places []int
	for i := range records {
		if _, found := order[records[i].uid]; found {
			places = append(places, i)
		}
	}
	sorted := slices.Clone(places)
	slices.SortFunc(sorted, func(a, b int) int { return order[records[a].uid] - order[records[b].uid] })
	moved := slices.Clone(records)
	for n, at := range places {
		moved[at] = records[sorted[n]]
	}
	return moved
}

// addsAnyOf tells whether one of the messages that came is in an order.
func (d *delta) addsAnyOf(order map[string]int) bool {
	return len(order) > 0 && slices.ContainsFunc(d.added, func(r record) bool {
		_, found := order[r.uid]
		return found
	})
}
