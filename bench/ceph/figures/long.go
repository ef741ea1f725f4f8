package figures

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/bench/ceph/cluster"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/s3"
	"github.com/poplin-mail/poplin/pop3client"
)

// long compares RETR of a long message with GET of the same object, through
// the same gateway, by turns.
func (o Options) long(ctx context.Context, user string) error {
	if err := deliver(ctx, o.Cluster.LMTP(), user, message(longSize)); err != nil {
		return err
	}
	c, err := pop3client.DialInsecure(ctx, o.Cluster.POP3(), &pop3client.Options{Mechanisms: []string{"USER"}})
	if err != nil {
		return err
	}
	defer c.Abort()
	if err := c.Login(ctx, user, cluster.Password); err != nil {
		return err
	}
	node := o.nodeOf(c.Greeting())
	engine, err := o.Cluster.Engine(node)
	if err != nil {
		return err
	}
	defer engine.Close()
	bucketName, key, err := o.find(ctx, engine, user)
	if err != nil {
		return err
	}
	var retr, get []time.Duration
	for i := range rounds {
		direct, err := timed(func() (int64, error) { return read(ctx, engine, bucketName, key) })
		if err != nil {
			return err
		}
		through, err := timed(func() (int64, error) {
			m, err := c.Retr(ctx, 1)
			if err != nil {
				return 0, err
			}
			return m.WriteTo(io.Discard)
		})
		if err != nil {
			return err
		}
		if i > 0 { // the first is for the caches
			get, retr = append(get, direct), append(retr, through)
		}
	}
	g, r := quantile(get, .5), quantile(retr, .5)
	o.Print(fmt.Sprintf("%d MB through gateway %d, medians of %d: GET %.1f ms, RETR %.1f ms: %.0f %% of the store's speed", longSize/1_000_000, node%2,
		len(get), ms(g), ms(r), 100*g.Seconds()/r.Seconds()))
	return c.Quit(ctx)
}

// nodeOf gives the number of the node that sent a greeting.
func (o Options) nodeOf(greeting string) int {
	for i, n := range o.Cluster.Nodes {
		if strings.Contains(greeting, n.Name()) {
			return i
		}
	}
	return 0
}

// find gives the object of the only message of a user.
func (o Options) find(ctx context.Context, engine *s3.Engine, user string) (bucketName, key string, err error) {
	for _, bucketName := range o.Cluster.Buckets() {
		for after := ""; ; {
			page, err := engine.List(ctx, bucketName, "", after, 1000)
			if err != nil {
				return "", "", err
			}
			for _, e := range page.Entries {
				if after = e.Key; strings.Contains(e.Key, "/"+user+"/m/") {
					return bucketName, e.Key, nil
				}
			}
			if !page.More {
				break
			}
		}
	}
	return "", "", fmt.Errorf("there is no message of %s in the store", user)
}

// read reads an object to its end.
func read(ctx context.Context, engine *s3.Engine, bucketName, key string) (int64, error) {
	object, err := engine.Get(ctx, bucketName, key, bucket.How{})
	if err != nil {
		return 0, err
	}
	defer object.Body.Close()
	return io.Copy(io.Discard, object.Body)
}

// timed tells how long it takes to read a long message.
func timed(f func() (int64, error)) (time.Duration, error) {
	begun := time.Now()
	octets, err := f()
	if err == nil && octets < longSize {
		err = errors.New("the long message is short")
	}
	return time.Since(begun), err
}
