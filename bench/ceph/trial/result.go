package trial

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Counts are numbers of copies of messages, unless they say otherwise: a
// message to three recipients has three.
type Counts struct {
	Strikes      int // pieces killed or stopped
	Acknowledged int // answered 250
	Refused      int // answered 4xx or 5xx; the sender tries again
	Unanswered   int // the connection broke before the reply; the sender tries again
	Retrieved    int // whole, each counted once
	Sessions     int // ended by a QUIT that was answered +OK
	InUse        int // logins that found the maildrop in use
	Failed       int // logins that failed for another reason
	Removed      int // by a QUIT that was answered +OK
	Unconfirmed  int // marked when a QUIT was not answered +OK

	Unacknowledged int // there, though the sender had no 250
	Twice          int // there by two attempts of the sender
	Withdrawn      int // seen, not acknowledged, and gone again
	Back           int // removed by a QUIT that was answered +OK, and listed later

	Lost     int // acknowledged, never seen, and gone
	Unmarked int // seen, acknowledged, never marked, and gone
	Missing  int // such a one is not listed in a session; it may have come back
	Corrupt  int // not, octet by octet, as it was sent
	Doubled  int // one attempt is there under two unique-ids, though it was sent once
	Stray    int // for somebody else, or in the store when the maildrop is empty
	Double   int // maildrops that two sessions held at the same time
	Vague    int // the same perhaps: the server ended one of them
}

// harm counts what must not be.
func (c *Counts) harm() int {
	return c.Lost + c.Unmarked + c.Missing + c.Corrupt + c.Doubled + c.Stray + c.Double
}

// String gives the counts in one line.
func (c Counts) String() string {
	line := fmt.Sprintf("struck %d, acknowledged %d, retrieved %d, removed %d, harmed %d", c.Strikes, c.Acknowledged, c.Retrieved, c.Removed, c.harm())
	if c.harm() > 0 {
		line += fmt.Sprintf(" (lost %d, unmarked and gone %d, missing %d, corrupt %d, doubled %d, stray %d, double holders %d)",
			c.Lost, c.Unmarked, c.Missing, c.Corrupt, c.Doubled, c.Stray, c.Double)
	}
	return line
}

// Span is how long things took at the longest while something was the matter.
type Span struct {
	What     string
	Times    int
	Delivery time.Duration // from the first attempt to 250, all attempts
	Login    time.Duration // from PASS to its reply, whatever it says
	Out      time.Duration // nobody could log in to a maildrop, though no session was known
}

// Result is what came of a Run.
type Result struct {
	Counts
	Spans  []Span
	Faults []string // the first things that must not be, in words
	Notes  []string // the first things that may be, and are of interest
}

// Summary gives a line for each number, and the faults.
func (r *Result) Summary() string {
	var b strings.Builder
	for _, line := range []struct {
		count int
		what  string
	}{
		{r.Strikes, "pieces killed or stopped"},
		{r.Acknowledged, "deliveries acknowledged"},
		{r.Refused, "deliveries refused for the moment"},
		{r.Unanswered, "deliveries without a reply"},
		{r.Retrieved, "retrieved, octets as they were sent"},
		{r.Sessions, "sessions whose QUIT was answered +OK"},
		{r.InUse, "logins that found the maildrop in use"},
		{r.Failed, "logins that failed otherwise"},
		{r.Removed, "removed by a QUIT that was answered +OK"},
		{r.Unconfirmed, "marked when a QUIT was not answered +OK"},
		{r.Unacknowledged, "there, though the sender had no 250"},
		{r.Twice, "twice, by two attempts of the sender"},
		{r.Withdrawn, "seen, not acknowledged, gone again"},
		{r.Back, "removed and back"},
		{r.Vague, "times a second session got in, and the first one was cut by its server"},
		{r.Lost, "acknowledged and lost"},
		{r.Unmarked, "not marked and gone"},
		{r.Missing, "missing from a listing"},
		{r.Corrupt, "corrupt"},
		{r.Doubled, "sent once and there twice"},
		{r.Stray, "stray"},
		{r.Double, "double holders"},
	} {
		fmt.Fprintf(&b, "%9d %s\n", line.count, line.what)
	}
	fmt.Fprintf(&b, "\n%-28s %6s %12s %12s %12s\n", "longest, in seconds", "times", "delivery", "login", "locked out")
	for _, s := range r.Spans {
		fmt.Fprintf(&b, "%-28s %6d %12.2f %12.2f %12.2f\n", s.What, s.Times, s.Delivery.Seconds(), s.Login.Seconds(), s.Out.Seconds())
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	for _, fault := range r.Faults {
		fmt.Fprintf(&b, "FAULT: %s\n", fault)
	}
	return b.String()
}

// Verdict is nil where no mail was harmed, and the run has shown something.
func (r *Result) Verdict() error {
	switch {
	case r.harm() > 0:
		return fmt.Errorf("mail was harmed: lost %d, unmarked and gone %d, missing %d, corrupt %d, doubled %d, stray %d, double holders %d",
			r.Lost, r.Unmarked, r.Missing, r.Corrupt, r.Doubled, r.Stray, r.Double)
	case r.Acknowledged == 0 || r.Retrieved == 0 || r.Removed == 0:
		return errors.New("no mail came in and out, so that nothing is shown")
	}
	return nil
}
