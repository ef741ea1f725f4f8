package bucket

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// Expire removes the messages that came before that time, and tells how many
// these are and their octets in the form of the wire; with dry it only tells.
// It takes the session lock: while a session holds the maildrop the error
// wraps maildrop.ErrInUse.
func (s *Store) Expire(ctx context.Context, name string, before time.Time, dry bool) (maildrop.Usage, error) {
	var old maildrop.Usage
	p, err := s.begin(ctx, name)
	if err != nil {
		return old, err
	}
	ses := &session{store: s, place: p}
	l, err := ses.hold(ctx, "")
	if err != nil {
		return old, err
	}
	defer ses.Close()
	ses.take(l)
	var marked []int
	for i := range l.all {
		if l.list[i].Received.Before(before) {
			marked = append(marked, i)
			old.Octets += l.all[i].octets
			old.Messages++
		}
	}
	if dry {
		ses.overdue = false // it only tells
		return old, nil
	}
	return old, ses.Remove(ctx, marked)
}

// Names gives the names of all maildrops in which there is anything, in order.
// It takes a request for each of them, at most.
func (s *Store) Names(ctx context.Context) ([]string, error) {
	var names []string
	for _, bucket := range Buckets(s.bucket, s.buckets) {
		in, err := s.namesIn(ctx, bucket)
		if err != nil {
			return nil, err
		}
		names = append(names, in...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (s *Store) namesIn(ctx context.Context, bucket string) (names []string, err error) {
	for after := ""; ; {
		var page *Page
		err := s.try(ctx, "cannot list "+bucket, func(ctx context.Context) (err error) {
			page, err = s.engine.List(ctx, bucket, "", after, maxList)
			return err
		})
		if err != nil {
			return nil, err
		}
		prefix := ""
		for i := range page.Entries {
			if key := page.Entries[i].Key; prefix == "" || !strings.HasPrefix(key, prefix) {
				var name string
				if name, prefix = s.owner(bucket, key); prefix != "" {
					names = append(names, name)
				}
			}
			after = page.Entries[i].Key
		}
		if !page.More || len(page.Entries) == 0 {
			return names, nil
		}
		if prefix != "" {
			// On behind all that is in this maildrop: "0" follows "/".
			after = strings.TrimSuffix(prefix, "/") + "0"
		}
	}
}

// owner gives the maildrop that a key belongs to, and the prefix of its keys.
// Other objects have none.
func (s *Store) owner(bucket, key string) (name, prefix string) {
	parts := strings.SplitN(key, "/", 3)
	if len(parts) < 3 {
		return "", ""
	}
	name, ok := unescape(parts[1])
	if !ok {
		return "", ""
	}
	p, err := s.locate(name)
	if err != nil || p.bucket != bucket || p.prefix != fmt.Sprintf("%s/%s/", parts[0], parts[1]) {
		return "", ""
	}
	return name, p.prefix
}
