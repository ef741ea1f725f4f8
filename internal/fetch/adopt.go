package fetch

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/internal/fetch/journal"
	"github.com/poplin-mail/poplin/pop3client"
)

// Adopted is a message that is here already: another program has fetched it.
type Adopted struct {
	UID  string
	When time.Time // zero: not known
}

// Adopt takes messages on the server for delivered to all targets, and
// retrieves and deletes nothing. Find is given the unique-ids of those that are
// not known yet, and gives those of them that are here. It tells how many of
// the messages on the server are new, adopted, and how many there are.
func (a *Account) Adopt(ctx context.Context, find func(ctx context.Context, c *pop3client.Client, unknown []string) ([]Adopted, error)) (adopted, listed int, err error) {
	j, err := journal.Open(cmp.Or[disk.FS](a.Disk, disk.OS{}), a.State)
	if err != nil {
		return 0, 0, &Trouble{errors.Is(err, journal.ErrInUse), err}
	}
	defer j.Close()
	r := &run{Account: a, journal: j, names: a.targetNames(), report: new(Report)}
	if r.client, err = a.Connect(ctx); err != nil {
		return 0, 0, trouble(err)
	}
	defer r.client.Abort()
	items, err := r.list(ctx)
	if err != nil {
		return 0, 0, trouble(err)
	}
	waiting := make(map[string][]item) // by unique-id
	var unknown []string
	for _, it := range items {
		known := false
		j.Look(it.Key, func(e *journal.Entry) { known = e != nil && !e.At.IsZero() })
		if !known {
			waiting[it.UID] = append(waiting[it.UID], it)
			unknown = append(unknown, it.UID)
		}
	}
	found, err := find(ctx, r.client, unknown)
	if err != nil {
		return 0, 0, trouble(err)
	}
	var records []journal.Record
	for _, f := range found {
		if len(waiting[f.UID]) == 0 {
			continue
		}
		it := waiting[f.UID][0]
		waiting[f.UID] = waiting[f.UID][1:]
		at := f.When
		if at.IsZero() {
			at = time.Now()
		}
		for _, name := range r.names {
			records = append(records, journal.Done{Key: it.Key, Target: name, Fact: journal.Fact{Size: it.size}, At: at})
		}
		adopted++
	}
	if err := r.write(records...); err != nil {
		return 0, 0, err
	}
	return adopted, len(items), trouble(r.client.Quit(ctx))
}
