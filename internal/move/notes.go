package move

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/poplin-mail/poplin/maildrop/view"
)

// notes copies what devices do not see.
func (r *run) notes(ctx context.Context) error {
	if r.dst == nil {
		return nil
	}
	keys, err := r.src.NoteKeys(ctx)
	if err != nil {
		return err
	}
	slices.Sort(keys)
	for _, key := range keys {
		if key == sourceNote || key == targetNote {
			continue
		}
		if err := r.note(ctx, key); err != nil {
			return fmt.Errorf("note %s was not copied: %w", key, err)
		}
	}
	return nil
}

// note copies one note. Where users see the destination, what they have hidden
// there stays hidden too.
func (r *run) note(ctx context.Context, key string) error {
	note, err := r.src.Note(ctx, key)
	if err != nil || note == nil {
		return err
	}
	old, err := r.dst.Note(ctx, key)
	if err != nil {
		return err
	}
	if old != nil && !r.opts.Live {
		if note, err = view.Union(old, note); err != nil {
			return nil // a login says so where it is the destination's
		}
	}
	if old != nil && bytes.Equal(old, note) {
		return nil
	}
	return r.dst.SetNote(ctx, key, note)
}
