package pop3

// State is the state of a session (RFC 1939 section 3).
type State uint8

// The states of a session, in the order in which a session goes through them.
const (
	Authorization State = iota // before login: RFC 1939 section 4
	Transaction                // after login: RFC 1939 section 5
	Update                     // after QUIT: RFC 1939 section 6
)

// String gives the name that RFC 1939 uses.
func (s State) String() string {
	switch s {
	case Authorization:
		return "AUTHORIZATION"
	case Transaction:
		return "TRANSACTION"
	case Update:
		return "UPDATE"
	}
	return "unknown state"
}
