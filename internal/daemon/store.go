package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/s3"
	"github.com/poplin-mail/poplin/maildrop/maildir"
	"github.com/poplin-mail/poplin/maildrop/memory"
)

// bucketObserver hears what is asked of an object store.
type bucketObserver interface {
	bucket.Observer
	s3.Observer
}

// newStore makes the store that the configuration names. Nothing is asked of
// it.
func newStore(cfg *config.Config, logger *slog.Logger) (maildrop.Store, error) {
	switch cfg.Maildrops.Store {
	case config.Memory:
		return memoryStore{memory.New()}, nil
	case config.Bucket:
		return newBucket(cfg, logger, nil)
	}
	opts := cfg.MaildirOptions()
	opts.Logger = logger
	store, err := maildir.New(opts)
	if err != nil {
		return nil, fmt.Errorf("maildrops: %w", err)
	}
	return store, nil
}

// newBucket makes a store in an object store. A nil observer hears nothing.
func newBucket(cfg *config.Config, logger *slog.Logger, observer bucketObserver) (*bucket.Store, error) {
	opts, engines, err := openObserved(cfg, observer)
	if err != nil {
		return nil, err
	}
	opts.Engine, opts.Logger = engines[0], logger
	if observer != nil {
		opts.Observer = observer
	}
	store, err := bucket.New(opts)
	if err != nil {
		return nil, fmt.Errorf("maildrops.bucket: %w", err)
	}
	return store, nil
}

// memoryStore makes a maildrop at its first login: every name that it is
// asked for is one of the directory.
type memoryStore struct{ *memory.Store }

// Open implements maildrop.Store.
func (s memoryStore) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	s.Create(name)
	return s.Store.Open(ctx, name)
}

// expirer is a store in which messages can be too old.
type expirer interface {
	Names(ctx context.Context) ([]string, error)
	Expire(ctx context.Context, name string, before time.Time, dry bool) (maildrop.Usage, error)
}

// Undeleter gives the store, for a command that brings messages back.
func Undeleter(cfg *config.Config, logger *slog.Logger) (maildrop.Undeleter, error) {
	store, err := newStore(cfg, logger)
	if err != nil {
		return nil, err
	}
	if _, lost := store.(memoryStore); lost {
		return nil, fmt.Errorf("maildrops.store is %q: nothing of it outlives the server", cfg.Maildrops.Store)
	}
	u, ok := store.(maildrop.Undeleter)
	if !ok {
		return nil, fmt.Errorf("maildrops.store is %q: it keeps no removed messages", cfg.Maildrops.Store)
	}
	return u, nil
}

// openBucket reads the files that the options of an object store name, and
// gives an engine for each endpoint.
func openBucket(cfg *config.Config) (bucket.Options, []*s3.Engine, error) {
	return openObserved(cfg, nil)
}

// openObserved is openBucket with somebody who hears of the requests; nil:
// nobody.
func openObserved(cfg *config.Config, observer s3.Observer) (bucket.Options, []*s3.Engine, error) {
	b, opts := &cfg.Maildrops.Bucket, cfg.BucketOptions()
	fail := func(key string, err error) (bucket.Options, []*s3.Engine, error) {
		return opts, nil, fmt.Errorf("maildrops.bucket.%s: %w", key, err)
	}
	secret, err := secretOf(b.SecretKey, b.SecretKeyFile)
	if err != nil {
		return fail("secret_key_file", err)
	}
	authorities, err := authoritiesOf(b.CAFile)
	if err != nil {
		return fail("ca_file", err)
	}
	for _, file := range b.KeyFiles {
		key, err := hexKey(file)
		if err != nil {
			return fail("key_files", err)
		}
		opts.Keys = append(opts.Keys, key)
	}
	var engines []*s3.Engine
	for _, endpoint := range b.Endpoints {
		at := cfg.S3Options(endpoint)
		at.SecretKey, at.CA, at.Observer = secret, authorities, observer
		e, err := s3.New(at)
		if err != nil {
			return fail("endpoints", err)
		}
		engines = append(engines, e)
	}
	if len(engines) == 0 {
		return fail("endpoints", errors.New("it is empty"))
	}
	return opts, engines, nil
}

// noBucket answers a command about buckets where there are none. There may be
// some, with the mail elsewhere still.
func noBucket(cfg *config.Config) error {
	if cfg.Maildrops.Store == config.Bucket || len(cfg.Maildrops.Bucket.Endpoints) > 0 {
		return nil
	}
	return fmt.Errorf("maildrops.store is %q, and [maildrops.bucket] has no endpoints: set that, and the keys beside it", cfg.Maildrops.Store)
}

// advice says what to do about an error of an object store. Empty: the error
// says all that is known.
func advice(err error) string {
	switch {
	case errors.Is(err, bucket.ErrNoBucket):
		return "`poplin bucket init` makes them"
	case errors.Is(err, bucket.ErrDenied) && strings.Contains(err.Error(), "RequestTimeTooSkewed"):
		return "the clock of this machine, or the store's, is wrong"
	case errors.Is(err, bucket.ErrDenied):
		return "access_key and secret_key, or what stands in their place, must be those that the store gave, and may list, read, write and delete"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "where the store's certificate is not from a public authority, ca_file names the one that it is from"
	case s3.Down(err):
		return "see whether endpoints has the address of the store, and whether it runs"
	}
	return ""
}

// advised is an error with the advice about it.
func advised(err error) error {
	if text := advice(err); text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// CheckBucket tries out whether the object store may be used for maildrops.
func CheckBucket(ctx context.Context, cfg *config.Config) ([]bucket.Finding, error) {
	if err := noBucket(cfg); err != nil {
		return nil, err
	}
	opts, engines, err := openBucket(cfg)
	if err != nil {
		return nil, err
	}
	var all []bucket.Engine
	for _, e := range engines {
		defer e.Close()
		all = append(all, e)
	}
	found := bucket.Check(ctx, opts, all...)
	for i := range found {
		found[i].Err = advised(found[i].Err)
	}
	return found, nil
}

// Made is a bucket of the configuration.
type Made struct {
	Bucket string `json:"bucket"`
	Made   bool   `json:"made"` // it was missing
}

// MakeBuckets makes the buckets that are missing, and none where maildrops are
// spread over another number of them. With an error, those before it are there.
func MakeBuckets(ctx context.Context, cfg *config.Config) ([]Made, error) {
	if err := noBucket(cfg); err != nil {
		return nil, err
	}
	opts, engines, err := openBucket(cfg)
	if err != nil {
		return nil, err
	}
	defer engines[0].Close()
	if err := bucket.LookAtCount(ctx, opts, engines[0]); err != nil {
		return nil, advised(err)
	}
	var all []Made
	for _, name := range bucket.Buckets(opts.Bucket, opts.Buckets) {
		made, err := engines[0].Make(ctx, name)
		if err != nil {
			return all, fmt.Errorf("bucket %s: %w", name, advised(err))
		}
		all = append(all, Made{name, made})
	}
	return all, nil
}
