package s3

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// bill is an Observer that writes down what it hears.
type bill struct {
	mu             sync.Mutex
	requests       []string
	sent, received int
}

// Requested implements Observer.
func (b *bill) Requested(class string, status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests = append(b.requests, class+" "+strconv.Itoa(status))
}

// Carried implements Observer.
func (b *bill) Carried(sent, received int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent += sent
	b.received += received
}

// want compares what was heard, and forgets it.
func (b *bill) want(t *testing.T, what string, sent, received int, requests ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.requests, requests) {
		t.Errorf("%s: requests are %q, want %q", what, b.requests, requests)
	}
	if b.sent != sent || b.received != received {
		t.Errorf("%s: %d octets were sent and %d received, want %d and %d", what, b.sent, b.received, sent, received)
	}
	b.requests, b.sent, b.received = nil, 0, 0
}

// The bodies of two failures.
const (
	malformed = "<Error><Code>MalformedXML</Code><Message>it says why</Message></Error>"
	slowDown  = "<Error><Code>SlowDown</Code><Message>it says why</Message></Error>"
)

// TestObserver: requests are told by class, status and octets, as they go over
// the wire.
func TestObserver(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	b := &bill{}
	e := engine(t, s, Options{Observer: b})
	ctx := t.Context()
	text := strings.Repeat("0123456789", 10_000)
	put(t, e, "a", text)
	b.want(t, "Put", len(text), 0, "write 200")
	put(t, e, "empty", "")
	b.want(t, "Put of nothing", 0, 0, "write 200")

	o, err := e.Get(ctx, "mail", "a", bucket.How{Offset: 10, Length: 1000})
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, o.Body)
	o.Body.Close()
	b.want(t, "Get", 0, 1000, "read 206")
	if _, err := e.Get(ctx, "mail", "a", bucket.How{Unless: o.ETag}); err == nil {
		t.Error("Get of what the caller has succeeds")
	}
	b.want(t, "Get of what has not changed", 0, 0, "read 304")

	if left, err := e.Delete(ctx, "mail", []string{"empty"}); err != nil || len(left) != 0 {
		t.Errorf("Delete of one: %q are left, %v", left, err)
	}
	b.want(t, "Delete of one", 0, 0, "delete 204")
	if keys := s.Objects.Store.Keys("mail", ""); !slices.Equal(keys, []string{"a"}) {
		t.Errorf("there are %q", keys)
	}

	var body int // of the next reply
	s.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Query().Get("list-type") {
		case "2":
			n, _ := io.WriteString(w, "<ListBucketResult></ListBucketResult>")
			body = n
		default:
			sent, _ := io.ReadAll(r.Body)
			body = len(sent)
			return r.Method != http.MethodPost
		}
		return true
	})
	if _, err := e.List(ctx, "mail", "", "", 10); err != nil {
		t.Error(err)
	}
	b.want(t, "List", 0, body, "write 200")
	if _, err := e.Delete(ctx, "mail", []string{"a", "empty"}); err == nil {
		t.Error("a Delete whose body was read by another succeeds")
	}
	if body == 0 {
		t.Error("Delete has no body")
	}
	b.want(t, "Delete", body, len(malformed), "delete 400")

	s.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		buckettest.Failure(w, http.StatusServiceUnavailable, "SlowDown")
		return true
	})
	e.List(ctx, "mail", "", "", 10)
	b.want(t, "List of a store that is busy", 0, len(slowDown), "write 503")
	s.http.CloseClientConnections()
	s.http.Close()
	e.Get(ctx, "mail", "a", bucket.How{})
	b.want(t, "Get from a store that is down", 0, 0, "read 0")
}

func TestClass(t *testing.T) {
	for request, want := range map[string]string{
		"PUT /mail/a": ClassWrite, "POST /mail/a?uploads": ClassWrite, "GET /mail/?list-type=2&prefix=a": ClassWrite,
		"GET /mail/a": ClassRead, "HEAD /mail/": ClassRead, "GET /mail/?location=": ClassRead, "GET /mail/list-type=2": ClassRead,
		"DELETE /mail/a": ClassDelete, "POST /mail/?delete=": ClassDelete, "POST /mail/?delete": ClassDelete,
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := class(httptest.NewRequest(method, path, nil)); got != want {
			t.Errorf("%s is of class %s, want %s", request, got, want)
		}
	}
}
