// Package s3 is the bucket.Engine for stores that speak Amazon's S3 protocol:
// Ceph, AWS S3, Cloudflare R2, versitygw, MinIO and others. It is the only
// package that knows the client library.
package s3

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/poplin-mail/poplin/maildrop/bucket"
)

// Options says where a store is and who asks. Endpoint must be set.
type Options struct {
	// Endpoint is the store's address, as in "https://s3.example.org" or
	// "http://127.0.0.1:7070". Without TLS only addresses of this machine are
	// taken, unless InsecureHTTP is set.
	Endpoint string

	// InsecureHTTP allows to send mail without TLS to other machines.
	InsecureHTTP bool

	// CA holds certificates in PEM that the store's is signed by, beside those
	// that this machine trusts.
	CA []byte

	// Region is the region of the buckets. Empty means us-east-1, which most
	// stores other than Amazon's take.
	Region string

	// PathStyle puts the names of buckets into paths and not into host names.
	// False lets the endpoint decide: only Amazon's and a few more get them
	// in host names.
	PathStyle bool

	// AccessKey, SecretKey and SessionToken are the credentials. Without
	// AccessKey they come from File, where that is set, in the form of
	// ~/.aws/credentials; or else from the environment (AWS_ACCESS_KEY_ID and
	// so on), from ~/.aws/credentials, or from the role of the machine (IAM),
	// whichever has some first.
	AccessKey, SecretKey, SessionToken string

	File    string
	Profile string // in the file; empty means AWS_PROFILE, or "default"

	// Observer hears of requests as they go over the wire. Nil means nobody.
	Observer Observer
}

// Engine asks a store. Make it with New.
type Engine struct {
	core   *minio.Core
	creds  *credentials.Credentials
	region string
	idle   func()
}

var _ bucket.Engine = (*Engine)(nil)

const (
	dialTimeout  = 10 * time.Second
	idleTimeout  = time.Minute
	connections  = 256 // that wait for their next request
	maxErrorText = 200
)

// New makes an Engine. It asks nothing of the store.
func New(opts Options) (*Engine, error) {
	host, secure, err := endpoint(&opts)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		MaxIdleConns:          connections,
		MaxIdleConnsPerHost:   connections,
		IdleConnTimeout:       idleTimeout,
		ExpectContinueTimeout: dialTimeout,
		DisableCompression:    true, // octets are counted as they are stored
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if len(opts.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(opts.CA) {
			return nil, errors.New("s3: no certificate in PEM among the authorities")
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	e := &Engine{creds: opts.credentials(), region: opts.Region, idle: transport.CloseIdleConnections}
	if e.region == "" {
		e.region = "us-east-1"
	}
	var roundTripper http.RoundTripper = transport
	if opts.Observer != nil {
		roundTripper = observed{transport, opts.Observer}
	}
	lookup := minio.BucketLookupAuto
	if opts.PathStyle {
		lookup = minio.BucketLookupPath
	}
	e.core, err = minio.NewCore(host, &minio.Options{
		Creds:        e.creds,
		Secure:       secure,
		Region:       e.region,
		BucketLookup: lookup,
		Transport:    dated{roundTripper},
		MaxRetries:   1, // the Store tries again, and writes another generation each time
	})
	if err != nil {
		return nil, fmt.Errorf("s3: endpoint %s: %w", opts.Endpoint, err)
	}
	return e, nil
}

// Close closes connections that wait for their next request.
func (e *Engine) Close() error {
	e.idle()
	return nil
}

// endpoint reads the address of the store.
func endpoint(opts *Options) (host string, secure bool, err error) {
	u, err := url.Parse(opts.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" {
		return "", false, fmt.Errorf("s3: endpoint %q is not of the form https://HOST or https://HOST:PORT", opts.Endpoint)
	}
	if u.Scheme == "http" && !opts.InsecureHTTP && !loopback(u.Hostname()) {
		return "", false, fmt.Errorf("s3: endpoint %s is on another machine, and mail would go there without TLS: use https, or set insecure_http", opts.Endpoint)
	}
	return u.Host, u.Scheme == "https", nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (o *Options) credentials() *credentials.Credentials {
	switch {
	case o.AccessKey != "":
		return credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken)
	case o.File != "":
		return credentials.NewFileAWSCredentials(o.File, o.Profile)
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.FileAWSCredentials{Profile: o.Profile},
		&credentials.IAM{},
	})
}

// Put implements bucket.Engine. The store refuses octets that have not the
// SHA-256 that the request is signed with.
func (e *Engine) Put(ctx context.Context, bucketName, key string, body io.ReadSeeker, size int64) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := e.core.PutObject(ctx, bucketName, key, body, size, "", hex.EncodeToString(sum.Sum(nil)), minio.PutObjectOptions{
		ContentType:          "message/rfc822",
		DisableContentSha256: true, // the SHA-256 of the whole is in the signature
	})
	return e.explain(err)
}

