package bucket

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// countKey is the key of the object that says over how many buckets maildrops
// are spread.
const countKey = "poplin-buckets"

// spread compares the number of buckets with that of the first check. With
// another, a part of the maildrops would look empty, and clients would forget
// what they have.
func (c *checker) spread(ctx context.Context, buckets int) error {
	at := *c
	at.prefix = ""
	noted, _, _, err := at.get(ctx, c.engines[0], countKey, How{})
	switch {
	case errors.Is(err, ErrNotFound):
		return at.put(ctx, c.engines[0], countKey, strconv.Itoa(buckets))
	case err != nil:
		return err
	case noted != strconv.Itoa(buckets):
		return fmt.Errorf("maildrops were spread over %.9q buckets, and now buckets is %d: part of them would look empty; set it back, or where no mail is there yet, remove the object %s from bucket %s", noted, buckets, countKey, c.bucket)
	}
	return nil
}
