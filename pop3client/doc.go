// Package pop3client is a POP3 client: RFC 1939 whole, CAPA and PIPELINING
// (RFC 2449), response codes (RFC 2449, RFC 3206), STLS and implicit TLS (RFC
// 2595, RFC 8314), AUTH (RFC 5034), UTF8 and LANG (RFC 6856), and pop:// URLs
// (RFC 2384).
//
// Begin with Dial and Client.Login; Client.RetrieveAll brings the messages:
//
//	c, err := pop3client.Dial(ctx, "mail.example.org", nil)
//	if err != nil {
//		return err
//	}
//	defer c.Abort() // does nothing after Quit
//	if err := c.Login(ctx, user, password); err != nil {
//		return err
//	}
//	for msg, err := range c.RetrieveAll(ctx, pop3client.RetrieveOptions{}) {
//		...
//	}
//	return c.Quit(ctx)
//
// Login uses the strongest mechanism on offer, SCRAM first, and
// Options.Mechanisms pins it; LoginToken is for OAuth 2.0, LoginExternal for
// certificates.
//
// # Errors
//
// A negative reply is a *pop3.Error, with its response code and Temporary, and
// the session goes on, but after one to STLS. A reply that cannot be right is a *ProtocolError. After
// one of these, after a failure of the connection, and after a context that
// ended while a command ran, the client is broken: it has closed the
// connection, every later call gives the same error, and QUIT is never sent,
// so that the server deletes nothing (RFC 1939 section 6). Errors carry what
// the server said made fit for a terminal, and never a password.
//
// # Deleting
//
// Dele only marks. Quit has the server delete what is marked, and its error
// says what is known about that. Abort closes the connection without QUIT:
// nothing is deleted.
//
// # Concurrency
//
// A Client serves one goroutine at a time: a call while another runs, or while
// a message is not read to its end, gives ErrBusy and does nothing. Abort
// alone may be called at any time.
package pop3client
