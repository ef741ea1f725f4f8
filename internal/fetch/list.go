package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/journal"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// item is a message on the server in this session.
type item struct {
	journal.Key
	number int
	size   int64 // announced; -1: it is not
}

// list gives the messages that there are, oldest first. Messages that share a
// unique-id are told apart by their order.
func (r *run) list(ctx context.Context) ([]item, error) {
	r.opts.Watch.stage("listing")
	listings, uids, err := r.client.ListUidl(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.withUIDs(ctx, uids); err != nil {
		return nil, err
	}
	items := make([]item, len(listings))
	seen := make(map[string]int, len(listings))
	for i, l := range listings {
		uid := ""
		if uids != nil {
			uid = uids[i].UID
		} else if uid, err = r.header(ctx, l.Number); err != nil {
			return nil, fmt.Errorf("the server has no UIDL, and its messages cannot be told by their headers: %w", err)
		}
		if uids == nil {
			uid = byHeader + strings.TrimPrefix(uid, noHash)
		}
		items[i] = item{journal.Key{UID: uid, Index: seen[uid]}, l.Number, l.Octets}
		seen[uid]++
	}
	return r.named(items), nil
}

// named leaves out the messages that the server gives no unique-id that can be
// one: they cannot be known again. The others are none the worse for it.
func (r *run) named(items []item) []item {
	nameless := 0
	items = slices.DeleteFunc(items, func(it item) bool {
		if it.UID != "" {
			return false
		}
		if nameless++; nameless <= mostNamed {
			r.note(it.Key, "", fmt.Sprintf("message %d has a unique-id that is empty, longer than %d octets or not printable, so that it could not be known again: it is left on the server", it.number, pop3.MaxUID), 1, false)
		}
		return true
	})
	if nameless > mostNamed {
		r.note(journal.Key{}, "", fmt.Sprintf("%d more messages have such unique-ids", nameless-mostNamed), 1, false)
	}
	return items
}

// mostNamed is how many messages of one trouble are told one by one.
const mostNamed = 10

// byHeader begins the unique-ids that are made of headers, for servers without
// UIDL.
const byHeader = "header:"

// withUIDs checks that unique-ids come from where those of earlier runs came:
// a server that has them and refuses them today would have all its mail come
// again.
func (r *run) withUIDs(ctx context.Context, uids []pop3.UID) error {
	if uids != nil {
		return nil
	}
	given := false
	r.journal.View(func(e *journal.Entry) { given = given || !strings.HasPrefix(e.UID, byHeader) })
	if caps, err := r.client.Capabilities(ctx); err == nil && caps.Has(pop3.CapUIDL) {
		given = true
	}
	if given {
		return &Trouble{true, errors.New("the server refuses UIDL, which it has: nothing was fetched, lest all of it come again")}
	}
	return nil
}

// header asks for the header of a message, and gives its hash.
func (r *run) header(ctx context.Context, number int) (string, error) {
	m, err := r.client.Top(ctx, number, 0)
	if err != nil {
		return "", err
	}
	return hashOf(m)
}

// same tells whether RETR gives the message with that hash of its header. It is
// asked where TOP says that it does not: servers exist whose TOP is not to be
// relied on, and what is taken for another message comes once more.
func (r *run) same(ctx context.Context, it item, hash string) (bool, error) {
	m, err := r.client.Retr(ctx, it.number)
	if refusal(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	var h headerOf
	var l lines
	l.begin(&h)
	if _, err := m.WriteTo(&capped{&l, r.most(order{item: it}, false)}); err != nil {
		m.Close()
		return false, err
	}
	l.end()
	return h.hash() == hash, nil
}

// hashOf gives the hash of a header that comes.
func hashOf(m *pop3client.Message) (string, error) {
	var h headerOf
	var l lines
	l.begin(&h)
	if _, err := m.WriteTo(&l); err != nil {
		return "", err
	}
	l.end()
	return h.hash(), nil
}

// reconcile brings the journal up to date with the server: what is gone, what
// is back, and what has become another message.
func (r *run) reconcile(ctx context.Context, items []item) error {
	here := make(map[journal.Key]bool, len(items))
	for _, it := range items {
		here[it.Key] = true
	}
	var gone []*journal.Entry
	live, fresh := 0, len(items)
	r.journal.View(func(e *journal.Entry) {
		if !e.At.IsZero() && here[e.Key] {
			fresh--
		}
		if !e.Gone.IsZero() {
			return
		}
		if !e.At.IsZero() {
			live++
		}
		if !here[e.Key] {
			gone = append(gone, e)
		}
	})
	vanished := slices.DeleteFunc(slices.Clone(gone), func(e *journal.Entry) bool { return e.At.IsZero() || e.Marked })
	var records []journal.Record
	if live >= leastUIDs && len(vanished)*5 > live*4 && fresh*2 > live {
		moved, err := r.renumbered(ctx, items, vanished, fresh)
		if err != nil {
			return err
		}
		for _, m := range moved {
			records = append(records, m)
			gone = slices.DeleteFunc(gone, func(e *journal.Entry) bool { return e.Key == m.Key })
		}
	}
	now := time.Now()
	for _, e := range gone {
		if len(e.Intents) == 0 {
			records = append(records, journal.Gone{Key: e.Key, At: now})
		}
	}
	again, err := r.verify(ctx, items)
	if err != nil {
		return err
	}
	return r.write(append(records, again...)...)
}

// write writes to the journal.
func (r *run) write(records ...journal.Record) error {
	if err := r.journal.Write(records...); err != nil {
		return lasting("%w", err)
	}
	return nil
}

// leastUIDs is how many messages must be known before a change of their
// unique-ids says anything.
const leastUIDs = 10

// renumbered decides what to do where most unique-ids have changed.
func (r *run) renumbered(ctx context.Context, items []item, vanished []*journal.Entry, fresh int) ([]journal.Moved, error) {
	switch r.opts.UIDs {
	case NewUIDs:
		return nil, nil
	case StopUIDs:
		return nil, lasting("%d of the messages that were on the server are gone at once, and %d unknown ones are there: the server was replaced, or numbers its mail anew, and all of it would come again. "+
			"Nothing was fetched. Run once with --uids=match to find the known messages by their headers, or with --uids=new to take all for new", len(vanished), fresh)
	}
	known := make(map[string][]journal.Key)
	for _, e := range vanished {
		if e.Hash != "" && e.Hash != noHash {
			known[e.Hash] = append(known[e.Hash], e.Key)
		}
	}
	r.opts.Watch.stage("matching headers")
	var moved []journal.Moved
	for _, it := range items {
		unknown := false
		r.journal.Look(it.Key, func(e *journal.Entry) { unknown = e == nil || e.At.IsZero() })
		if !unknown {
			continue
		}
		hash, err := r.header(ctx, it.number)
		if err != nil {
			return nil, fmt.Errorf("headers cannot be matched: %w", err)
		}
		if keys := known[hash]; len(keys) > 0 {
			known[hash] = keys[1:]
			moved = append(moved, journal.Moved{Key: keys[0], To: it.Key})
		}
	}
	return moved, nil
}

// verify looks at messages that are listed again after they were gone, or have
// another size than they had: some servers give a unique-id to another message,
// which must not be taken for the one that is known. The header decides; where
// the server does not show it, the size.
func (r *run) verify(ctx context.Context, items []item) (records []journal.Record, err error) {
	for _, it := range items {
		var known journal.Entry
		r.journal.Look(it.Key, func(e *journal.Entry) {
			if e != nil {
				known = *e
			}
		})
		back := !known.Gone.IsZero()
		sized := known.Size > 0 && it.size > 0 && known.Size != it.size
		if known.At.IsZero() || !back && !sized {
			if back {
				records = append(records, journal.Back{Key: it.Key})
			}
			continue
		}
		same := !sized
		if known.Hash != "" {
			hash, err := r.header(ctx, it.number)
			var refused *pop3client.MessageError
			switch {
			case err == nil && hash == known.Hash:
				same = true
			case err == nil:
				if same, err = r.same(ctx, it, known.Hash); err != nil {
					return nil, err
				}
			case !errors.As(err, &refused) && !refusal(err):
				return nil, err
			}
		}
		switch {
		case !same:
			records = append(records, journal.Renewed{Key: it.Key})
		case back:
			records = append(records, journal.Back{Key: it.Key})
		}
		if same && sized {
			records = append(records, journal.Sized{Key: it.Key, Size: it.size})
		}
	}
	return records, nil
}
