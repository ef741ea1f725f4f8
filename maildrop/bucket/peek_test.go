package bucket_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
)

// counting counts the octets that are asked for.
type counting struct {
	bucket.Engine
	gets   int
	octets int64
}

func (c *counting) Get(ctx context.Context, name, key string, how bucket.How) (*bucket.Object, error) {
	o, err := c.Engine.Get(ctx, name, key, how)
	if err == nil {
		c.gets++
		c.octets += o.Size - how.Offset
		if how.Length > 0 {
			c.octets += min(how.Length, o.Size-how.Offset) - (o.Size - how.Offset)
		}
	}
	return o, err
}

// TestPeek: for the beginning of a message little is asked for, and all of it
// can be read.
func TestPeek(t *testing.T) {
	for name, opts := range forms {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t, opts)
				var text strings.Builder
				for i := range 1000 {
					text.WriteString(content(i % 50)) // packs to more than a little
				}
				for _, content := range []string{"", "x\r\n", text.String()} {
					if _, err := b.Deliver(t.Context(), user, strings.NewReader(content)); err != nil {
						t.Fatal(err)
					}
				}
				c := &counting{Engine: b.gateway}
				opts.Engine, opts.Bucket = c, "mail"
				m := b.open(newStore(t, opts))
				defer m.Close()
				r, err := m.(maildrop.Peeker).Peek(t.Context(), 2)
				if err != nil {
					t.Fatal(err)
				}
				head := make([]byte, 1000)
				if _, err := io.ReadFull(r, head); err != nil || string(head) != text.String()[:1000] {
					t.Errorf("the beginning is %.40q, error %v", head, err)
				}
				if c.gets != 1 || c.octets > 70_000 {
					t.Errorf("%d requests for %d octets, for a beginning", c.gets, c.octets)
				}
				rest, err := io.ReadAll(r)
				if err != nil || string(head)+string(rest) != text.String() {
					t.Errorf("the rest has %d octets, error %v", len(rest), err)
				}
				r.Close()
				for i, want := range []string{"", "x\r\n"} {
					r, err := m.(maildrop.Peeker).Peek(t.Context(), i)
					if err != nil {
						t.Fatal(err)
					}
					if got, err := io.ReadAll(r); err != nil || string(got) != want {
						t.Errorf("message %d is %q, error %v", i, got, err)
					}
					r.Close()
				}
			})
		})
	}
}
