package conformance

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

var tlsCases = []Case{
	{
		Name: "stls/announced", Section: "RFC 2595 section 4", Severity: Must,
		Why:   "A server that has STLS announces it, in clear text and before the login.",
		Needs: Needs{STLS: true, Clear: true},
		Steps: []Step{func(s *session) error {
			if _, err := needCapa(s); err != nil {
				return err
			}
			if !s.found.clear.Has(pop3.CapSTLS) {
				return errors.New("CAPA does not announce STLS in clear text")
			}
			return nil
		}},
	},
	{
		Name: "stls/not-announced-in-tls", Section: "RFC 2595 section 4", Severity: Must,
		Why:   "In TLS, STLS is announced no more: it cannot be given there.",
		Needs: Needs{TLS: true},
		Steps: []Step{func(s *session) error {
			lines, err := needCapa(s)
			if err != nil {
				return err
			}
			for _, line := range lines {
				if strings.EqualFold(line, pop3.CapSTLS) {
					return errors.New("CAPA announces STLS in TLS")
				}
			}
			return nil
		}},
	},
	{
		Name: "stls/in-tls", Section: "RFC 2595 section 4", Severity: Must,
		Why:   "STLS in TLS is refused.",
		Needs: Needs{TLS: true},
		Steps: []Step{cmd("STLS", isErr), cmd("QUIT", isOK), ends},
	},
	{
		Name: "stls/after-login", Section: "RFC 2595 section 4", Severity: Must,
		Why:   "STLS is a command of the AUTHORIZATION state alone.",
		Needs: Needs{Login: true},
		Steps: []Step{cmd("STLS", isErr), inStep},
	},
	{
		Name: "stls/argument", Section: "RFC 2595 section 4", Severity: Should,
		Why:   "STLS has no arguments.",
		Needs: Needs{STLS: true, Clear: true},
		Steps: []Step{cmd("STLS now", isErr), cmd("QUIT", isOK), ends},
	},
	{
		Name: "stls/injection", Section: "RFC 2595 section 4, RFC 9051 section 11.2", Severity: Must,
		Why:   "What came in clear text behind STLS was not sent by who holds the TLS session: a server that answers it in TLS lets others put words in the client's mouth.",
		Needs: Needs{STLS: true, Clear: true},
		Steps: []Step{send("STLS\r\nCAPA\r\n"), injected},
	},
	{
		Name: "stls/forgets-user", Section: "RFC 2595 section 4", Severity: Must,
		Why:   "What was said before TLS is forgotten: PASS needs another USER.",
		Needs: Needs{STLS: true, Clear: true},
		Steps: []Step{func(s *session) error {
			reply, err := s.ask("USER poplin-check")
			if err != nil {
				return err
			}
			if !isOK.match(reply) {
				return notApplicable("USER is refused in clear text")
			}
			if err := s.startTLS(); err != nil {
				return err
			}
			// What PASS is answered without any USER tells the two apart.
			o := s.another()
			if err := o.open(true); err != nil {
				return err
			}
			want, err := o.ask("PASS poplin-check")
			if err != nil {
				return err
			}
			got, err := s.ask("PASS poplin-check")
			if err != nil {
				return err
			}
			return same("PASS behind USER, STLS, and PASS alone", got, want)
		}},
	},
	{
		Name: "tls/old-versions", Section: "RFC 8996", Severity: Should,
		Why:   "TLS 1.0 and 1.1 are not to be negotiated any more.",
		Needs: Needs{TLS: true, Bare: true},
		Steps: []Step{func(s *session) error {
			config := s.target.TLSConfig.Clone()
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			return wantRefusal(s, config, "TLS 1.1 was negotiated")
		}},
	},
	{
		Name: "tls/foreign-alpn", Section: "RFC 7301 section 3.2", Severity: Habit,
		Why:   "A client that asks for another protocol than pop3 was sent here by somebody else, and is refused.",
		Needs: Needs{TLS: true, Bare: true},
		Steps: []Step{func(s *session) error {
			config := s.target.TLSConfig.Clone()
			config.NextProtos = []string{"h2"}
			return wantRefusal(s, config, "a client that speaks h2 alone was taken")
		}},
	},
	{
		Name: "tls/alpn", Section: "RFC 7301, IANA's registry of ALPN protocol ids", Severity: Must,
		Why:   `A client that offers the protocol name "pop3" gets a connection.`,
		Needs: Needs{TLS: true, Bare: true},
		Steps: []Step{func(s *session) error {
			config := s.target.TLSConfig.Clone()
			config.NextProtos = []string{pop3.ALPN}
			return openTLS(s, config)
		}},
	},
}

// injected wants a server that got `STLS CRLF CAPA CRLF` in one segment to
// close, or to answer nothing but what comes in TLS.
func injected(s *session) error {
	line, err := s.conn.line(pop3.MaxReplyLine)
	if err == errClosed || err == nil && isErr.match(line) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.handshake(s.target.TLSConfig); err != nil {
		return nil // closed, or more in clear text
	}
	if err := s.send("QUIT\r\n"); err != nil {
		return nil
	}
	if _, err := s.conn.line(pop3.MaxReplyLine); err != nil {
		return nil
	}
	if line, err := s.conn.line(pop3.MaxReplyLine); err == nil {
		return fmt.Errorf("a command from before TLS was answered in TLS: behind the reply to QUIT came %q", pop3.Sanitize(line))
	}
	return nil
}

// openTLS opens the connection with another TLS configuration.
func openTLS(s *session, config *tls.Config) error {
	if err := s.connect(config); err != nil || s.target.TLS == Implicit {
		return err
	}
	if _, err := s.conn.line(pop3.MaxReplyLine); err != nil {
		return err
	}
	if reply, err := s.ask("STLS"); err != nil || !isOK.match(reply) {
		return fmt.Errorf("STLS: %q, %w", pop3.Sanitize(reply), err)
	}
	return s.handshake(config)
}

// wantRefusal wants the handshake to fail, at the latest at the first read: a
// TLS 1.3 server may refuse after the client has finished.
func wantRefusal(s *session, config *tls.Config, taken string) error {
	if err := openTLS(s, config); err != nil {
		return nil
	}
	if s.target.TLS == STLS {
		if err := s.send("CAPA\r\n"); err != nil {
			return nil
		}
	}
	if _, err := s.conn.line(pop3.MaxReplyLine); err != nil {
		return nil
	}
	return errors.New(taken)
}
