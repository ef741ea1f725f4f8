package sasl

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"hash"

	"github.com/xdg-go/scram"
	"github.com/xdg-go/stringprep"
)

// Hash is a hash function that SCRAM is used with.
type Hash string

// The hash functions of RFC 5802 and RFC 7677.
const (
	SHA1   Hash = "SHA-1"
	SHA256 Hash = "SHA-256"
)

// Mechanism gives the name of SCRAM with this hash, and with plus that of its
// form that is bound to the TLS connection.
func (h Hash) Mechanism(plus bool) string {
	if plus {
		return "SCRAM-" + string(h) + "-PLUS"
	}
	return "SCRAM-" + string(h)
}

// generator gives the hash function for package scram, nil for one that is
// not known.
func (h Hash) generator() scram.HashGeneratorFcn {
	switch h {
	case SHA1:
		return scram.SHA1
	case SHA256:
		return scram.SHA256
	}
	return nil
}

// MinIterations and MaxIterations are what a client of SCRAM takes for an
// iteration count: RFC 5802 section 5.1 asks for at least 4096, and a server
// must not be able to keep a client busy for minutes.
const (
	MinIterations = 4096
	MaxIterations = 2_000_000
)

// Keys are what a server keeps of a password for SCRAM (RFC 5802 section 3).
type Keys struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// DeriveKeys makes the keys of a password. It costs as much as checking one.
// The error says that the hash is not known, or that the iteration count is
// not from 1 to MaxIterations.
func DeriveKeys(h Hash, password string, salt []byte, iterations int) (Keys, error) {
	newHash := h.new()
	if newHash == nil {
		return Keys{}, fmt.Errorf("sasl: hash %q is not one of SCRAM", string(h))
	}
	if iterations < 1 || iterations > MaxIterations {
		return Keys{}, fmt.Errorf("sasl: %d iterations are not from 1 to %d", iterations, MaxIterations)
	}
	salted, err := pbkdf2.Key(newHash, prepared(password), salt, iterations, newHash().Size())
	if err != nil {
		return Keys{}, fmt.Errorf("sasl: %w", err)
	}
	mac := func(text string) []byte {
		m := hmac.New(newHash, salted)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	stored := newHash()
	stored.Write(mac("Client Key"))
	return Keys{Salt: salt, Iterations: iterations, StoredKey: stored.Sum(nil), ServerKey: mac("Server Key")}, nil
}

func (h Hash) new() func() hash.Hash {
	switch h {
	case SHA1:
		return sha1.New
	case SHA256:
		return sha256.New
	}
	return nil
}

// prepared gives the password as SASLprep has it (RFC 4013), and as it is
// where SASLprep does not allow it: it can still be right.
func prepared(password string) string {
	if p, err := stringprep.SASLprep.Prepare(password); err == nil {
		return p
	}
	return password
}

// Match reports whether the keys are those of the password. It takes the same
// time whether they are or not.
func (k Keys) Match(h Hash, password string) bool {
	got, err := DeriveKeys(h, password, k.Salt, k.Iterations)
	return err == nil && hmac.Equal(got.StoredKey, k.StoredKey) && hmac.Equal(got.ServerKey, k.ServerKey)
}

// ErrAuth says that a client does not know the password.
var ErrAuth = errors.New("sasl: the client does not know the password")

// Binding ties an exchange to the TLS connection it is made over (RFC 5056).
type Binding struct {
	Type string // "tls-exporter"; empty: no binding is known to this side
	Data []byte // empty: this side knows of bindings and uses none
}

// TLSBinding gives the binding of type tls-exporter (RFC 9266). It fails for a
// connection of TLS 1.2 without extended master secret, which has none.
func TLSBinding(state tls.ConnectionState) (Binding, error) {
	b, err := scram.NewTLSExporterBinding(&state)
	if err != nil {
		return Binding{}, fmt.Errorf("sasl: no channel binding: %w", err)
	}
	return Binding{Type: string(b.Type), Data: b.Data}, nil
}

func (b Binding) forScram() scram.ChannelBinding {
	return scram.ChannelBinding{Type: scram.ChannelBindingType(b.Type), Data: b.Data}
}
