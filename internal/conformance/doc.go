// Package conformance checks any POP3 server over the network against the
// RFCs, and against the habits of clients that are in use.
//
// Cases are data: Cases lists them all, each with the section that it comes
// from, an explanation for a person, what it needs of the server, and its
// steps. Run runs them against a Target and gives a Report.
//
// No case deletes mail, whatever the server makes of it, unless the Target
// says that it may: a session in which DELE was sent never gets a QUIT, its
// connection is dropped, which RFC 1939 section 6 says must delete nothing.
//
// The package has a raw reader of its own and shares no code with the server
// and the client in this module but the words of package pop3, so that no
// fault can hide on both sides.
package conformance
