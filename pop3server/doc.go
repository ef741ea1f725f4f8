// Package pop3server serves mail over POP3 (RFC 1939), with CAPA and response
// codes (RFC 2449, RFC 3206), STLS and implicit TLS (RFC 2595, RFC 8314),
// AUTH (RFC 5034), and UTF8 and LANG (RFC 6856).
//
// New makes a Server from a maildrop.Store, which keeps the mail, and an
// Authenticator, which knows who may have it; Serve and ServeTLS accept
// connections. Any program serves its own mail by implementing the two.
//
// The code goes by the protocol: session.go runs one connection, command.go
// has a table of commands for each state, reply.go turns errors into replies,
// and each command has a file of its name.
package pop3server
