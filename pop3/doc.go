// Package pop3 holds the words that both ends of a POP3 connection share:
// the replies and their response codes, the capabilities, the argument forms
// of each command, and the limits. It does no I/O and depends on nothing.
//
// It covers RFC 1939 (POP3), RFC 2449 (CAPA and response codes), RFC 3206
// (SYS and AUTH response codes), RFC 5034 (AUTH) and RFC 6856 (UTF8, LANG).
//
// A program that fetches mail wants package pop3client; one that serves mail
// wants package pop3server. From this package both use *Error, which is a
// negative reply as a Go error, and Capabilities, which is the answer to CAPA.
//
// Each command has one file name in pop3, pop3client and pop3server: who
// looks for RETR opens retr.go.
package pop3
