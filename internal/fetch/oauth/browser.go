package oauth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
)

const (
	browserWait = 10 * time.Minute // for a person who must find a password first
	pageTime    = 10 * time.Second // for the browser's request
	closeTime   = 2 * time.Second  // for the page to be sent
)

// LoginBrowser logs in by a browser on this machine (RFC 8252), with PKCE (RFC
// 7636). It calls show, once, with the URL to open, and waits for the browser
// to come back to a port of this machine, chosen by chance, with the code.
func (s *Source) LoginBrowser(ctx context.Context, show func(url string)) error {
	if s.config.Endpoints.AuthURL == "" {
		return errors.New("no login by the browser is configured for this provider")
	}
	config, err := s.beginLogin(ctx)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("no port for the browser to come back to: %w", err)
	}
	host := s.config.Endpoints.Redirect
	if host == "" {
		host = "127.0.0.1"
	}
	// Without a path: Microsoft compares it with what is registered.
	config.RedirectURL = fmt.Sprintf("http://%s:%d", host, listener.Addr().(*net.TCPAddr).Port)
	state, verifier := rand.Text(), oauth2.GenerateVerifier()
	wait := listenForCode(listener, state)
	show(config.AuthCodeURL(state, s.browserParams(verifier)...))

	within, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	code, err := wait(within)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case within.Err() != nil:
		return fmt.Errorf("the browser did not come back within %v: begin again", s.wait)
	default:
		return err
	}
	token, err := config.Exchange(s.with(ctx), code, oauth2.VerifierOption(verifier))
	if err != nil {
		return s.explain(err, false)
	}
	return s.save(ctx, token)
}

func (s *Source) browserParams(verifier string) []oauth2.AuthCodeOption {
	opts := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}
	for name, value := range s.config.Endpoints.Params {
		opts = append(opts, oauth2.SetAuthURLParam(name, value))
	}
	if s.config.User != "" {
		opts = append(opts, oauth2.SetAuthURLParam("login_hint", s.config.User))
	}
	return opts
}

// answer is what the browser brought.
type answer struct {
	code string
	err  error
}

// listenForCode serves the one page of a login. The function that it gives
// waits for the code, and closes the listener in any case.
func listenForCode(listener net.Listener, state string) func(context.Context) (string, error) {
	answers := make(chan answer, 1)
	server := &http.Server{
		Handler:           redirectPage(state, answers),
		ReadHeaderTimeout: pageTime,
		WriteTimeout:      pageTime,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // what strangers send to the port
	}
	server.SetKeepAlivesEnabled(false)
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(listener)
	}()
	return func(ctx context.Context) (string, error) {
		var got answer
		select {
		case got = <-answers:
		case <-ctx.Done():
			got.err = ctx.Err()
		}
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if server.Shutdown(closing) != nil {
			server.Close()
		}
		<-served
		return got.code, got.err
	}
}

// redirectPage answers the browser. Only the first request with the right
// state counts; a page on the web that guesses the port changes nothing.
func redirectPage(state string, answers chan<- answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'")
		h.Set("Referrer-Policy", "no-referrer") // the URL holds the code
		h.Set("X-Content-Type-Options", "nosniff")
		if r.URL.Path != "/" || r.Method != http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
			page(w, "There is nothing here", "Poplin waits for the answer to a login, and this is none.")
			return
		}
		got, ours := readAnswer(r.URL.RawQuery, state)
		if !ours {
			w.WriteHeader(http.StatusBadRequest)
			page(w, "Not the login that was begun", "This page belongs to another login. Use the address that Poplin has shown last.")
			return
		}
		select {
		case answers <- got:
		default:
			w.WriteHeader(http.StatusConflict)
			page(w, "Too late", "Poplin has its answer. You may close this page.")
			return
		}
		if got.err != nil {
			page(w, "The login was refused", "Poplin says why in its window. You may close this page.")
			return
		}
		page(w, "Poplin has its answer", "Its window says whether the login is complete. You may close this page.")
	})
}

func page(w io.Writer, title, text string) {
	fmt.Fprintf(w, "<!DOCTYPE html>\n<html lang=\"en\"><title>%s</title><h1>%[1]s</h1><p>%s</p></html>\n", title, text)
}

// readAnswer reads the query of the redirect (RFC 6749 sections 4.1.2 and
// 4.1.2.1). It is not ours without the right state, which only who began the
// login knows.
func readAnswer(rawQuery, state string) (got answer, ours bool) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil || len(query["state"]) != 1 || subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(state)) != 1 {
		return answer{}, false
	}
	if query.Has("error") {
		return answer{err: refusal(query.Get("error"), query.Get("error_description"))}, true
	}
	code := query.Get("code")
	if len(query["code"]) != 1 || code == "" || !printable(code) {
		return answer{err: &RefusedError{Reason: "the browser came back without a code: begin again"}}, true
	}
	return answer{code: code}, true
}
