package bucket_test

import (
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
	"github.com/poplin-mail/poplin/maildrop/maildroptest"
)

// forms are the ways in which messages can be stored.
var forms = map[string]bucket.Options{
	"plain":             {},
	"packed":            {Compress: true},
	"sealed":            {Keys: []bucket.Key{{1}}},
	"packed and sealed": {Compress: true, Keys: []bucket.Key{{2}, {1}}, Buckets: 16},
}

func TestContract(t *testing.T) {
	for name, opts := range forms {
		t.Run(name, func(t *testing.T) {
			maildroptest.Run(t, func(t testing.TB) maildroptest.Harness { return harness(t, opts) })
		})
	}
}

// harness makes a Store over an empty object store.
func harness(t testing.TB, opts bucket.Options) maildroptest.Harness {
	objects := &buckettest.Store{}
	gateway := &buckettest.Gateway{Store: objects}
	opts.Engine, opts.Bucket, opts.TempDir = gateway, "mail", t.TempDir()
	s, err := bucket.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return maildroptest.Harness{
		Store:     s,
		Deliverer: s,
		Views:     true,
		Create:    func(string) error { return nil },
		Discard: func(name, uid string) error {
			for _, b := range bucket.Buckets("mail", opts.Buckets) {
				for _, key := range objects.Keys(b, "") {
					if strings.Contains(key, "/m/"+uid) {
						_, err := gateway.Delete(t.Context(), b, []string{key})
						return err
					}
				}
			}
			return bucket.ErrNotFound
		},
	}
}
