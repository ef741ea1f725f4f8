package buckettest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/maildrop/bucket"
)

// Server speaks as much of S3 as maildrops need, for tests of what asks over
// HTTP, with the names of buckets in the path. It checks no signatures. Make it
// with NewServer.
type Server struct {
	Objects *Gateway

	mu       sync.Mutex
	buckets  map[string]bool
	answer   func(w http.ResponseWriter, r *http.Request) bool
	requests int
}

// NewServer makes a Server with empty buckets.
func NewServer(buckets ...string) *Server {
	s := &Server{Objects: &Gateway{Store: &Store{}}, buckets: make(map[string]bool)}
	for _, name := range buckets {
		s.buckets[name] = true
	}
	return s
}

// Answer has f answer requests; where it gives false the Server answers.
func (s *Server) Answer(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// Requests gives the number of requests so far.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
		Failure(w, http.StatusNotFound, "NoSuchBucket")
	case key == "" && r.Method == http.MethodPost && q.Has("delete"):
		s.delete(w, r, name)
	case key == "" && r.Method == http.MethodGet && q.Get("list-type") == "2":
		s.list(w, r, name)
	case key == "":
	case r.Method == http.MethodPut:
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = s.Objects.Put(r.Context(), name, key, bytes.NewReader(body), r.ContentLength)
		}
		if err != nil {
			Failure(w, http.StatusInternalServerError, "InternalError")
		}
	case r.Method == http.MethodGet:
		s.get(w, r, name, key)
	case r.Method == http.MethodDelete:
		if _, err := s.Objects.Delete(r.Context(), name, []string{key}); err != nil {
			Failure(w, http.StatusInternalServerError, "InternalError")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		Failure(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
}

// Failure writes an error as S3 does.
func Failure(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>it says why</Message></Error>", code)
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, name, key string) {
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
	o, err := s.Objects.Get(r.Context(), name, key, how)
	switch {
	case errors.Is(err, bucket.ErrNotFound):
		Failure(w, http.StatusNotFound, "NoSuchKey")
		return
	case errors.Is(err, bucket.ErrNotModified):
		w.WriteHeader(http.StatusNotModified)
		return
	case err != nil:
		Failure(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
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

func (s *Server) list(w http.ResponseWriter, r *http.Request, name string) {
	q := r.URL.Query()
	most, _ := strconv.Atoi(q.Get("max-keys"))
	after := q.Get("continuation-token")
	if after == "" {
		after = q.Get("start-after")
	}
	p, err := s.Objects.List(r.Context(), name, q.Get("prefix"), after, most)
	if err != nil {
		Failure(w, http.StatusInternalServerError, "InternalError")
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

func (s *Server) delete(w http.ResponseWriter, r *http.Request, name string) {
	var asked struct {
		Object []struct{ Key string }
	}
	if err := xml.NewDecoder(r.Body).Decode(&asked); err != nil {
		Failure(w, http.StatusBadRequest, "MalformedXML")
		return
	}
	var keys []string
	for _, o := range asked.Object {
		keys = append(keys, o.Key)
	}
	if _, err := s.Objects.Delete(r.Context(), name, keys); err != nil {
		Failure(w, http.StatusInternalServerError, "InternalError")
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
