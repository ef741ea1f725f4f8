package s3

import (
	"io"
	"net/http"
)

// Observer hears of requests as they go over the wire: what the bill of a store
// is made of. Its methods are called by many goroutines at once and must not
// wait.
type Observer interface {
	// Requested hears of a request when its reply begins, or when there is to
	// be none: then the status, of HTTP, is 0. Class is one of Classes. A
	// request that finds its connection closed by the store, and is sent over
	// another one, is heard of once.
	Requested(class string, status int)

	// Carried hears of octets of bodies, sent to the store and received from
	// it, as they pass.
	Carried(sent, received int)
}

// Classes are what stores that charge for requests tell apart.
var Classes = []string{ClassWrite, ClassRead, ClassDelete}

// Classes of requests.
const (
	ClassWrite  = "write"  // PUT, COPY, POST and LIST: the dear ones
	ClassRead   = "read"   // GET, HEAD and all other
	ClassDelete = "delete" // DELETE, and the POST that deletes many
)

// class gives the class of a request.
func class(r *http.Request) string {
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodDelete, r.Method == http.MethodPost && query.Has("delete"):
		return ClassDelete
	case r.Method == http.MethodPut, r.Method == http.MethodPost, r.Method == http.MethodGet && query.Has("list-type"):
		return ClassWrite
	}
	return ClassRead
}

// observed is a RoundTripper whose requests an Observer hears of.
type observed struct {
	http.RoundTripper
	observer Observer
}

// RoundTrip implements http.RoundTripper.
func (o observed) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		again := r.GetBody
		r = r.WithContext(r.Context()) // a copy: r is the caller's
		r.Body = counted{r.Body, o.sent}
		if again != nil {
			r.GetBody = func() (io.ReadCloser, error) {
				body, err := again()
				return counted{body, o.sent}, err
			}
		}
	}
	resp, err := o.RoundTripper.RoundTrip(r)
	if err != nil {
		o.observer.Requested(class(r), 0)
		return resp, err
	}
	o.observer.Requested(class(r), resp.StatusCode)
	resp.Body = counted{resp.Body, o.received}
	return resp, nil
}

func (o observed) sent(n int)     { o.observer.Carried(n, 0) }
func (o observed) received(n int) { o.observer.Carried(0, n) }

// counted is a body whose octets are counted.
type counted struct {
	io.ReadCloser
	count func(n int)
}

// Read implements io.Reader.
func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if n > 0 {
		c.count(n)
	}
	return n, err
}