// Get implements bucket.Engine.
func (e *Engine) Get(ctx context.Context, bucketName, key string, how bucket.How) (*bucket.Object, error) {
	var opts minio.GetObjectOptions
	ranged := how.Offset > 0 || how.Length > 0
	if ranged {
		end := ""
		if how.Length > 0 {
			end = strconv.FormatInt(how.Offset+how.Length-1, 10)
		}
		opts.Set("Range", fmt.Sprintf("bytes=%d-%s", how.Offset, end))
	}
	if how.Unless != "" {
		opts.Set("If-None-Match", `"`+how.Unless+`"`)
	}
	body, info, header, err := e.core.GetObject(ctx, bucketName, key, opts)
	if err != nil {
		return nil, e.explain(err)
	}
	size, err := whole(header, how.Offset)
	if err != nil {
		body.Close()
		return nil, fmt.Errorf("s3: %s/%s: %w", bucketName, key, err)
	}
	return &bucket.Object{Body: body, Size: size, ETag: info.ETag}, nil
}

// whole gives the size of an object by the header of a reply, which must begin
// at that octet.
func whole(header http.Header, offset int64) (int64, error) {
	of := header.Get("Content-Range")
	if of == "" {
		if offset > 0 {
			return 0, errors.New("the store gives no ranges")
		}
		return strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	}
	span, total, ok := strings.Cut(strings.TrimPrefix(of, "bytes "), "/")
	first, _, _ := strings.Cut(span, "-")
	if n, err := strconv.ParseInt(first, 10, 64); !ok || err != nil || n != offset {
		return 0, fmt.Errorf("the store gives range %q for one from %d on", of, offset)
	}
	return strconv.ParseInt(total, 10, 64)
}

// List implements bucket.Engine.
func (e *Engine) List(ctx context.Context, bucketName, prefix, after string, most int) (*bucket.Page, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &bucket.Page{}
	ctx = context.WithValue(ctx, dateKey{}, &p.Date)
	owner := false
	for o := range e.core.ListObjectsIter(ctx, bucketName, minio.ListObjectsOptions{
		Prefix: prefix, StartAfter: after, Recursive: true, MaxKeys: most, FetchOwner: &owner,
	}) {
		if o.Err != nil {
			return nil, e.explain(o.Err)
		}
		p.Entries = append(p.Entries, bucket.Entry{Key: o.Key, Size: o.Size, ETag: o.ETag, Modified: o.LastModified})
		if len(p.Entries) == most {
			p.More = true
			break
		}
	}
	// The iterator ends without a word where ctx does.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if p.Date.IsZero() {
		return nil, errors.New("s3: the reply of the store has no Date: the age of locks cannot be told")
	}
	return p, nil
}

