package s3

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
	"github.com/poplin-mail/poplin/maildrop/maildroptest"
)

// server is a store behind HTTP.
type server struct {
	*buckettest.Server
	http *httptest.Server
}

func newServer(t testing.TB, start func(http.Handler) *httptest.Server) *server {
	s := &server{Server: buckettest.NewServer("mail")}
	s.http = start(s.Server)
	t.Cleanup(s.http.Close)
	return s
}

// engine makes an Engine for a server.
func engine(t testing.TB, s *server, opts Options) *Engine {
	t.Helper()
	opts.Endpoint, opts.PathStyle = s.http.URL, true
	if opts.File == "" {
		opts.AccessKey, opts.SecretKey = "access", "secret"
	}
	e, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestContract: the contract's suite, over HTTP.
func TestContract(t *testing.T) {
	maildroptest.Run(t, func(t testing.TB) maildroptest.Harness {
		s := newServer(t, httptest.NewServer)
		store, err := bucket.New(bucket.Options{Engine: engine(t, s, Options{}), Bucket: "mail"})
		if err != nil {
			t.Fatal(err)
		}
		return maildroptest.Harness{Store: store, Deliverer: store, Views: true, Create: func(string) error { return nil }}
	})
}

func put(t *testing.T, e *Engine, key, content string) {
	t.Helper()
	if err := e.Put(t.Context(), "mail", key, strings.NewReader(content), int64(len(content))); err != nil {
		t.Fatal(err)
	}
}

func TestObjects(t *testing.T) {
	e := engine(t, newServer(t, httptest.NewServer), Options{})
	put(t, e, "a/1", "0123456789")
	put(t, e, "a/empty", "")
	for how, want := range map[bucket.How]string{
		{}: "0123456789", {Offset: 3}: "3456789", {Length: 4}: "0123", {Offset: 8, Length: 2}: "89", {Offset: 9, Length: 100}: "9", {Unless: "another"}: "0123456789",
	} {
		o, err := e.Get(t.Context(), "mail", "a/1", how)
		if err != nil {
			t.Errorf("Get %+v: %v", how, err)
			continue
		}
		got, err := io.ReadAll(o.Body)
		o.Body.Close()
		if string(got) != want || err != nil || o.Size != 10 {
			t.Errorf("Get %+v is %q of %d octets, error %v; want %q of 10", how, got, o.Size, err, want)
		}
		how.Unless = o.ETag
		if _, err := e.Get(t.Context(), "mail", "a/1", how); !errors.Is(err, bucket.ErrNotModified) {
			t.Errorf("Get of what the caller has: %v", err)
		}
	}
	if o, err := e.Get(t.Context(), "mail", "a/empty", bucket.How{}); err != nil || o.Size != 0 {
		t.Errorf("Get of an empty object: %+v, %v", o, err)
	}
	if _, err := e.Get(t.Context(), "mail", "a/none", bucket.How{}); !errors.Is(err, bucket.ErrNotFound) {
		t.Errorf("Get of what is not there: %v", err)
	}
	if _, err := e.Get(t.Context(), "mail", "a/none", bucket.How{}); errors.Is(err, bucket.ErrNoBucket) {
		t.Errorf("a missing object is taken for a missing bucket: %v", err)
	}
	if _, err := e.Get(t.Context(), "elsewhere", "a/1", bucket.How{}); err == nil || errors.Is(err, bucket.ErrNotFound) || !errors.Is(err, bucket.ErrNoBucket) {
		t.Errorf("Get from a bucket that is not there: %v; the message must not seem to be gone", err)
	}
}

func TestListing(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	e := engine(t, s, Options{})
	var want []string
	for i := range 25 {
		key := fmt.Sprintf("a/%02d+ä &", i)
		put(t, e, key, "x")
		want = append(want, key)
	}
	put(t, e, "b", "other")
	for _, most := range []int{1, 7, 25, 1000} {
		var got []string
		for after := ""; ; {
			p, err := e.List(t.Context(), "mail", "a/", after, most)
			if err != nil {
				t.Fatal(err)
			}
			if p.Date.IsZero() || len(p.Entries) > most {
				t.Errorf("a page has %d entries and Date %v", len(p.Entries), p.Date)
			}
			for _, entry := range p.Entries {
				got = append(got, entry.Key)
				after = entry.Key
				if o, err := e.Get(t.Context(), "mail", entry.Key, bucket.How{}); err != nil || o.ETag != entry.ETag || entry.Size != 1 || entry.Modified.IsZero() {
					t.Errorf("listed is %+v, and it is %+v, error %v", entry, o, err)
				}
			}
			if !p.More {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d at once: %q, want %q", most, got, want)
		}
	}
	left, err := e.Delete(t.Context(), "mail", append(want, "a/none"))
	if len(left) != 0 || err != nil {
		t.Errorf("Delete: %q are left, error %v", left, err)
	}
	if p, err := e.List(t.Context(), "mail", "", "", 10); err != nil || len(p.Entries) != 1 {
		t.Errorf("after Delete: %+v, %v", p, err)
	}
	for _, key := range []string{"b", "b", "none"} {
		if left, err := e.Delete(t.Context(), "mail", []string{key}); len(left) != 0 || err != nil {
			t.Errorf("Delete of %s alone: %q are left, error %v", key, left, err)
		}
	}
	if p, err := e.List(t.Context(), "mail", "", "", 10); err != nil || len(p.Entries) != 0 {
		t.Errorf("after Delete: %+v, %v", p, err)
	}
	for _, code := range []string{"NoSuchBucket", "InternalError", "NoSuchKey"} {
		s.Answer(func(w http.ResponseWriter, r *http.Request) bool { buckettest.Failure(w, 404, code); return true })
		if left, err := e.Delete(t.Context(), "mail", []string{"b"}); (err == nil) != (code == "NoSuchKey") || (len(left) == 0) != (err == nil) {
			t.Errorf("Delete, %s: %q are left, error %v", code, left, err)
		}
	}
}

// TestDenied, and what else is wrong with credentials.
func TestDenied(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	e := engine(t, s, Options{})
	for code, denied := range map[string]bool{"AccessDenied": true, "SignatureDoesNotMatch": true, "ExpiredToken": false, "SlowDown": false} {
		status := http.StatusForbidden
		if !denied {
			status = http.StatusBadRequest
		}
		s.Answer(func(w http.ResponseWriter, r *http.Request) bool { buckettest.Failure(w, status, code); return true })
		_, getErr := e.Get(t.Context(), "mail", "a", bucket.How{})
		_, listErr := e.List(t.Context(), "mail", "a", "", 10)
		left, deleteErr := e.Delete(t.Context(), "mail", []string{"a"})
		putErr := e.Put(t.Context(), "mail", "a", strings.NewReader("x"), 1)
		for _, err := range []error{getErr, listErr, deleteErr, putErr} {
			if err == nil || errors.Is(err, bucket.ErrDenied) != denied {
				t.Errorf("%s: %v, ErrDenied is %v", code, err, !denied)
			}
			if !strings.Contains(err.Error(), "it says why") && !strings.Contains(err.Error(), code) {
				t.Errorf("%s: %v does not say so", code, err)
			}
		}
		if len(left) != 1 {
			t.Errorf("%s: left are %q", code, left)
		}
	}
}

// TestDown: what may be otherwise in a minute, and what somebody must mend.
func TestDown(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	gone := httptest.NewServer(nil)
	gone.Close()
	secure := httptest.NewUnstartedServer(s)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	ended, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	at := func(url string) *Engine {
		e, err := New(Options{Endpoint: url, AccessKey: "a", SecretKey: "s", PathStyle: true})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	answer := func(status int, code string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { buckettest.Failure(w, status, code); return true }
	}
	for what, c := range map[string]struct {
		ctx    context.Context
		url    string
		answer func(http.ResponseWriter, *http.Request) bool
		down   bool
	}{
		"refused":          {t.Context(), gone.URL, nil, true},
		"time-out":         {ended, s.http.URL, nil, true},
		"cut":              {t.Context(), s.http.URL, func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, true},
		"503":              {t.Context(), s.http.URL, answer(503, "SlowDown"), true},
		"429":              {t.Context(), s.http.URL, answer(429, "TooManyRequests"), true},
		"no bucket":        {t.Context(), s.http.URL, answer(404, "NoSuchBucket"), false},
		"denied":           {t.Context(), s.http.URL, answer(403, "AccessDenied"), false},
		"another region":   {t.Context(), s.http.URL, answer(400, "AuthorizationHeaderMalformed"), false},
		"no certificate":   {t.Context(), secure.URL, nil, false},
		"no TLS":           {t.Context(), strings.Replace(s.http.URL, "http:", "https:", 1), nil, false},
		"nothing is wrong": {t.Context(), s.http.URL, nil, false},
	} {
		s.Answer(c.answer)
		_, err := at(c.url).List(c.ctx, "mail", "a", "", 1)
		if (err == nil) != (what == "nothing is wrong") || Down(err) != c.down {
			t.Errorf("%s: %v, down is %v", what, err, Down(err))
		}
		if host := strings.TrimPrefix(c.url, "http://"); what == "refused" && !strings.HasPrefix(err.Error(), "s3: "+host+": dial ") {
			t.Errorf("%s: %v does not begin with the host alone", what, err)
		}
	}
}

// TestOneRequest: the library does not try again by itself, for the Store
// writes something else then.
func TestOneRequest(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	e := engine(t, s, Options{})
	s.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		buckettest.Failure(w, http.StatusServiceUnavailable, "SlowDown")
		return true
	})
	e.Put(t.Context(), "mail", "a", strings.NewReader("x"), 1)
	e.Get(t.Context(), "mail", "a", bucket.How{})
	e.List(t.Context(), "mail", "a", "", 10)
	e.Delete(t.Context(), "mail", []string{"a"})
	if s.Requests() != 4 {
		t.Errorf("%d requests, want 4", s.Requests())
	}
}

// TestBadReplies: replies that break off or say less than they should.
func TestBadReplies(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	e := engine(t, s, Options{})
	put(t, e, "a", "0123456789")
	reply := func(header, text string) {
		s.Answer(func(w http.ResponseWriter, r *http.Request) bool {
			name, value, _ := strings.Cut(header, ": ")
			w.Header().Set("ETag", `"x"`)
			w.Header().Set("Last-Modified", "Sat, 28 Nov 2026 09:00:00 GMT")
			w.Header()[name] = []string{value}
			if value == "" {
				w.Header()[name] = nil
			}
			io.WriteString(w, text)
			return true
		})
	}
	for _, text := range []string{"", "<DeleteResult>", "<DeleteResult><Deleted><Key>a</Key></Deleted>", "<DeleteResult></DeleteResult>",
		"<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>InternalError</Code></Error></DeleteResult>"} {
		reply("X-A: b", text)
		left, err := e.Delete(t.Context(), "mail", []string{"a", "b"})
		if err == nil || !slices.Contains(left, "b") {
			t.Errorf("Delete with reply %q: left are %q, error %v", text, left, err)
		}
	}
	for _, text := range []string{"", "<ListBucketResult>", "<ListBucketResult><Contents><Key>a</Key></Contents>", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"} {
		reply("X-A: b", text)
		if p, err := e.List(t.Context(), "mail", "", "", 10); err == nil {
			t.Errorf("List with reply %q: %+v", text, p)
		}
	}
	reply("Date: ", "<ListBucketResult></ListBucketResult>")
	if _, err := e.List(t.Context(), "mail", "", "", 10); err == nil {
		t.Error("List with a reply without Date succeeds")
	}
	reply("Content-Length: 20", "0123456789")
	if o, err := e.Get(t.Context(), "mail", "a", bucket.How{}); err == nil {
		if got, err := io.ReadAll(o.Body); err == nil {
			t.Errorf("a body that is cut reads as %q", got)
		}
	}
	for _, header := range []string{"X-A: b", "Content-Range: bytes 0-4/10", "Content-Range: items", "Content-Range: bytes 5-9/*"} {
		reply(header, "01234")
		if o, err := e.Get(t.Context(), "mail", "a", bucket.How{Offset: 5}); err == nil {
			t.Errorf("Get from 5 on with %q: %+v", header, o)
		}
	}
}

func TestCancelled(t *testing.T) {
	e := engine(t, newServer(t, httptest.NewServer), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := e.Get(ctx, "mail", "a", bucket.How{})
	_, listErr := e.List(ctx, "mail", "a", "", 10)
	_, deleteErr := e.Delete(ctx, "mail", []string{"a"})
	for _, err := range []error{e.Put(ctx, "mail", "a", strings.NewReader(""), 0), getErr, listErr, deleteErr} {
		if err == nil {
			t.Error("a call with a context that has ended succeeds")
		}
	}
}

// TestTLS: a certificate of an authority that is not known is refused.
func TestTLS(t *testing.T) {
	s := newServer(t, func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		return s
	})
	if err := engine(t, s, Options{}).Put(t.Context(), "mail", "a", strings.NewReader("x"), 1); err == nil {
		t.Error("an unknown certificate is taken")
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
	e := engine(t, s, Options{CA: ca})
	put(t, e, "a", "x")
	if _, err := New(Options{Endpoint: s.http.URL, CA: []byte("none")}); err == nil {
		t.Error("authorities without a certificate are taken")
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"https://s3.example.org": true, "https://s3.example.org:9000": true, "https://s3.example.org/": true, "http://127.0.0.1:7070": true, "http://localhost": true, "http://[::1]:7070": true,
		"": false, "s3.example.org": false, "http://s3.example.org": false, "https://s3.example.org/mail": false, "ftp://s3.example.org": false, "https://a:b@s3.example.org": false,
	} {
		if _, err := New(Options{Endpoint: endpoint, AccessKey: "a"}); (err == nil) != ok {
			t.Errorf("endpoint %q: %v", endpoint, err)
		}
	}
	if _, err := New(Options{Endpoint: "http://s3.example.org"}); err == nil || !strings.Contains(err.Error(), "insecure_http") {
		t.Errorf("without TLS: %v", err)
	}
	if _, err := New(Options{Endpoint: "http://s3.example.org", InsecureHTTP: true}); err != nil {
		t.Error(err)
	}
}

// TestCredentials: from a file, and from the environment.
func TestCredentials(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	var asked string
	s.Answer(func(_ http.ResponseWriter, r *http.Request) bool { asked = r.Header.Get("Authorization"); return false })
	file := filepath.Join(t.TempDir(), "credentials")
	text := "[default]\naws_access_key_id = one\naws_secret_access_key = s\n[mail]\naws_access_key_id = two\naws_secret_access_key = s\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "three")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	for want, opts := range map[string]Options{"one": {File: file}, "two": {File: file, Profile: "mail"}, "three": {}} {
		opts.Endpoint, opts.PathStyle = s.http.URL, true
		e, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		put(t, e, "a", "x")
		if !strings.Contains(asked, "Credential="+want+"/") {
			t.Errorf("asked with %q, want %s", asked, want)
		}
		if strings.Contains(asked, "=s,") {
			t.Error("the secret is in the request")
		}
	}
}

func TestMake(t *testing.T) {
	e := engine(t, newServer(t, httptest.NewServer), Options{})
	for name, want := range map[string]bool{"mail": false, "mail-2": true} {
		if made, err := e.Make(t.Context(), name); err != nil || made != want {
			t.Errorf("Make(%q): %v, %v, want %v", name, made, err, want)
		}
	}
}
