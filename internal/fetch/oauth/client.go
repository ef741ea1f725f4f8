package oauth

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
)

const (
	requestTime = 30 * time.Second // one request, with its answer
	dialTime    = 10 * time.Second
	maxAnswer   = 256 << 10 // octets; the longest tokens known are 12 kB
	patience    = 5 * time.Second
)

// newTransport makes what requests go through. Connections are not kept: an
// account asks once an hour.
func newTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTime}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12}, // RFC 9325 section 3.1.1
		TLSHandshakeTimeout:    dialTime,
		ResponseHeaderTimeout:  requestTime,
		MaxResponseHeaderBytes: maxAnswer,
		DisableKeepAlives:      true,
	}
}

// client makes what requests are sent by until ctx ends. It follows no
// redirect, which would take codes and tokens elsewhere.
func (s *Source) client(ctx context.Context) *http.Client {
	return &http.Client{
		Transport:     &bounded{base: s.base, ctx: ctx},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// with gives the context that tells the library which client to use.
func (s *Source) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, s.client(ctx))
}

// bounded is a transport that limits the time and the size of an answer, and
// ends with ctx, which the library does not pass on everywhere. It reads the
// answer whole, since the library does not close it everywhere.
type bounded struct {
	base http.RoundTripper
	ctx  context.Context
}

func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := checkURL(req.URL.String()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(req.Context(), requestTime)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	req = req.Clone(ctx)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "poplin")
	resp, err := b.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	resp.Body.Close()
	if err == nil && len(body) > maxAnswer {
		err = errors.New("the answer is too long")
	}
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// checkURL refuses clear text: a code or a token would pass in it. On this
// machine alone it is good, which tests need.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err == nil && u.Host != "" && u.User == nil {
		if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()) {
			return nil
		}
	}
	return errors.New("the provider's endpoints must be URLs that begin with https://")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// withPatience gives a context that outlives ctx by a few seconds.
func withPatience(ctx context.Context) (context.Context, func()) {
	patient, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-patient.Done():
		}
	})
	return patient, func() { stop(); cancel() }
}
