package trial

import (
	"errors"
	"fmt"
)

// Counts are numbers of copies: a message to three recipients has three. What
// is lost in ten images counts ten times.
type Counts struct {
	Rounds       int // each on a new file system
	Writes       int // what the device was told
	Flushes      int
	Acknowledged int // answered 250
	Refused      int // answered otherwise: the disk may be full
	Removed      int // by a QUIT that was answered +OK

	Moments int // when the power failed
	Images  int // what the disk may then have held
	Checks  int // acknowledged copies looked for in an image
	Served  int // images that a server was started on

	Faulty   int // images with any of what follows
	Lost     int // acknowledged, no QUIT sent, and gone
	Torn     int // in new/ or cur/, or aside, and not as sent
	Returned int // removed by a QUIT that was answered, and there
	Double   int // there twice
	Stray    int // files of nobody
	Broken   int // images that cannot be mounted, read or served
}

// add adds what is in other.
func (c *Counts) add(other Counts) {
	mine, others := c.all(), other.all()
	for i := range mine {
		*mine[i] += *others[i]
	}
}

func (c *Counts) all() []*int {
	return []*int{&c.Rounds, &c.Writes, &c.Flushes, &c.Acknowledged, &c.Refused, &c.Removed, &c.Moments, &c.Images, &c.Checks, &c.Served,
		&c.Faulty, &c.Lost, &c.Torn, &c.Returned, &c.Double, &c.Stray, &c.Broken}
}

// faults gives how much there is that must not be.
func (c *Counts) faults() int { return c.Lost + c.Torn + c.Returned + c.Double + c.Stray + c.Broken }

// String gives the counts in a few lines.
func (c Counts) String() string {
	return fmt.Sprintf(`rounds %d: %d deliveries acknowledged, %d refused, %d messages removed; %d writes and %d flushes
%d power failures, %d images, of which %d were served again; %d times an acknowledged message was looked for
%d images with faults: lost %d, torn %d, removed and back %d, double %d, stray %d, images that do not work %d
`, c.Rounds, c.Acknowledged, c.Refused, c.Removed, c.Writes, c.Flushes, c.Moments, c.Images, c.Served, c.Checks,
		c.Faulty, c.Lost, c.Torn, c.Returned, c.Double, c.Stray, c.Broken)
}

// Result is what came of a Run.
type Result struct {
	Counts
	Faults   []string // the first things that must not be, in words
	Refusals []string // the first reply of a round that was not 250
}

// Verdict is nil where no mail was harmed, and the run has shown something.
func (r *Result) Verdict() error {
	switch {
	case r.faults() > 0:
		return fmt.Errorf("mail was harmed in %d of %d images", r.Faulty, r.Images)
	case r.Acknowledged == 0 || r.Removed == 0 || r.Checks == 0 || r.Served == 0:
		return errors.New("no mail came in and out, so that nothing is shown")
	}
	return nil
}
