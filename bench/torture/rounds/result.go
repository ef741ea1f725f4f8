package rounds

import (
	"errors"
	"fmt"
	"strings"
)

// Counts are numbers of copies: a message to three recipients has three.
type Counts struct {
	Kills          int // under load
	EarlyKills     int // while the server starts
	Acknowledged   int // answered 250
	Refused        int // answered otherwise: nothing here should make it
	BrokenOff      int // by the sender, within the message
	Unanswered     int // the kill came before the reply
	Retrieved      int // whole, each counted once
	Sessions       int // ended with a QUIT that was answered +OK
	Removed        int // by such a QUIT
	Unconfirmed    int // QUIT was sent and no reply came: each may be there or not
	Unacknowledged int // present, though no reply came
	Tmp            int // files that were left in tmp/

	// Of a run with nodes.
	GatewayKills   int // of one of them, or of all
	Outages        int // times when no gateway ran
	Stops          int // of nodes
	LongStops      int // among them, past the end of a lease
	InUse          int // logins that were told so
	Failed         int // sessions and connections that ended otherwise than they should
	RefusedPresent int // refused, and there nevertheless: a sender would send them again

	Lost      int // acknowledged or seen, and gone without QUIT
	Missing   int // the same, and not listed by a session; it may have come back
	Duplicate int // there twice, under a second unique-id, or there though refused
	Returned  int // there again after a QUIT that was answered
	Torn      int // not as they were sent
	Stray     int // for somebody else, or files that POP3 does not show
	Double    int // two sessions that held one maildrop at the same time
}

// String gives the counts in one line.
func (c Counts) String() string {
	return fmt.Sprintf("kills %d, acknowledged %d, retrieved %d, lost %d, missing %d, duplicate %d, back %d, torn %d, stray %d, unacknowledged but present %d, left in tmp/ %d",
		c.Kills, c.Acknowledged, c.Retrieved, c.Lost, c.Missing, c.Duplicate, c.Returned, c.Torn, c.Stray, c.Unacknowledged, c.Tmp)
}

// Result is what came of a Run.
type Result struct {
	Counts
	Faults []string // the first things that must not be, in words

	late bool // see books
}

// Summary gives a line for each number, and the faults.
func (r *Result) Summary() string {
	var b strings.Builder
	type line struct {
		count int
		what  string
	}
	lines := []line{
		{r.Kills, "kills under load"},
		{r.EarlyKills, "kills while the server starts"},
		{r.Acknowledged, "deliveries acknowledged"},
		{r.Refused, "deliveries refused"},
		{r.Unanswered, "deliveries without a reply"},
		{r.BrokenOff, "deliveries broken off by the sender"},
		{r.Retrieved, "retrieved"},
		{r.Sessions, "sessions whose QUIT was answered"},
		{r.Removed, "removed by a QUIT that was answered"},
		{r.Unconfirmed, "marked when a QUIT was not answered"},
		{r.Unacknowledged, "unacknowledged but present"},
		{r.Tmp, "left in tmp/"},
		{r.Lost, "lost"},
		{r.Missing, "missing from a listing"},
		{r.Duplicate, "duplicate"},
		{r.Returned, "removed and back"},
		{r.Torn, "torn"},
		{r.Stray, "stray"},
	}
	if r.late {
		lines = append(lines, []line{
			{r.Double, "held twice"},
			{r.GatewayKills, "kills of gateways"},
			{r.Outages, "times when no gateway ran"},
			{r.Stops, "stops of nodes"},
			{r.LongStops, "stops of nodes past a lease"},
			{r.InUse, "logins told that the maildrop is in use"},
			{r.Failed, "sessions, connections and starts that failed"},
			{r.RefusedPresent, "refused but present"},
		}...)
	}
	for _, line := range lines {
		fmt.Fprintf(&b, "%9d %s\n", line.count, line.what)
	}
	for _, fault := range r.Faults {
		fmt.Fprintf(&b, "FAULT: %s\n", fault)
	}
	return b.String()
}

// Verdict is nil where no mail was harmed, and the run has shown something.
func (r *Result) Verdict() error {
	switch {
	case r.Lost+r.Missing+r.Duplicate+r.Returned+r.Torn+r.Stray+r.Double > 0:
		return fmt.Errorf("mail was harmed: lost %d, missing %d, duplicate %d, removed and back %d, torn %d, stray %d, held twice %d",
			r.Lost, r.Missing, r.Duplicate, r.Returned, r.Torn, r.Stray, r.Double)
	case r.Refused > 0 && !r.late:
		return fmt.Errorf("%d deliveries were refused: is the disk full?", r.Refused)
	case r.Acknowledged == 0 || r.Retrieved == 0 || r.Removed == 0:
		return errors.New("no mail came in and out, so that nothing is shown")
	case r.late && (r.Kills == 0 || r.LongStops == 0 || r.GatewayKills == 0 || r.InUse == 0):
		return errors.New("no node was killed or stopped, or no gateway, or no maildrop was in use, so that nothing is shown")
	}
	return nil
}
