package oauthusers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// fetchFault tells a failure to fetch keys from a token that is not good: the
// library gives the same error for both.
type fetchFault struct{ err error }

type faultKey struct{}

// watchedKeys notes failures to fetch keys in the fetchFault of the context.
type watchedKeys struct{ oidc.KeySet }

// VerifySignature implements oidc.KeySet.
func (k watchedKeys) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	if err != nil && (strings.HasPrefix(err.Error(), "fetching keys ") || ctx.Err() != nil) {
		if fault, ok := ctx.Value(faultKey{}).(*fetchFault); ok {
			fault.err = err
		}
	}
	return payload, err
}

// spareTime is how long keys are not fetched again: a token may name any key,
// and must not make this server hammer the issuer.
const spareTime = 10 * time.Second

// sparing answers GET from what it got a moment ago, and bounds all answers.
type sparing struct {
	next http.RoundTripper

	mu   sync.Mutex
	last map[string]reply
}

type reply struct {
	at     time.Time
	status int
	header http.Header
	body   []byte
}

// RoundTrip implements http.RoundTripper.
func (s *sparing) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		s.mu.Lock()
		got, ok := s.last[r.URL.String()]
		s.mu.Unlock()
		if ok && time.Since(got.at) < spareTime {
			return got.response(r), nil
		}
	}
	response, err := s.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	got := reply{at: time.Now(), status: response.StatusCode, header: response.Header}
	if got.body, err = io.ReadAll(io.LimitReader(response.Body, maxReply+1)); err != nil {
		return nil, err
	}
	if len(got.body) > maxReply {
		return nil, fmt.Errorf("the answer is longer than %d octets", maxReply)
	}
	if r.Method == http.MethodGet { // of at most two addresses
		s.mu.Lock()
		if s.last == nil {
			s.last = map[string]reply{}
		}
		s.last[r.URL.String()] = got
		s.mu.Unlock()
	}
	return got.response(r), nil
}

func (g reply) response(r *http.Request) *http.Response {
	return &http.Response{
		Status: http.StatusText(g.status), StatusCode: g.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: g.header, Body: io.NopCloser(bytes.NewReader(g.body)), ContentLength: int64(len(g.body)), Request: r,
	}
}
