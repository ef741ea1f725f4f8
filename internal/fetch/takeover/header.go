package takeover

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"strings"
)

const (
	// maxHeader bounds the headers that are compared, in octets.
	maxHeader = 256 << 10

	// maxTrace bounds the fields Received of one. A message that went round
	// in a loop has some 30.
	maxTrace = 100
)

// HeaderHash gives the same value for the header of a message on a server and
// for that of its copy in a Maildir, whatever the copy's delivery has added:
// SHA-256, cut to 16 octets, over the fields Message-ID, Date, From, To, Cc and
// Subject. Header is a message or its start; what follows the first blank line
// is not looked at.
//
// Deliveries add fields above: Return-Path, Delivered-To, X-Original-To,
// Received; filters add X-Spam-... anywhere. The six fields are left alone,
// but for those that make up a missing one, or write a domain behind an
// address without one, or tag a subject: such a copy is not found, and the
// message is downloaded again. To and Cc make little difference beside the
// Message-ID; but a program that sends one letter to many with one Message-ID
// sends different letters.
//
// Line ends, folding, case of the names, and the order among different fields
// make no difference (the values are as in RFC 6376 section 3.4.2: unfolded,
// and blanks that follow each other are one). Neither does a CR anywhere.
//
// The same letter sent to a person and to a list which that person reads comes
// twice, in two messages that have one hash. Who compares hashes must count
// them, and ask for more where it can: Rebuild also compares the way the
// message took, and its length.
func HeaderHash(header []byte) [16]byte { return newFingerprint(header).hash }

// hashed are the fields of HeaderHash, in the order in which they are hashed.
var hashed = [...]string{"message-id", "date", "from", "to", "cc", "subject"}

// fingerprint is what is known of a message by its header.
type fingerprint struct {
	hash [16]byte

	// trace holds a value for each field Received: of that and all below it.
	// A copy has the fields of the server's message below those that its
	// delivery has added, so that the value of the message's first stands
	// among the copy's, as many from the end.
	trace []uint64

	// telling says that the header has enough to know the message by:
	// Message-ID, or a date and the way it took.
	telling bool
}

func newFingerprint(header []byte) fingerprint {
	var values [len(hashed)][]string
	var received []string
	for name, value := range fields(header) {
		if name == "received" {
			received = append(received, value)
		}
		for i, h := range hashed {
			if name == h {
				values[i] = append(values[i], value)
			}
		}
	}
	sum := sha256.New()
	for i, name := range hashed {
		for _, value := range values[i] {
			sum.Write([]byte(name + ":" + value + "\n"))
		}
	}
	f := fingerprint{hash: [16]byte(sum.Sum(nil))}
	f.trace = make([]uint64, len(received))
	var below uint64
	for i := len(received) - 1; i >= 0; i-- {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(received[i]+"\n"), below))
		below = binary.BigEndian.Uint64(sum[:])
		f.trace[i] = below
	}
	dated := values[1] != nil && len(received) > 0
	f.telling = (strings.Join(values[0], "") != "" || dated) && len(received) <= maxTrace
	return f
}

// came reports whether f is the fingerprint of a copy of the message: the same
// fields, and the same way to the server.
func (f fingerprint) came(message fingerprint) bool {
	n := len(message.trace)
	if f.hash != message.hash || n > len(f.trace) {
		return false
	}
	return n == 0 || f.trace[len(f.trace)-n] == message.trace[0]
}

// fields gives name and value of each field up to the first blank line, the
// names in lower case. Lines that are neither field nor continuation, such as
// the "From " of an mbox, are left out.
func fields(header []byte) func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		var name string
		var value []byte
		for line := range bytes.Lines(header) {
			line = bytes.ReplaceAll(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"), nil)
			if len(line) == 0 {
				break
			}
			if line[0] == ' ' || line[0] == '\t' {
				value = append(value, line...)
				continue
			}
			if name != "" && !yield(name, oneBlank(value)) {
				return
			}
			before, after, found := bytes.Cut(line, []byte(":"))
			name, value = "", nil
			if n := bytes.TrimRight(before, " \t"); found && !bytes.ContainsAny(n, " \t") {
				name, value = strings.ToLower(string(n)), bytes.Clone(after)
			}
		}
		if name != "" {
			yield(name, oneBlank(value))
		}
	}
}

// oneBlank takes blanks off both ends and makes those that follow each other
// one.
func oneBlank(value []byte) string {
	words := bytes.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' })
	return string(bytes.Join(words, []byte(" ")))
}
