package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	healthTime  = 2 * time.Second // for the health check to answer
	maxChecks   = 4               // health checks at the same time: one that hangs holds a goroutine
	readTime    = 5 * time.Second // for a whole request, which is some lines
	writeTime   = 30 * time.Second
	idleTime    = 2 * time.Minute // between scrapes
	maxHeaders  = 16 << 10        // octets
	closingTime = time.Second     // for answers that are under way at the end
)

// Server answers GET and HEAD of /metrics, /healthz and /livez over HTTP, and
// nothing else. NewServer makes one.
//
// It does not look at the Host header: what a web page could read by making
// its name point here (DNS rebinding) are numbers, and nothing can be changed.
type Server struct {
	http   http.Server
	health func(context.Context) error
	checks chan struct{} // holds one for each health check under way
}

// NewServer makes a Server. health says why the server is not fit for new
// sessions, nil where it is; it must be cheap, and what it says may be read by
// anybody who reaches the console.
func NewServer(metrics *Metrics, health func(context.Context) error, logger *slog.Logger) *Server {
	s := &Server{health: health, checks: make(chan struct{}, maxChecks)}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler())
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, nil) })
	s.http = newHTTP(mux, logger)
	return s
}

func newHTTP(h http.Handler, logger *slog.Logger) http.Server {
	return http.Server{Handler: h, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeaders,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug)}
}

// Serve answers what comes in at l, which it closes, until Close. It returns
// nil then, and the error of l if that fails before.
func (s *Server) Serve(l net.Listener) error { return serve(&s.http, l) }

func serve(h *http.Server, l net.Listener) error {
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends Serve and all connections.
func (s *Server) Close() { closeHTTP(&s.http) }

func closeHTTP(h *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), closingTime)
	defer cancel()
	if h.Shutdown(ctx) != nil {
		h.Close()
	}
}

func (s *Server) healthz(w http.ResponseWriter, r *http.Request) { say(w, s.check(r.Context())) }

// say answers with what is wrong, or that nothing is.
func say(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	fmt.Fprintln(w, "ok")
}

var errNoAnswer = errors.New("the health check does not answer: the storage of the maildrops may hang")

// check asks for the health, and gives up on an answer that does not come: a
// file system on a network can hang for good.
func (s *Server) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	select {
	case s.checks <- struct{}{}:
	case <-ctx.Done():
		return errNoAnswer
	}
	answer := make(chan error, 1)
	go func() {
		defer func() { <-s.checks }()
		answer <- s.health(ctx)
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return errNoAnswer
	}
}
