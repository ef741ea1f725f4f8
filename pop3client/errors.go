package pop3client

import (
	"errors"
	"fmt"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

// Errors of the client's own. They come wrapped: use errors.Is.
var (
	// ErrBusy refuses a call while another one runs, or while a message has
	// been neither read to its end nor closed. The session is not harmed.
	ErrBusy = errors.New("pop3client: busy: a command is running, or a message is neither read to its end nor closed")

	// ErrClosed is what every call gives after Quit or Abort.
	ErrClosed = errors.New("pop3client: the connection is closed")

	// ErrInsecure refuses to send a password in clear text. Nothing was sent.
	ErrInsecure = errors.New("pop3client: refusing to send a password in clear text: use Dial or DialSTLS, or set Options.InsecureAuth")

	// ErrArgument refuses a command that cannot be sent: an argument holds CR,
	// LF or NUL, is empty or out of range, or the line is longer than 255
	// octets (RFC 2449 section 4). Nothing was sent.
	ErrArgument = errors.New("argument cannot be sent")

	// ErrNoLogin says that the server offers no way to log in that may be
	// used. It comes wrapped in a *MechanismError.
	ErrNoLogin = errors.New("pop3client: the server offers no way to log in that may be used")

	// ErrNoAPOP says that the server's greeting holds no timestamp for APOP.
	ErrNoAPOP = errors.New("pop3client: the server does not offer APOP: its greeting holds no timestamp")

	// ErrInjection is the error for octets received behind the reply to STLS,
	// before TLS: somebody on the way tries to have clear text taken for what
	// TLS protects (RFC 2595 section 4). The connection is closed.
	ErrInjection = errors.New("octets in clear text behind the reply to STLS: somebody on the network tampers with the connection")
)

// errNoBinding says why SCRAM cannot be bound.
var errNoBinding = errors.New("the connection is not TLS")

// MechanismError says that the server offers none of the mechanisms that a
// login may use. No user name, password or token was sent, and the session
// goes on. It wraps ErrNoLogin.
type MechanismError struct {
	Allowed []string // Options.Mechanisms, or what the login can do without them
	Offered []string // in upper case; with "USER" and "APOP" where they work
	Unbound error    // why a mechanism on offer that ends in -PLUS cannot be used; nil otherwise
}

// Error implements error.
func (e *MechanismError) Error() string {
	offered := "nothing"
	if len(e.Offered) > 0 {
		offered = pop3.Sanitize(strings.Join(e.Offered, " "))
	}
	text := fmt.Sprintf("%v (%s); it offers %s", ErrNoLogin, pop3.Sanitize(strings.Join(e.Allowed, " ")), offered)
	if e.Unbound != nil {
		text += fmt.Sprintf("; what ends in -PLUS cannot be used over this connection: %v", e.Unbound)
	}
	return text
}

// Unwrap gives ErrNoLogin.
func (e *MechanismError) Unwrap() error { return ErrNoLogin }

// ProtocolError says that what the server sent cannot be right: neither +OK
// nor -ERR, a line too long, a list without end, a message number of zero or
// one listed twice, octets that nobody asked for. Who stands at which reply is
// unknown then, so the client has closed the connection without QUIT.
type ProtocolError struct {
	Command string // the command it was the reply to; "greeting", or "" where nothing was asked
	Reason  string // what is wrong, in one line that is fit for a terminal
}

// Error implements error.
func (e *ProtocolError) Error() string {
	if e.Command == "" {
		return "pop3client: " + e.Reason
	}
	return "pop3client: " + e.Command + ": " + e.Reason
}

// MessageError is what went wrong with one message, while the others go on. It
// wraps a *pop3.Error.
type MessageError struct {
	Number int    // of the message in this session
	UID    string // empty where it is not known
	Err    error
}

// Error implements error.
func (e *MessageError) Error() string { return e.Err.Error() }

// Unwrap gives the reason.
func (e *MessageError) Unwrap() error { return e.Err }

// Deletion is what is known about the messages marked by Dele when Quit fails.
type Deletion uint8

const (
	// NothingDeleted: QUIT was not sent, so that the server deletes nothing
	// (RFC 1939 section 6).
	NothingDeleted Deletion = iota

	// NotAllDeleted: the server answered -ERR. At least one of the marked
	// messages is still there, maybe all (RFC 1939 section 6).
	NotAllDeleted

	// DeletionUnknown: QUIT was sent and no answer came. Each of the marked
	// messages may be there or not.
	DeletionUnknown
)

// String says it for people.
func (d Deletion) String() string {
	switch d {
	case NothingDeleted:
		return "nothing was deleted"
	case NotAllDeleted:
		return "not all marked messages were deleted"
	}
	return "whether the marked messages were deleted is unknown"
}

// QuitError is the error of Quit.
type QuitError struct {
	Deletion Deletion
	Err      error
}

// Error implements error.
func (e *QuitError) Error() string { return e.Err.Error() + " (" + e.Deletion.String() + ")" }

// Unwrap gives the reason.
func (e *QuitError) Unwrap() error { return e.Err }

// argumentError says why a command cannot be sent, without its argument.
func argumentError(name, reason string) error {
	return fmt.Errorf("pop3client: %s: %w: %s", name, ErrArgument, reason)
}

// refused makes the error for a negative reply to the command.
func refused(name string, e *pop3.Error) error {
	if *e == (pop3.Error{}) {
		return fmt.Errorf("pop3client: %s: -ERR without a reason%w", name, e)
	}
	return fmt.Errorf("pop3client: %s: -ERR %w", name, e)
}

// isRefusal tells a negative reply, after which the session goes on, from
// errors that broke it.
func isRefusal(err error) bool {
	var e *pop3.Error
	return errors.As(err, &e)
}
