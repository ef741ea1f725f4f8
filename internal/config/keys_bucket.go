package config

import (
	"errors"
	"fmt"

	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/s3"
)

// bucketKeys are the keys of maildrops in an object store.
var bucketKeys = []key{
	{name: "maildrops.bucket.endpoints", field: func(c *Config) any { return &c.Maildrops.Bucket.Endpoints },
		doc: "The store: \"https://HOST\" or \"https://HOST:PORT\". Mail goes through the first; `poplin bucket check`, and the server when it starts, try out through all of them whether they show the same."},
	{name: "maildrops.bucket.insecure_http", field: func(c *Config) any { return &c.Maildrops.Bucket.InsecureHTTP },
		doc: "Take http:// for other machines too: mail crosses the network in clear text."},
	{name: "maildrops.bucket.ca_file", field: func(c *Config) any { return &c.Maildrops.Bucket.CAFile }, path: true,
		doc: "File with the authorities, PEM, that vouch for the store, beside those of this machine."},
	{name: "maildrops.bucket.region", field: func(c *Config) any { return &c.Maildrops.Bucket.Region },
		doc: "Region of the buckets. Empty: us-east-1."},
	{name: "maildrops.bucket.path_style", field: func(c *Config) any { return &c.Maildrops.Bucket.PathStyle },
		doc: "Name buckets in the path of requests and not in the host. false: as the endpoint wants it; only those of Amazon and a few more want it in the host."},
	{name: "maildrops.bucket.access_key", field: func(c *Config) any { return &c.Maildrops.Bucket.AccessKey },
		doc: "Who asks. Empty: credentials_file says so, or else AWS_ACCESS_KEY_ID and its kin in the environment, ~/.aws/credentials, or the role of the machine."},
	{name: "maildrops.bucket.secret_key", field: func(c *Config) any { return &c.Maildrops.Bucket.SecretKey }, secret: true,
		doc: "The secret of access_key."},
	{name: "maildrops.bucket.secret_key_file", field: func(c *Config) any { return &c.Maildrops.Bucket.SecretKeyFile }, path: true,
		doc: "File that holds the secret, instead of it."},
	{name: "maildrops.bucket.credentials_file", field: func(c *Config) any { return &c.Maildrops.Bucket.CredentialsFile }, path: true,
		doc: "File in the form of ~/.aws/credentials."},
	{name: "maildrops.bucket.bucket", field: func(c *Config) any { return &c.Maildrops.Bucket.Bucket }, check: notEmpty,
		doc: "The bucket, or what the names of the buckets begin with. `poplin bucket init` makes them."},
	{name: "maildrops.bucket.buckets", field: func(c *Config) any { return &c.Maildrops.Bucket.Buckets }, least: 1,
		doc: "Over how many buckets maildrops are spread, 256 at most, named BUCKET-00, BUCKET-01 and so on; 1: the bucket itself. It can never be changed: maildrops would be looked for where they are not."},
	{name: "maildrops.bucket.economy", field: func(c *Config) any { return &c.Maildrops.Bucket.Economy },
		doc: "Have logins that find nothing new cost one request instead of three. The maildrop is then locked by the first message that is read, and not by the login."},
	{name: "maildrops.bucket.cache_messages", field: func(c *Config) any { return &c.Maildrops.Bucket.CacheMessages }, least: 1,
		doc: "With economy: of how many messages listings are remembered, at some 200 octets of memory each. It pays where it holds those of all maildrops that this server sees within hours; each takes one more than it has messages."},
	{name: "maildrops.bucket.lease", field: func(c *Config) any { return &c.Maildrops.Bucket.Lease },
		doc: "For how long a maildrop stays locked when its server dies. All servers of a store need the same. The clocks of the store's machines may differ by an eighth of it."},
	{name: "maildrops.bucket.compress", field: func(c *Config) any { return &c.Maildrops.Bucket.Compress },
		doc: "Pack new messages with zstd."},
	{name: "maildrops.bucket.key_files", field: func(c *Config) any { return &c.Maildrops.Bucket.KeyFiles }, path: true,
		doc: "Files with a key each, 64 hexadecimal digits as `openssl rand -hex 32` makes them, to encrypt messages before they leave this machine. New messages are encrypted with the first; those of the others can be read. Without its key a message is lost: keep them elsewhere too."},
}

// checkBucket finds what the object store still needs.
func (c *Config) checkBucket() error {
	b := &c.Maildrops.Bucket
	switch {
	case c.Maildrops.Store != Bucket:
		return nil
	case len(b.Endpoints) == 0:
		return errors.New("maildrops.bucket.endpoints is empty: set it to the address of the store, such as \"https://s3.example.org\"")
	case b.AccessKey != "" && (b.SecretKey == "") == (b.SecretKeyFile == ""):
		return errors.New("set one of maildrops.bucket.secret_key and maildrops.bucket.secret_key_file")
	case b.AccessKey != "" && b.CredentialsFile != "":
		return errors.New("set only one of maildrops.bucket.access_key and maildrops.bucket.credentials_file")
	}
	for _, endpoint := range b.Endpoints {
		if _, err := s3.New(c.S3Options(endpoint)); err != nil {
			return fmt.Errorf("maildrops.bucket.endpoints: %w", err)
		}
	}
	opts := c.BucketOptions()
	opts.Engine = new(s3.Engine)
	if _, err := bucket.New(opts); err != nil {
		return fmt.Errorf("maildrops.bucket: %w", err)
	}
	return nil
}

// S3Options gives the options of an endpoint, without what stands in files.
func (c *Config) S3Options(endpoint string) s3.Options {
	b := &c.Maildrops.Bucket
	return s3.Options{
		Endpoint: endpoint, InsecureHTTP: b.InsecureHTTP, Region: b.Region, PathStyle: b.PathStyle,
		AccessKey: b.AccessKey, SecretKey: b.SecretKey, File: b.CredentialsFile,
	}
}

// BucketOptions gives the options of the object store's maildrops, without the
// engine, the keys and a logger.
func (c *Config) BucketOptions() bucket.Options {
	b := &c.Maildrops.Bucket
	return bucket.Options{
		Bucket: b.Bucket, Buckets: b.Buckets, Economy: b.Economy, Lease: b.Lease, Compress: b.Compress, CacheMessages: b.CacheMessages,
		TempDir: c.State, // where the server may write, whatever its sandbox
	}
}
