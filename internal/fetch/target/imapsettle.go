package target

import (
	"context"
	"fmt"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// mark is up to where a folder has messages.
type mark struct {
	validity uint32
	next     imap.UID // the least that a message can get which comes now
}

// String gives the note for the journal; empty where the server does not tell.
func (m mark) String() string {
	if m.validity == 0 || m.next == 0 {
		return ""
	}
	return fmt.Sprintf("%d %d", m.validity, m.next)
}

// parseMark reads a note.
func parseMark(note string) (m mark) {
	fmt.Sscanf(note, "%d %d", &m.validity, &m.next)
	return m
}

// Settle implements Target.
func (t *IMAP) Settle(ctx context.Context, m *Message, note string) (Outcome, error) {
	t.take()
	defer t.give(t.logout)
	if err := t.connect(ctx); err != nil {
		return Absent, err
	}
	there := false
	err := within(ctx, t.opts.Timeout, t.conn, func() (err error) {
		there, err = t.look(m.ID, parseMark(note))
		return err
	})
	if err != nil {
		t.drop()
		return Absent, plain(err)
	}
	if there {
		return Delivered, nil
	}
	return t.settle(m), nil
}

// lookLimit is how many messages are looked at one by one.
const lookLimit = 5000

// look tells whether the folder has the message.
func (t *IMAP) look(id string, since mark) (there bool, err error) {
	selected, err := t.client.Select(t.opts.Folder, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		return false, err
	}
	// A message that comes meanwhile is none of those that are looked for.
	switch {
	case since.next > 0 && since.validity == selected.UIDValidity && selected.UIDNext > 0 && selected.UIDNext <= since.next:
		there, err = false, nil
	case since.next > 0 && since.validity == selected.UIDValidity && selected.UIDNext > 0 && selected.UIDNext-since.next <= lookLimit:
		there, err = t.read(id, imap.UIDSet{{Start: since.next, Stop: selected.UIDNext - 1}})
	default:
		there, err = t.search(id)
	}
	if err == nil && t.client.Caps().Has(imap.CapUnselect) {
		err = t.client.Unselect().Wait() // so that the server tells nothing of the folder meanwhile
	}
	return there, err
}

// read reads the ids of messages.
func (t *IMAP) read(id string, uids imap.UIDSet) (bool, error) {
	section := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{idField}, Peek: true}
	all, err := t.client.Fetch(uids, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil {
		return false, err
	}
	for _, one := range all {
		for _, got := range one.BodySection {
			// The field of another delivery may stand behind the one from here.
			if strings.Contains(string(got.Bytes), id) {
				return true, nil
			}
		}
	}
	return false, nil
}

// search has the server search.
func (t *IMAP) search(id string) (bool, error) {
	data, err := t.client.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: idField, Value: id}}}, nil).Wait()
	if err != nil {
		return false, err
	}
	return len(data.AllUIDs()) > 0, nil
}
