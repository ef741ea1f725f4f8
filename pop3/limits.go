package pop3

// Limits of the protocol, each with where it comes from.
const (
	// MaxCommandLine is the longest command line in octets, CRLF included
	// (RFC 2449 section 4).
	MaxCommandLine = 255

	// MaxAuthLine is the longest line in octets, CRLF included, that an AUTH
	// command and its continuations may take. RFC 5034 section 4 lifts the
	// limit of 255 octets for them and names 12288 octets as the least to be
	// taken; OAuth tokens with many claims are known to need more.
	MaxAuthLine = 24 * 1024

	// MaxReplyLine is the longest status line in octets, CRLF included (RFC
	// 2449 section 4).
	MaxReplyLine = 512

	// MaxUID is the longest unique-id in octets (RFC 1939 section 7, UIDL).
	MaxUID = 70

	// MaxMessages bounds a message number. RFC 1939 sets none; this one keeps
	// a number within nine digits, so that it never overflows anything.
	MaxMessages = 999_999_999

	// MaxDigits is the number of digits of MaxMessages.
	MaxDigits = 9
)

// Ports registered with IANA (RFC 1939 section 3, RFC 8314 section 3.1), and
// the ALPN protocol name (IANA's registry of TLS ALPN protocol ids).
const (
	Port    = 110
	PortTLS = 995
	ALPN    = "pop3"
)
