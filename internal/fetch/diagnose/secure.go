package diagnose

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// soon is how long before its end a certificate is worth a word.
const soon = 14 * 24 * time.Hour

// Pin gives the SHA-256 of a certificate in hexadecimal, as openssl, getmail6
// and mpop have it but for colons and case, and as tls_pin_sha256 takes it.
func Pin(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

func (x *explainer) serverName() string {
	if x.TLSConfig != nil && x.TLSConfig.ServerName != "" {
		return x.TLSConfig.ServerName
	}
	return strings.TrimSuffix(strings.Trim(x.Host, "[]"), ".")
}

// tlsConfig completes the configuration as package pop3client does.
func (x *explainer) tlsConfig() *tls.Config {
	config := &tls.Config{}
	if x.TLSConfig != nil {
		config = x.TLSConfig.Clone()
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	config.ServerName = x.serverName()
	if len(config.NextProtos) == 0 {
		config.NextProtos = []string{pop3.ALPN}
	}
	return config
}

// noting has config note the certificates that it is shown, in case a check of
// the caller's, such as a pin, refuses them.
func noting(config *tls.Config) *[]*x509.Certificate {
	shown := new([]*x509.Certificate)
	check := config.VerifyPeerCertificate
	config.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
		for _, der := range raw {
			if cert, err := x509.ParseCertificate(der); err == nil {
				*shown = append(*shown, cert)
			}
		}
		if check != nil {
			return check(raw, chains)
		}
		return nil
	}
	return shown
}

// handshake makes TLS from the first octet.
func (x *explainer) handshake(ctx context.Context) bool {
	ctx, cancel := x.within(ctx)
	defer cancel()
	config := x.tlsConfig()
	shown := noting(config)
	secured := tls.Client(x.conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		text, advice := x.explainTLS(err, *shown)
		x.failed(Handshake, text, advice)
		return false
	}
	x.conn = secured
	x.secured(secured.ConnectionState())
	return true
}

// stls makes TLS by STLS.
func (x *explainer) stls(ctx context.Context, c *pop3client.Client, caps pop3.Capabilities) bool {
	ctx, cancel := x.within(ctx)
	defer cancel()
	config := x.tlsConfig()
	shown := noting(config)
	err := c.STLS(ctx, config)
	var refusal *pop3.Error
	switch {
	case err == nil:
		state, _ := c.TLS()
		x.secured(state)
		return true
	case errors.As(err, &refusal) && !caps.Has(pop3.CapSTLS):
		x.failed(Handshake, "the server does not offer STLS, and refuses it: "+quoted(refusal.Error()), `set security = "tls" and port 995, if the provider has that; nothing was sent in clear text`)
	case errors.As(err, &refusal):
		x.failed(Handshake, "the server offers STLS, and refuses it: "+quoted(refusal.Error()), `its certificate may be missing; try security = "tls" and port 995`)
	case errors.Is(err, pop3client.ErrInjection):
		x.failed(Handshake, pop3client.ErrInjection.Error(), `use another network, or security = "tls"`)
	default:
		text, advice := x.explainTLS(err, *shown)
		x.failed(Handshake, text, advice)
	}
	return false
}

// secured tells what TLS came to.
func (x *explainer) secured(state tls.ConnectionState) {
	text := tls.VersionName(state.Version) + ", " + tls.CipherSuiteName(state.CipherSuite)
	advice := ""
	if len(state.PeerCertificates) > 0 {
		cert := state.PeerCertificates[0]
		text += "; the certificate is " + describe(cert)
		if left := time.Until(cert.NotAfter); left > 0 && left < soon {
			advice = fmt.Sprintf("the certificate ends in %d days: its operator must renew it", int(left/(24*time.Hour)))
		}
	}
	if x.TLSConfig != nil && x.TLSConfig.InsecureSkipVerify {
		text += "; no authority was asked about it"
	}
	x.ok(Handshake, text, advice)
}

// describe tells names, issuer, end and SHA-256 of a certificate.
func describe(cert *x509.Certificate) string {
	return fmt.Sprintf("for %s, by %s, good until %s, SHA-256 %s", names(cert), issuer(cert), day(cert.NotAfter), Pin(cert))
}

func names(cert *x509.Certificate) string {
	var all []string
	for _, name := range cert.DNSNames {
		all = append(all, pop3.Sanitize(name))
	}
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	const most = 8
	switch {
	case len(all) == 0 && cert.Subject.CommonName != "":
		return pop3.Sanitize(cert.Subject.CommonName) + " (as its common name alone, which counts no more)"
	case len(all) == 0:
		return "no name"
	case len(all) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
	}
	return strings.Join(all, ", ")
}

func issuer(cert *x509.Certificate) string {
	if selfSigned(cert) {
		return "itself"
	}
	for _, name := range append([]string{cert.Issuer.CommonName}, cert.Issuer.Organization...) {
		if name != "" {
			return pop3.Sanitize(name)
		}
	}
	return "somebody without a name"
}

func selfSigned(cert *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, cert.RawSubject) && cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// explainTLS says why a handshake failed.
func (x *explainer) explainTLS(err error, shown []*x509.Certificate) (text, advice string) {
	var record tls.RecordHeaderError
	var untrusted *tls.CertificateVerificationError
	alert := remoteAlert(err)
	switch {
	case errors.As(err, &untrusted):
		return x.explainCertificate(untrusted)
	case errors.As(err, &record):
		return explainRecord(record, x.Port)
	case alert != "":
		return explainAlert(alert)
	case strings.Contains(err.Error(), "unsupported protocol version"):
		return old, oldAdvice
	case len(shown) > 0:
		return "the certificate is not the one that the account wants: " + pop3.Sanitize(reason(err)) + "; it is " + describe(shown[0]),
			"where its operator changed it, and confirms that, change tls_pin_sha256; else somebody may stand in between"
	case isTimeout(err):
		return "the server does not answer the handshake", `it may speak clear text on this port: try security = "stls"`
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "the server closed the connection in the handshake", "it may refuse this machine's address, or be no server for TLS; " + usualPorts(x.Port)
	}
	return "the handshake failed: " + pop3.Sanitize(reason(err)), "the server's TLS is broken, or something in between changes it"
}

const (
	old       = "the server knows nothing newer than TLS 1.1, which is broken"
	oldAdvice = "its operator must update it; Poplin uses TLS 1.2 and later only"
)

// reason is what lies at the bottom of an error, without the way to it.
func reason(err error) string {
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err.Error()
}

// explainRecord tells what speaks where TLS was expected.
func explainRecord(err tls.RecordHeaderError, port int) (text, advice string) {
	start := string(err.RecordHeader[:])
	switch {
	case strings.HasPrefix(start, "+OK"), strings.HasPrefix(start, "-ERR"):
		return "the server speaks POP3 in clear text on this port", `set security = "stls", or port 995`
	case strings.HasPrefix(start, "* "):
		return "this is an IMAP server in clear text, and not a POP3 server", usualPorts(port)
	case speaks(start) != "":
		return "this is " + speaks(start) + " in clear text, and not a POP3 server", usualPorts(port)
	}
	return "the server does not speak TLS on this port: it says " + quoted(start), usualPorts(port)
}

// remoteAlert gives the alert by which the server ended TLS, empty for none.
func remoteAlert(err error) string {
	var remote *net.OpError
	if errors.As(err, &remote) && remote.Op == "remote error" {
		return remote.Err.Error()
	}
	return ""
}

// explainAlert tells what an alert of the server's means (RFC 8446 section 6).
func explainAlert(alert string) (text, advice string) {
	shown := ": " + quoted(strings.TrimPrefix(alert, "tls: "))
	switch {
	case strings.Contains(alert, "protocol version"):
		return old + shown, oldAdvice
	case strings.Contains(alert, "certificate"):
		return "the server wants a certificate of yours, or does not take the one it was shown" + shown, "ask its operator for a client certificate"
	case strings.Contains(alert, "application protocol"):
		return "the server knows no POP3 behind this TLS" + shown, "check server and its port: it may be a web server"
	case strings.Contains(alert, "unrecognized name"):
		return "the server does not know the name that it was asked for" + shown, "check server: it must be the name that the provider gives"
	case strings.Contains(alert, "handshake failure"):
		return "server and client have no cipher in common, or the server wants a certificate of yours" + shown, "its operator must update it, or give you a certificate"
	}
	return "the server broke the handshake off" + shown, "its operator finds the reason in its log"
}

// explainCertificate says why a certificate is not trusted.
func (x *explainer) explainCertificate(err *tls.CertificateVerificationError) (text, advice string) {
	if len(err.UnverifiedCertificates) == 0 {
		return "the server showed no certificate", "its operator must give it one"
	}
	leaf := err.UnverifiedCertificates[0]
	var invalid x509.CertificateInvalidError
	var hostname x509.HostnameError
	var unknown x509.UnknownAuthorityError
	now := time.Now()
	switch {
	case errors.As(err.Err, &invalid) && invalid.Reason == x509.Expired:
		cert := invalid.Cert
		if cert == nil {
			cert = leaf
		}
		if now.Before(cert.NotBefore) {
			return fmt.Sprintf("the certificate is good from %s on only, and here it is %s", day(cert.NotBefore), day(now)), "check this machine's clock"
		}
		return fmt.Sprintf("the certificate ended on %s, and here it is %s; it is %s", day(cert.NotAfter), day(now), describe(leaf)),
			"its operator must renew it; where the date here is wrong, set the clock"
	case errors.As(err.Err, &hostname):
		return fmt.Sprintf("the certificate is not for %s: it is %s", pop3.Sanitize(x.serverName()), describe(leaf)),
			"set server to one of the certificate's names, if the provider gives such a name for POP3"
	case selfSigned(leaf):
		return "the certificate is signed by itself: it is " + describe(leaf),
			fmt.Sprintf(`where its operator confirms that SHA-256, set tls_pin_sha256 = "%s"`, Pin(leaf))
	case errors.As(err.Err, &unknown):
		return "the certificate is signed by an authority that this machine does not know: it is " + describe(leaf),
			"an authority of the provider's own goes into tls_ca_file; a server that leaves intermediate certificates out must be mended by its operator; or pin the certificate by tls_pin_sha256"
	}
	return "the certificate is not trusted: " + pop3.Sanitize(reason(err)) + "; it is " + describe(leaf), "its operator must replace it"
}
