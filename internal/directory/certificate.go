package directory

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/poplin-mail/poplin/pop3server"
)

// What of a client certificate names the user: Options.ClientName.
const (
	clientEmail = "email" // the address among the alternative names
	clientCN    = "cn"    // the subject's common name
	clientUID   = "uid"   // the subject's user id
)

var (
	oidCN  = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidUID = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1} // RFC 4519 section 2.39
)

// Certificate implements pop3server.CertificateAuthenticator. A certificate
// that names nobody, or several, is refused, and so is one of a user whom no
// source knows.
func (d *Directory) Certificate(ctx context.Context, login pop3server.Login) (pop3server.Account, error) {
	name, err := d.certified(login)
	if err != nil {
		return pop3server.Account{}, fmt.Errorf("%w: %w", pop3server.ErrBadCredentials, err)
	}
	identity := login.Username
	login.Username = name
	f, err := d.findOrMaster(ctx, login)
	if err != nil {
		return pop3server.Account{}, err
	}
	if f == nil {
		return pop3server.Account{}, fmt.Errorf("%w: the certificate's user does not exist", pop3server.ErrBadCredentials)
	}
	own, err := d.admit(f, nil)
	if err != nil || identity == "" {
		return own, err
	}
	return d.ActFor(ctx, login, own, identity)
}

// certified gives the name in the certificate of the connection.
func (d *Directory) certified(login pop3server.Login) (string, error) {
	if login.TLS == nil || len(login.TLS.VerifiedChains) == 0 || len(login.TLS.PeerCertificates) == 0 {
		return "", errors.New("the connection has no verified certificate")
	}
	names := namesIn(login.TLS.PeerCertificates[0], d.opts.ClientName)
	if len(names) != 1 {
		return "", fmt.Errorf("the certificate has %d names of the kind %q, and exactly one is needed", len(names), d.opts.ClientName)
	}
	return names[0], CheckName(names[0])
}

func namesIn(leaf *x509.Certificate, kind string) []string {
	if kind == clientEmail {
		return leaf.EmailAddresses
	}
	oid := oidCN
	if kind == clientUID {
		oid = oidUID
	}
	var names []string
	for _, attribute := range leaf.Subject.Names {
		if text, ok := attribute.Value.(string); ok && attribute.Type.Equal(oid) {
			names = append(names, text)
		}
	}
	return names
}
