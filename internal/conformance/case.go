package conformance

// Severity says how much a failed case weighs.
type Severity string

// The severities.
const (
	Must   Severity = "must"   // an RFC demands it, and clients or mail come to harm without it
	Should Severity = "should" // an RFC recommends it, or demands it where nobody is hurt; or safety does
	Habit  Severity = "habit"  // no RFC asks for it, but clients in use do
)

// Case is one thing that a server ought to do.
type Case struct {
	Name     string   // area and behaviour: "retr/size"
	Section  string   // where it comes from: "RFC 1939 section 5, LIST"
	Severity Severity // how much it weighs
	Why      string   // for a person: what goes wrong where it fails
	Needs    Needs    // where it is not applicable
	Steps    []Step   // in order; the first that fails ends the case
}

// Needs is what a case asks of the target. The zero value is a session in the
// AUTHORIZATION state, in TLS where the target has it.
type Needs struct {
	Login       bool   // the session is logged in
	User        bool   // there are credentials, though the session is not logged in
	Messages    int    // at least so many messages in the maildrop
	TLS         bool   // the target has TLS, of either kind
	STLS        bool   // the target has STLS
	Clear       bool   // the session is in clear text, before any STLS
	Bare        bool   // the steps open their connections themselves
	Capability  string // CAPA announces it
	Timestamp   bool   // the greeting has a timestamp for APOP
	Destructive bool   // mail may be deleted
}

// Step is one step of a case: something sent, or something expected. An error
// says, for a person, what was expected and what came.
type Step func(*session) error

// Cases gives every case, by area, in an order that a report can be read in.
func Cases() []Case {
	var all []Case
	for _, area := range [][]Case{
		greetingCases, capabilityCases, loginCases, authCases, wrongStateCases(), tlsCases,
		statCases, listCases, numberCases(), retrCases, topCases, uidlCases,
		deleteCases, lineCases, pipeliningCases, lockCases, languageCases,
	} {
		all = append(all, area...)
	}
	return all
}
