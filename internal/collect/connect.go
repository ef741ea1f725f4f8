package collect

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/fetch/credential"
	"github.com/poplin-mail/poplin/internal/fetch/diagnose"
	"github.com/poplin-mail/poplin/internal/fetch/provider"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
	"github.com/poplin-mail/poplin/sasl"
)

// connector connects to the server of an account, and logs in.
type connector struct {
	account config.Account
	addr    string
	options pop3client.Options
	secret  credential.Source
}

func newConnector(a config.Account, l logins) (*connector, error) {
	c := &connector{account: a, addr: a.Server}
	if _, _, err := net.SplitHostPort(a.Server); err != nil && !strings.HasPrefix(a.Server, "[") && strings.Contains(a.Server, ":") {
		c.addr = "[" + a.Server + "]" // an IPv6 address alone
	}
	tlsConfig, err := clientTLS(a.TLSCAFile, a.TLSPin)
	if err != nil {
		return nil, err
	}
	c.options = pop3client.Options{
		TLSConfig:    tlsConfig,
		Timeout:      a.Timeout,
		Mechanisms:   a.Mechanisms,
		InsecureAuth: a.Security == config.Insecure,
		Trace:        named(l.opts.Trace, a.Name),
	}
	if a.Rate > 0 {
		c.options.Dialer = slowDialer{int(a.Rate)}
	}
	c.secret, err = l.secret(a.Name, a.Login, provider.POP3)
	return c, err
}

// connect connects and logs in. The password is asked for first, lest a server
// wait for a person. A token that the server does not take, though it should be
// good still, is renewed, once: it may have been revoked.
func (c *connector) connect(ctx context.Context) (*pop3client.Client, error) {
	secret, err := c.secret.Secret(ctx)
	if err != nil {
		return nil, err
	}
	client, refused, err := c.enter(ctx, secret)
	tokens, renewable := c.secret.(tokenSecret)
	if !renewable || !refused {
		return client, err
	}
	fresh, renewErr := tokens.Renew(ctx, secret)
	if renewErr != nil {
		return nil, fmt.Errorf("%w; the server had refused the token: %v", renewErr, err)
	}
	client, _, err = c.enter(ctx, fresh)
	return client, err
}

// notTaken tells that a server does not take a token, from all else that may go
// wrong at a login.
func notTaken(err error) bool {
	var bearer *sasl.BearerError
	var negative *pop3.Error
	return errors.As(err, &bearer) || errors.As(err, &negative) && !negative.Temporary() && !negative.Code.Under(pop3.SysPerm)
}

// entry is how many times the account's time-out a login may take as a whole: a
// server that sends an octet now and then is silent never.
const entry = 5

// enter connects, and shows the password or token. Refused says that the server
// did not take that.
func (c *connector) enter(ctx context.Context, secret string) (client *pop3client.Client, refused bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, entry*c.account.Timeout, fmt.Errorf("the login took longer than %v", entry*c.account.Timeout))
	defer cancel()
	client, refused, err = c.open(ctx, secret)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), context.DeadlineExceeded)
	}
	return client, refused, err
}

func (c *connector) open(ctx context.Context, secret string) (client *pop3client.Client, refused bool, err error) {
	dial := map[string]func(context.Context, string, *pop3client.Options) (*pop3client.Client, error){
		config.TLS: pop3client.Dial, config.STLS: pop3client.DialSTLS, config.Insecure: pop3client.DialInsecure,
	}[c.account.Security]
	if client, err = dial(ctx, c.addr, &c.options); err != nil {
		return nil, false, err
	}
	if err := c.present(ctx, client, secret); err != nil {
		client.Abort()
		return nil, notTaken(err), err
	}
	return client, false, nil
}

// address gives host and port, 0 for the port of the way of connecting.
func (c *connector) address() (string, int) {
	host, port, err := net.SplitHostPort(c.addr)
	if err != nil {
		return strings.Trim(c.addr, "[]"), 0
	}
	n, _ := strconv.Atoi(port) // the configuration was checked
	return host, n
}

// explain says step by step how a login goes.
func (c *connector) explain(ctx context.Context) []diagnose.Step {
	host, port := c.address()
	return diagnose.Explain(ctx, diagnose.Target{Host: host, Port: port, Security: diagnose.Security(c.account.Security),
		TLSConfig: c.options.TLSConfig, Mechanisms: c.options.Mechanisms, Token: withToken(c.account.Login)}, c.login)
}

// login logs in.
func (c *connector) login(ctx context.Context, client *pop3client.Client) error {
	secret, err := c.secret.Secret(ctx)
	if err != nil {
		return err
	}
	return c.present(ctx, client, secret)
}

// present shows the password or token to the server.
func (c *connector) present(ctx context.Context, client *pop3client.Client, secret string) error {
	if withToken(c.account.Login) {
		return client.LoginToken(ctx, c.account.User, secret)
	}
	return client.Login(ctx, c.account.User, secret)
}

// clientTLS gives the TLS of a client that trusts the authorities of a file,
// or with a pin one certificate and no other.
func clientTLS(caFile, pin string) (*tls.Config, error) {
	t := new(tls.Config)
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("tls_ca_file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca_file: %s holds no certificate", caFile)
		}
	}
	if pin != "" {
		want, err := hex.DecodeString(strings.ReplaceAll(pin, ":", ""))
		if err != nil {
			return nil, fmt.Errorf("tls_pin_sha256: %w", err)
		}
		t.InsecureSkipVerify = true // VerifyConnection does it
		t.VerifyConnection = func(state tls.ConnectionState) error {
			if got := sha256.Sum256(state.PeerCertificates[0].Raw); string(got[:]) != string(want) {
				return fmt.Errorf("the server's certificate is not the one that tls_pin_sha256 names: its SHA-256 is %x", got)
			}
			return nil
		}
	}
	return t, nil
}

// named marks the lines of a trace with the account.
func named(w io.Writer, name string) io.Writer {
	if w == nil {
		return nil
	}
	return prefixed{w, name + " "}
}

type prefixed struct {
	io.Writer
	prefix string
}

// Write gets whole lines.
func (p prefixed) Write(line []byte) (int, error) {
	if _, err := p.Writer.Write(append([]byte(p.prefix), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}
