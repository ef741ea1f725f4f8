// Package wire is the only code that knows about CRLF, dots and line limits:
// how octets stand on a POP3 connection (RFC 1939 section 3).
//
//   - Reader reads bounded lines, and messages through its DotReader.
//   - Writer gathers output, and takes messages through its DotWriter.
//   - SizeCounter tells how many octets a stored message has on the wire.
//   - Top cuts a stored message after its header and some lines.
//
// All of them stream: what they hold is bounded by their buffers, whatever
// the length of a message or of a line in it. Line ends are found with
// bytes.IndexByte and its kin, which work on many octets at a time.
package wire
