package maildir

import (
	"testing"

	"golang.org/x/sys/unix"
)

// cpu notes the processor time of this process, all threads together.
type cpu struct{ began unix.Rusage }

func startCPU() (c cpu) {
	unix.Getrusage(unix.RUSAGE_SELF, &c.began)
	return c
}

// report reports the processor time for each round of a benchmark.
func (c cpu) report(b *testing.B) {
	var now unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &now)
	used := now.Utime.Nano() - c.began.Utime.Nano() + now.Stime.Nano() - c.began.Stime.Nano()
	b.ReportMetric(float64(used)/1e3/float64(b.N), "µs-CPU/op")
}
