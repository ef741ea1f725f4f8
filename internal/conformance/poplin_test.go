package conformance_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/conformance"
	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3server"
)

// users is an Authenticator over a map of passwords, with APOP.
type users map[string]string

func (u users) Password(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	if password, ok := u[l.Username]; !ok || password != l.Password {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return pop3server.Account{Name: l.Username, Maildrop: l.Username}, nil
}

func (u users) APOP(_ context.Context, l pop3server.Login, timestamp, digest string) (pop3server.Account, error) {
	if password, ok := u[l.Username]; !ok || !pop3.CheckAPOP(timestamp, password, digest) {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return pop3server.Account{Name: l.Username, Maildrop: l.Username}, nil
}

// Poplin's own server passes every case, in each mode of TLS, and no case is
// out of reach in all of them.
func TestPoplin(t *testing.T) {
	reached := map[string]bool{}
	for _, tt := range []struct {
		name     string
		mode     conformance.TLSMode
		insecure bool
	}{
		{"implicit TLS", conformance.Implicit, false},
		{"STLS", conformance.STLS, false},
		{"STLS, passwords in clear text too", conformance.STLS, true},
		{"clear text", conformance.NoTLS, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			serverTLS, clientTLS := conformance.SelfSigned(t)
			store := memory.New()
			for _, text := range conformance.TestMail {
				if _, err := store.Deliver(t.Context(), conformance.TestUser, strings.NewReader(text)); err != nil {
					t.Fatal(err)
				}
			}
			accounts := users{conformance.TestUser: conformance.TestPassword}
			opts := pop3server.Options{TLSConfig: serverTLS, APOP: true, InsecureAuth: tt.insecure, MaxSessionsPerAddr: -1}
			server, err := pop3server.New(store, accounts, opts)
			if err != nil {
				t.Fatal(err)
			}
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan struct{})
			go func() {
				defer close(served)
				if tt.mode == conformance.Implicit {
					server.ServeTLS(listener)
				} else {
					server.Serve(listener)
				}
			}()
			defer func() { server.Close(); <-served }()
			report, err := conformance.Run(t.Context(), conformance.Target{
				Addr: listener.Addr().String(), TLS: tt.mode, TLSConfig: clientTLS, Destructive: true,
				User: conformance.TestUser, Password: conformance.TestPassword, Timeout: 20 * time.Second,
			}, conformance.Cases())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range report.Results {
				switch r.Outcome {
				case conformance.Fail:
					t.Errorf("%s (%s): %s\n%s", r.Name, r.Section, r.Detail, strings.Join(r.Seen, "\n"))
				case conformance.Pass:
					reached[r.Name] = true
				}
			}
			if server.Panics() != 0 {
				t.Errorf("%d sessions panicked", server.Panics())
			}
		})
	}
	for _, c := range conformance.Cases() {
		if !reached[c.Name] {
			t.Errorf("%s was not applicable in any mode", c.Name)
		}
	}
}
