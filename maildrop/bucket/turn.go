package bucket

import (
	"context"
	"time"
)

// turns is what the keys of objects begin with that note when somebody last
// did what one of all nodes is to do.
const turns = "poplin-turns/"

// Turn tells whether it is this node's turn to do what one of all nodes is to
// do every so often, and takes it. Two that ask at the same moment may both
// get it, and when a node dies in its turn the work waits for the next.
func (s *Store) Turn(ctx context.Context, what string, every time.Duration) (bool, error) {
	at := place{bucket: Buckets(s.bucket, s.buckets)[0], prefix: turns}
	var page *Page
	err := s.try(ctx, "cannot list "+turns+what, func(ctx context.Context) (err error) {
		page, err = s.engine.List(ctx, at.bucket, turns+what, "", maxList)
		return err
	})
	if err != nil {
		return false, err
	}
	for i := range page.Entries {
		if e := &page.Entries[i]; e.Key == turns+what && page.Date.Sub(e.Modified) < every {
			return false, nil
		}
	}
	if err := s.put(ctx, at, what, nil); err != nil {
		return false, err
	}
	return true, nil
}
