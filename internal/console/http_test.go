package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

func healthy(context.Context) error { return nil }

// serveHTTP serves until the end of the test and gives the address.
func serveHTTP(t *testing.T, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

func request(t *testing.T, method, url string) (code int, body string, header http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text), response.Header
}

func TestServerPaths(t *testing.T) {
	base := "http://" + serveHTTP(t, NewServer(NewMetrics(), healthy, discard))
	for _, c := range []struct {
		method, path string
		code         int
		words        string
	}{
		{"GET", "/metrics", 200, "poplin_sessions 0"},
		{"HEAD", "/metrics", 200, ""},
		{"GET", "/healthz", 200, "ok\n"},
		{"HEAD", "/healthz", 200, ""},
		{"GET", "/livez", 200, "ok\n"},
		{"POST", "/livez", 405, ""},
		{"POST", "/metrics", 405, ""},
		{"DELETE", "/healthz", 405, ""},
		{"GET", "/", 404, ""},
		{"GET", "/sessions", 404, ""},
		{"POST", "/kick", 404, ""},
		{"GET", "/metrics/x", 404, ""},
		{"GET", "/debug/pprof/", 404, ""},
	} {
		code, body, _ := request(t, c.method, base+c.path)
		if code != c.code || !strings.Contains(body, c.words) {
			t.Errorf("%s %s: %d, %.80q; want %d, %q", c.method, c.path, code, body, c.code, c.words)
		}
	}
}

func TestHealth(t *testing.T) {
	var reason atomic.Value
	reason.Store("")
	base := "http://" + serveHTTP(t, NewServer(NewMetrics(), func(context.Context) error {
		if text := reason.Load().(string); text != "" {
			return errors.New(text)
		}
		return nil
	}, discard))
	if code, body, header := request(t, "GET", base+"/healthz"); code != 200 || body != "ok\n" || header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d, %q, %v", code, body, header)
	}
	reason.Store("shutting down")
	if code, body, _ := request(t, "GET", base+"/healthz"); code != 503 || body != "shutting down\n" {
		t.Errorf("%d, %q", code, body)
	}
	if code, body, _ := request(t, "GET", base+"/livez"); code != 200 || body != "ok\n" {
		t.Errorf("/livez: %d, %q", code, body)
	}
}

// TestHealthThatHangs: each check ends in time, and few goroutines are lost to
// them.
func TestHealthThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		var running atomic.Int32
		s := NewServer(NewMetrics(), func(context.Context) error {
			running.Add(1)
			<-free
			return nil
		}, discard)
		for range 3 * maxChecks {
			begun := time.Now()
			if err := s.check(t.Context()); !errors.Is(err, errNoAnswer) || time.Since(begun) != healthTime {
				t.Errorf("%v after %v", err, time.Since(begun))
			}
		}
		if n := running.Load(); n != maxChecks {
			t.Errorf("%d checks hang, want %d", n, maxChecks)
		}
		close(free)
		synctest.Wait()
		if err := s.check(t.Context()); err != nil {
			t.Errorf("once it answers again: %v", err)
		}
	})
}

// TestHeaderLimit: a request with large headers is refused.
func TestHeaderLimit(t *testing.T) {
	addr := serveHTTP(t, NewServer(NewMetrics(), healthy, discard))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 4*maxHeaders))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, " 431 ") {
		t.Errorf("%q, %v", line, err)
	}
}

// TestSlowRequest: a request that does not come whole is given up.
func TestSlowRequest(t *testing.T) {
	s := NewServer(NewMetrics(), healthy, discard)
	if s.http.WriteTimeout <= healthTime {
		t.Errorf("WriteTimeout %v would cut the answer of a health check", s.http.WriteTimeout)
	}
	s.http.ReadTimeout = 50 * time.Millisecond
	conn, err := net.Dial("tcp", serveHTTP(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHo")
	if rest, err := io.ReadAll(conn); err != nil || strings.Contains(string(rest), "200") {
		t.Errorf("%q, %v", rest, err)
	}
}

// TestServeFails: a listener that fails is an error.
func TestServeFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := NewServer(NewMetrics(), healthy, discard).Serve(l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}