// Delete implements bucket.Engine. Of many only what the reply names as deleted
// counts. One, such as the lock of each session, has a request of its own: that
// is free also where a batch costs what a PUT does.
func (e *Engine) Delete(ctx context.Context, bucketName string, keys []string) (left []string, err error) {
	if len(keys) == 1 {
		err := e.explain(e.core.RemoveObject(ctx, bucketName, keys[0], minio.RemoveObjectOptions{}))
		if err == nil || errors.Is(err, bucket.ErrNotFound) {
			return nil, nil
		}
		return keys, err
	}
	objects := func(yield func(minio.ObjectInfo) bool) {
		for _, key := range keys {
			if !yield(minio.ObjectInfo{Key: key}) {
				return
			}
		}
	}
	results, err := e.core.RemoveObjectsWithIter(ctx, bucketName, objects, minio.RemoveObjectsOptions{})
	if err != nil {
		return keys, e.explain(err)
	}
	gone := make(map[string]bool, len(keys))
	for r := range results {
		switch {
		case r.Err == nil:
			gone[r.ObjectName] = true
		case minio.ToErrorResponse(r.Err).Code == minio.NoSuchKey:
			gone[r.ObjectName] = true
		default:
			err = r.Err
		}
	}
	left = slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return gone[key] })
	switch {
	case len(left) == 0:
		return nil, nil
	case err != nil:
		return left, e.explain(err)
	case ctx.Err() != nil:
		return left, ctx.Err()
	}
	return left, fmt.Errorf("s3: the reply of the store does not say that %d of %d keys were deleted", len(left), len(keys))
}

// Make makes a bucket, and tells whether it did not exist before.
func (e *Engine) Make(ctx context.Context, bucketName string) (made bool, err error) {
	exists, err := e.core.BucketExists(ctx, bucketName)
	if err != nil || exists {
		return false, e.explain(err)
	}
	err = e.core.MakeBucket(ctx, bucketName, minio.MakeBucketOptions{Region: e.region})
	return err == nil, e.explain(err)
}

// closedText is what the library says in the place of io.EOF, which it drops.
const closedText = "Connection closed by foreign host"

// Down tells whether an error of an Engine says that the store did not answer,
// or that it cannot now: what may be otherwise in a minute, with the same
// options.
func Down(err error) bool {
	var r minio.ErrorResponse
	if errors.As(err, &r) {
		return r.StatusCode >= http.StatusInternalServerError || r.StatusCode == http.StatusTooManyRequests
	}
	var network net.Error
	return errors.As(err, new(*net.OpError)) || errors.As(err, &network) && network.Timeout() ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// explain makes an error of the Engine of one of the library.
func (e *Engine) explain(err error) error {
	if err == nil {
		return nil
	}
	r := minio.ToErrorResponse(err)
	switch {
	case r.Code == minio.NoSuchKey:
		return fmt.Errorf("s3: %w", bucket.ErrNotFound)
	case r.Code == minio.NoSuchBucket:
		return fmt.Errorf("s3: %w", bucket.ErrNoBucket)
	case r.StatusCode == http.StatusNotModified:
		return fmt.Errorf("s3: %w", bucket.ErrNotModified)
	case r.Code == "ExpiredToken":
		e.creds.Expire() // the next request fetches others, where there are others to be had
		return fmt.Errorf("s3: %w", err)
	case r.StatusCode == http.StatusForbidden || r.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("s3: %s: %.*s: %w", r.Code, maxErrorText, r.Message, bucket.ErrDenied)
	}
	var request *url.Error
	if errors.As(err, &request) {
		// Of a URL only the host says where it failed; who asks knows the rest.
		err = request.Err
		if strings.Contains(err.Error(), closedText) { // and the URL once more
			err = fmt.Errorf("the connection was closed: %w", io.ErrUnexpectedEOF)
		}
		if u, failed := url.Parse(request.URL); failed == nil {
			return fmt.Errorf("s3: %s: %w", u.Host, err)
		}
	}
	return fmt.Errorf("s3: %w", err)
}

// dateKey is where a context carries a *time.Time for the Date of the reply.
type dateKey struct{}

// dated notes the Date of replies: the library does not give it.
type dated struct{ http.RoundTripper }

func (d dated) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := d.RoundTripper.RoundTrip(req)
	if at, ok := req.Context().Value(dateKey{}).(*time.Time); ok && err == nil {
		*at, _ = http.ParseTime(resp.Header.Get("Date")) // the zero time where there is none
	}
	return resp, err
}
