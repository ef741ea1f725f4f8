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

	Lost      int // acknowledged or seen, and gone without QUIT
	Missing   int // the same, and not listed by a session; it may have come back
	Duplicate int // there twice, back after a QUIT, under a second unique-id, or there though refused
	Torn      int // not as they were sent
	Stray     int // for somebody else, or files that POP3 does not show
}

// String gives the counts in one line.
func (c Counts) String() string {
	return fmt.Sprintf("kills %d, acknowledged %d, retrieved %d, lost %d, missing %d, duplicate %d, torn %d, stray %d, unacknowledged but present %d, left in tmp/ %d",
		c.Kills, c.Acknowledged, c.Retrieved, c.Lost, c.Missing, c.Duplicate, c.Torn, c.Stray, c.Unacknowledged, c.Tmp)
}

// Result is what came of a Run.
type Result struct {
	Counts
	Faults []string // the first things that must not be, in words
}

// Summary gives a line for each number, and the faults.
func (r *Result) Summary() string {
	var b strings.Builder
	for _, line := range []struct {
		count int
		what  string
	}{
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
		{r.Torn, "torn"},
		{r.Stray, "stray"},
	} {
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
	case r.Lost+r.Missing+r.Duplicate+r.Torn+r.Stray > 0:
		return fmt.Errorf("mail was harmed: lost %d, missing %d, duplicate %d, torn %d, stray %d", r.Lost, r.Missing, r.Duplicate, r.Torn, r.Stray)
	case r.Refused > 0:
		return fmt.Errorf("%d deliveries were refused: is the disk full?", r.Refused)
	case r.Acknowledged == 0 || r.Retrieved == 0 || r.Removed == 0:
		return errors.New("no mail came in and out, so that nothing is shown")
	}
	return nil
}
