package s3

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// server speaks as much of S3 as maildrops need, over a store in memory. It
// checks no signatures.
type server struct {
	*httptest.Server
	objects *buckettest.Gateway

	mu       sync.Mutex
	buckets  map[string]bool
	answer   func(w http.ResponseWriter, r *http.Request) bool // in place of the server's; false: it answers
	requests int
}

func newServer(t testing.TB, start func(http.Handler) *httptest.Server) *server {
	s := &server{objects: &buckettest.Gateway{Store: &buckettest.Store{}}, buckets: map[string]bool{"mail": true}}
	s.Server = start(s)
	t.Cleanup(s.Close)
	return s
}

// answering has requests answered by f.
func (s *server) answering(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	answer := s.answer
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	known := s.buckets[name]
	if key == "" && r.Method == http.MethodPut {
		s.buckets[name], known = true, true
	}
	s.mu.Unlock()
	q := r.URL.Query()
	switch {
	case answer != nil && answer(w, r):
	case !known:
		failure(w, http.StatusNotFound, "NoSuchBucket")
	case key == "" && r.Method == http.MethodPost && q.Has("delete"):
		s.delete(w, r, name)
	case key == "" && r.Method == http.MethodGet && q.Get("list-type") == "2":
		s.list(w, r, name)
	case key == "":
	case r.Method == http.MethodPut:
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = s.objects.Put(r.Context(), name, key, bytes.NewReader(body), r.ContentLength)
		}
		if err != nil {
			failure(w, http.StatusInternalServerError, "InternalError")
		}
	case r.Method == http.MethodGet:
		s.get(w, r, name, key)
	default:
		failure(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
}

// failure writes an error as S3 does.
func failure(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>it says why</Message></Error>", code)
}

func (s *server) get(w http.ResponseWriter, r *http.Request, name, key string) {
	how := bucket.How{Unless: strings.Trim(r.Header.Get("If-None-Match"), `"`)}
	span, ranged := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	if ranged {
		first, last, _ := strings.Cut(span, "-")
		how.Offset, _ = strconv.ParseInt(first, 10, 64)
		if last != "" {
			end, _ := strconv.ParseInt(last, 10, 64)
			how.Length = end - how.Offset + 1
		}
	}
	o, err := s.objects.Get(r.Context(), name, key, how)
	switch {
	case errors.Is(err, bucket.ErrNotFound):
		failure(w, http.StatusNotFound, "NoSuchKey")
		return
	case errors.Is(err, bucket.ErrNotModified):
		w.WriteHeader(http.StatusNotModified)
		return
	case err != nil:
		failure(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		return
	}
	defer o.Body.Close()
	content, _ := io.ReadAll(o.Body)
	w.Header().Set("ETag", `"`+o.ETag+`"`)
	w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	if ranged {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", how.Offset, how.Offset+int64(len(content))-1, o.Size))
		w.WriteHeader(http.StatusPartialContent)
	}
	w.Write(content)
}

func (s *server) list(w http.ResponseWriter, r *http.Request, name string) {
	q := r.URL.Query()
	most, _ := strconv.Atoi(q.Get("max-keys"))
	after := q.Get("continuation-token")
	if after == "" {
		after = q.Get("start-after")
	}
	p, err := s.objects.List(r.Context(), name, q.Get("prefix"), after, most)
	if err != nil {
		failure(w, http.StatusInternalServerError, "InternalError")
		return
	}
	type object struct {
		Key, ETag    string
		LastModified time.Time
		Size         int64
	}
	result := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []object
	}{IsTruncated: p.More}
	for _, e := range p.Entries {
		result.Contents = append(result.Contents, object{e.Key, `"` + e.ETag + `"`, e.Modified, e.Size})
		if p.More {
			result.NextContinuationToken = e.Key
		}
	}
	xml.NewEncoder(w).Encode(result)
}

func (s *server) delete(w http.ResponseWriter, r *http.Request, name string) {
	var asked struct {
		Object []struct{ Key string }
	}
	if err := xml.NewDecoder(r.Body).Decode(&asked); err != nil {
		failure(w, http.StatusBadRequest, "MalformedXML")
		return
	}
	var keys []string
	for _, o := range asked.Object {
		keys = append(keys, o.Key)
	}
	if _, err := s.objects.Delete(r.Context(), name, keys); err != nil {
		failure(w, http.StatusInternalServerError, "InternalError")
		return
	}
	fmt.Fprint(w, "<DeleteResult>")
	for _, key := range keys {
		fmt.Fprint(w, "<Deleted><Key>")
		xml.EscapeText(w, []byte(key))
		fmt.Fprint(w, "</Key></Deleted>")
	}
	fmt.Fprint(w, "</DeleteResult>")
}
