package pop3client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	gosasl "github.com/emersion/go-sasl"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/sasl"
)

// maxAuthSteps bounds the challenges of one AUTH; no mechanism needs more than
// a few.
const maxAuthSteps = 16

// Auth logs in by a SASL mechanism (RFC 5034). The initial response goes with
// the command where CAPA announces SASL and the line stays within 255 octets,
// and in a second step otherwise. An error of the mechanism cancels the
// exchange with "*" and is what Auth gives; the session goes on. One that wraps
// sasl.ErrServer closes the connection instead: the server is not the one it
// claims to be.
//
// A mechanism that must see what the server says last, such as SCRAM, may have
// a method Done() bool: a positive reply before it gives true is a
// *ProtocolError.
//
// Mechanisms that show a password or a token to whoever listens are refused
// with ErrInsecure in clear text, as for Pass.
func (c *Client) Auth(ctx context.Context, mechanism gosasl.Client) error {
	name, initial, err := mechanism.Start()
	if err != nil {
		return fmt.Errorf("pop3client: AUTH: %w", err)
	}
	x := exchange{c: c, name: "AUTH " + name, mech: strings.ToUpper(name), mechanism: mechanism, initial: initial}
	switch {
	case !validMechanism(name):
		return argumentError("AUTH", "the name of the mechanism is not one")
	case exposes(x.mech) && !c.mayExpose():
		return ErrInsecure
	case initial != nil && x.check(initial) != nil:
		return x.check(initial)
	}
	caps, err := c.capabilities(ctx)
	if err != nil {
		return err
	}
	if err := c.begin(ctx, x.name); err != nil {
		return err
	}
	defer c.end()
	if err := x.run(caps.Has(pop3.CapSASL)); err != nil {
		return err
	}
	c.forget()
	return nil
}

// validMechanism follows RFC 4422 section 3.1, in either case.
func validMechanism(name string) bool {
	for i := range len(name) {
		b := name[i] | 0x20
		if (b < 'a' || b > 'z') && (name[i] < '0' || name[i] > '9') && name[i] != '-' && name[i] != '_' {
			return false
		}
	}
	return name != "" && len(name) <= 20
}

// exposes reports whether the mechanism sends something that whoever listens
// can use again. What is not known not to is taken to.
func exposes(mech string) bool {
	switch mech {
	case "CRAM-MD5", "DIGEST-MD5", "GSSAPI", "EXTERNAL", "ANONYMOUS":
		return false
	}
	return !strings.HasPrefix(mech, "SCRAM-")
}

// exchange is one AUTH.
type exchange struct {
	c         *Client
	name      string // for errors
	mech      string // in upper case
	mechanism gosasl.Client
	initial   []byte // to be sent still; nil where there is none
	responses int    // sent
	secrets   []string
}

// check refuses responses in which a NUL would make two values of one.
func (x *exchange) check(response []byte) error {
	nuls := bytes.Count(response, []byte{0})
	if (x.mech == gosasl.Plain && nuls != 2) || (x.mech == sasl.Login && nuls != 0) {
		return argumentError(x.name, "user name or password holds NUL")
	}
	return nil
}

// run sends the command and answers challenges until the server has decided.
func (x *exchange) run(withInitial bool) error {
	cmd := command{name: x.name, line: x.name, shown: x.name}
	if x.initial != nil && withInitial {
		line := x.name + " " + pop3.EncodeInitial(x.initial)
		if len(line)+2 <= pop3.MaxCommandLine {
			cmd.line, cmd.shown = line, x.name+" "+redacted
			x.answered(x.initial)
			x.initial = nil
		}
	}
	if err := x.c.send(cmd); err != nil {
		return err
	}
	for range maxAuthSteps {
		challenge, done, err := x.read()
		if done || err != nil {
			return err
		}
		if err := x.answer(challenge); err != nil {
			return err
		}
	}
	return x.c.fail(x.name, &ProtocolError{x.name, fmt.Sprintf("more than %d challenges", maxAuthSteps)})
}

// read takes a challenge or the reply that ends the exchange.
func (x *exchange) read() (challenge []byte, done bool, err error) {
	line, err := x.c.r.ReadLine(pop3.MaxAuthLine)
	if err != nil {
		return nil, false, x.c.fail(x.name, err)
	}
	text := string(line)
	if rest, ok := strings.CutPrefix(text, "+"); ok && (rest == "" || rest[0] == ' ') {
		x.c.trace.server("+ " + redacted)
		challenge, err = pop3.DecodeSASL(strings.TrimPrefix(rest, " "))
		if err != nil {
			return nil, false, x.c.fail(x.name, &ProtocolError{x.name, "the server's challenge is not base64"})
		}
		return challenge, false, nil
	}
	if _, err := x.c.parseStatus(x.name, text, x.secrets); err != nil {
		return nil, false, err
	}
	if !x.complete() {
		return nil, false, x.c.fail(x.name, &ProtocolError{x.name, "the server took the login before the mechanism was at its end"})
	}
	return nil, true, nil
}

// complete reports whether a positive reply may come now.
func (x *exchange) complete() bool {
	if d, ok := x.mechanism.(interface{ Done() bool }); ok {
		return d.Done()
	}
	if x.mech == sasl.Login {
		return x.responses == 2
	}
	return x.responses > 0
}

// answer sends the response to a challenge: the initial response where it is
// still to be sent, whatever the challenge, or else what the mechanism says.
func (x *exchange) answer(challenge []byte) error {
	response := x.initial
	x.initial = nil
	if response == nil {
		var err error
		if response, err = x.mechanism.Next(challenge); err == nil {
			err = x.check(response)
		}
		switch {
		case errors.Is(err, sasl.ErrServer): // nothing it says is to be believed
			return x.c.fail(x.name, err)
		case err != nil:
			return x.cancel(err)
		}
	}
	x.answered(response)
	line := pop3.EncodeSASL(response)
	if len(line)+2 > pop3.MaxAuthLine {
		return x.cancel(argumentError(x.name, fmt.Sprintf("the response is longer than %d octets", pop3.MaxAuthLine)))
	}
	return x.c.send(command{name: x.name, line: line, shown: redacted})
}

// answered counts a response, and keeps its forms out of errors and trace.
func (x *exchange) answered(response []byte) {
	x.responses++
	x.secrets = append(x.secrets, pop3.EncodeSASL(response))
	for _, part := range bytes.FieldsFunc(response, func(r rune) bool { return r <= 1 }) {
		x.secrets = append(x.secrets, strings.TrimPrefix(string(part), "auth=Bearer "))
	}
}

// cancel ends the exchange for a reason of ours (RFC 5034 section 4).
func (x *exchange) cancel(reason error) error {
	if err := x.c.send(command{name: x.name, line: "*", shown: "*"}); err != nil {
		return err
	}
	switch _, err := x.c.status(x.name, x.secrets...); {
	case err == nil:
		return x.c.fail(x.name, &ProtocolError{x.name, "the server took a login that was cancelled"})
	case !isRefusal(err):
		return err
	}
	var bearer *sasl.BearerError
	if errors.As(reason, &bearer) {
		for _, text := range []*string{&bearer.Status, &bearer.Schemes, &bearer.Scope, &bearer.OpenIDConfiguration} {
			*text = scrub(*text, x.secrets)
		}
	}
	return fmt.Errorf("pop3client: %s: cancelled: %w", x.name, reason)
}
