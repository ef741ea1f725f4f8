package pop3server

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"
)

// Options configures a Server. The zero value is safe: it takes passwords
// under TLS only, and every limit is on.
type Options struct {
	// TLSConfig holds at least a certificate. Nil: no STLS is offered, and
	// ServeTLS fails. TLS 1.2 is the least version, whatever it says, and the
	// ALPN protocol is "pop3".
	TLSConfig *tls.Config

	// InsecureAuth takes passwords over connections in clear text too.
	InsecureAuth bool

	// APOP offers APOP (RFC 1939 section 7) where the Authenticator is an
	// APOPAuthenticator. It needs passwords that are stored in clear text and
	// rests on MD5, so it is off unless asked for.
	APOP bool

	// Hostname stands in the timestamp of APOP. Empty: the machine's name.
	Hostname string

	// Implementation is what CAPA announces as IMPLEMENTATION (RFC 2449
	// section 6.9). Empty: "Poplin".
	Implementation string

	// Logger gets a line for each login that fails, for each fault, and one
	// for each session with what it cost. Nil: nothing is logged.
	Logger *slog.Logger

	// IdleTimeout is the autologout timer: how long the server waits for a
	// whole command. Zero: 10 minutes, the least that RFC 1939 section 3
	// allows.
	IdleTimeout time.Duration

	// LoginTimeout bounds the AUTHORIZATION state, from the connection to
	// the login, TLS handshakes included. Zero: 3 minutes.
	LoginTimeout time.Duration

	// WriteTimeout is how long the client may take to accept 16 KiB, or what
	// there is of less. Zero: 1 minute.
	WriteTimeout time.Duration

	// HandshakeTimeout bounds each TLS handshake. Zero: 15 seconds.
	HandshakeTimeout time.Duration

	// LoginDelay is the least time between two logins of a user, which CAPA
	// announces as LOGIN-DELAY in whole seconds (RFC 2449 section 6.6). Zero:
	// none.
	LoginDelay time.Duration

	// Expire is how long messages are kept before something else than the
	// server removes them, which CAPA announces as EXPIRE in whole days (RFC
	// 2449 section 6.7). Zero: for ever, EXPIRE NEVER.
	Expire time.Duration

	// ExpireByUser says that an Account may have an Expire of its own, which
	// CAPA then announces after login.
	ExpireByUser bool

	// MaxSessions bounds the connections at any time. When there are that
	// many, the oldest that has not logged in is cut for a new one. Zero:
	// 20,000; below zero: no limit.
	MaxSessions int

	// MaxSessionsPerAddr bounds the connections of one address, an IPv6 /64
	// counting as one. Zero: 100; below zero: no limit.
	MaxSessionsPerAddr int

	// MaxSessionsPerNetwork bounds the connections of one IPv4 /24 or IPv6
	// /48 network. Zero: 1000; below zero: no limit.
	MaxSessionsPerNetwork int

	// MaxHandshakes bounds the TLS handshakes at any time: the oldest is cut
	// for a new one. Zero: 2000; below zero: no limit.
	MaxHandshakes int

	// KnownNetworks count for no limit per address or network.
	KnownNetworks []netip.Prefix

	// Mechanisms are the SASL mechanisms to offer, as far as they can be.
	// USER and PASS go with "PLAIN". Nil: all but CRAM-MD5, which needs
	// passwords that are stored in clear text, and rests on MD5.
	Mechanisms []string

	// Guard is asked before credentials are checked. Nil: nobody is.
	Guard Guard

	// Observer hears of what happens. Nil: nobody does.
	Observer Observer
}

// Defaults of Options, and limits that are not worth an option.
const (
	defaultIdleTimeout  = 10 * time.Minute // RFC 1939 section 3: at least
	defaultLoginTimeout = 3 * time.Minute  // a person types a password in less
	defaultWriteTimeout = time.Minute      // 16 KiB in it: 273 octets a second
	defaultMaxSessions  = 20_000
	defaultMaxPerAddr   = 100 // an office behind one address, not a botnet
	defaultMaxPerNet    = 1000
	defaultHandshake    = 15 * time.Second // three lost packets, and a slow phone
	defaultMaxShaking   = 2000             // some 40 MiB

	readBuffer  = 4 << 10  // commands that are read ahead
	writeBuffer = 64 << 10 // replies that leave together
	writeStep   = 16 << 10 // of those, what the WriteTimeout is for; a full TLS record
	copyBuffer  = 32 << 10 // what is read of a stored message at a time
	topBuffer   = 4 << 10  // and at first for TOP: few headers are longer

	maxBadBeforeLogin = 3  // unknown commands: an HTTP client has more
	maxBadAfterLogin  = 20 // unknown commands: a person at a keyboard has fewer
	maxFailedLogins   = 5  // refused credentials in one session

	lingerTime   = time.Second // for the last reply to arrive
	lingerOctets = 1 << 20     // of input thrown away meanwhile

	tellEvery = 10 * time.Second // the log says again that no connection can be accepted

	restAfter = time.Second // without a command a session is put where it needs little memory

	drainIdle = 5 * time.Second // a pause this long ends a session in Shutdown
)

func (o Options) withDefaults() Options {
	setDefault(&o.IdleTimeout, defaultIdleTimeout)
	setDefault(&o.LoginTimeout, defaultLoginTimeout)
	setDefault(&o.WriteTimeout, defaultWriteTimeout)
	setDefault(&o.MaxSessions, defaultMaxSessions)
	setDefault(&o.MaxSessionsPerAddr, defaultMaxPerAddr)
	setDefault(&o.MaxSessionsPerNetwork, defaultMaxPerNet)
	setDefault(&o.HandshakeTimeout, defaultHandshake)
	setDefault(&o.MaxHandshakes, defaultMaxShaking)
	setDefault(&o.Implementation, "Poplin")
	setDefault(&o.Logger, slog.New(slog.DiscardHandler))
	setDefault(&o.Hostname, machineName())
	if o.Observer == nil {
		o.Observer = NoObserver{}
	}
	if o.TLSConfig != nil {
		o.TLSConfig = o.TLSConfig.Clone()
		o.TLSConfig.MinVersion = max(o.TLSConfig.MinVersion, tls.VersionTLS12)
		o.TLSConfig.DynamicRecordSizingDisabled = true // it is for browsers, which show what came so far
		if len(o.TLSConfig.NextProtos) == 0 {
			o.TLSConfig.NextProtos = []string{alpn}
		}
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
