package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
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

// order is what poplin.unsettled says: the UIDs of an import that has not ended,
// in their order, one a line.
type order string

// importOrder gives the order of an import that has not ended, empty where there
// is none. It only orders: what cannot be read keeps nobody out.
func (f *folder) importOrder() (order, error) {
	text, _, err := f.readFile(unsettledName, maxState)
	switch {
	case missing(err), errors.Is(err, errNotFile), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO), errors.Is(err, fs.ErrPermission):
		return "", nil
	case err != nil:
		return "", f.stateError(unsettledName, err)
	}
	return order(text), nil
}

// uids gives the UIDs.
func (o order) uids() iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(string(o)) {
			if !yield(strings.TrimSuffix(line, "\n")) {
				return
			}
		}
	}
}

// sort brings the messages of the order that are new between their neighbours:
// each behind the one before it that is known, or else before those behind it.
// What is known stays in its order.
func (o order) sort(records, known []record) []record {
	if o == "" {
		return records
	}
	old := make(map[string]bool, len(known))
	for i := range known {
		old[known[i].uid] = true
	}
	fresh := make(map[string]*record)
	listed := make(map[string]bool)
	for uid := range o.uids() {
		listed[uid] = true
	}
	var sorted []record
	for i := range records {
		if r := &records[i]; listed[r.uid] && !old[r.uid] {
			fresh[r.uid] = r
		} else {
			sorted = append(sorted, *r)
		}
	}
	if len(fresh) == 0 {
		return records
	}
	return o.insert(sorted, fresh)
}

// insert brings the fresh messages between the others, which are sorted.
func (o order) insert(sorted []record, fresh map[string]*record) []record {
	there := make(map[string]bool, len(sorted))
	for i := range sorted {
		there[sorted[i].uid] = true
	}
	behind := make(map[string][]record) // by UID; empty: those before all that are there
	last, first := "", ""
	for uid := range o.uids() {
		if r := fresh[uid]; r != nil {
			behind[last] = append(behind[last], *r)
			delete(fresh, uid)
		} else if there[uid] {
			if last = uid; first == "" {
				first = uid
			}
		}
	}
	all := make([]record, 0, len(sorted))
	for i := range sorted {
		if uid := sorted[i].uid; uid == first {
			all = append(all, behind[""]...)
		}
		all = append(all, sorted[i])
		all = append(all, behind[sorted[i].uid]...)
	}
	if first == "" {
		all = append(all, behind[""]...)
	}
	return all
}

// few is how many UIDs are looked for in an order as it is written.
const few = 8

// hasAnyOf tells whether one of the messages is in the order.
func (o order) hasAnyOf(came []record) bool {
	if o == "" || len(came) == 0 {
		return false
	}
	if len(came) > few {
		listed := make(map[string]bool)
		for uid := range o.uids() {
			listed[uid] = true
		}
		return slices.ContainsFunc(came, func(r record) bool { return listed[r.uid] })
	}
	return slices.ContainsFunc(came, func(r record) bool {
		line := r.uid + "\n"
		return strings.HasPrefix(string(o), line) || strings.Contains(string(o), "\n"+line) || strings.HasSuffix("\n"+string(o), "\n"+r.uid)
	})
}
