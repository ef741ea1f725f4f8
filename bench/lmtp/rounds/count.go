package rounds

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of times in /proc/PID/stat (USER_HZ).
const tick = 10 * time.Millisecond

// cpu gives the processor time of the server's processes, and of those of
// them that have ended.
func (s *running) cpu() time.Duration {
	parents := map[int]int{}
	times := map[int]time.Duration{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it ended
		}
		_, rest, _ := bytes.Cut(text, []byte(") ")) // the name may hold anything
		fields := strings.Fields(string(rest))
		if len(fields) < 15 {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		parents[pid], _ = strconv.Atoi(fields[1])
		for _, field := range fields[11:15] { // utime, stime, and those of children waited for
			n, _ := strconv.Atoi(field)
			times[pid] += time.Duration(n) * tick
		}
	}
	var sum time.Duration
	for pid := range times {
		for up := pid; up > 1; up = parents[up] {
			if up == s.cmd.Process.Pid {
				sum += times[pid]
				break
			}
		}
	}
	return sum
}

// flushed gives how often the disk below dir was told to write what it holds.
// What else uses the disk counts too.
func flushed(dir string) int64 {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return 0
	}
	major, minor := st.Dev>>8&0xfff|st.Dev>>32&^0xfff, st.Dev&0xff|st.Dev>>12&^0xff // as glibc has it
	device := fmt.Sprintf("/sys/dev/block/%d:%d/", major, minor)
	for _, name := range []string{device + "stat", device + "../stat"} { // a partition's are its disk's
		text, err := os.ReadFile(name)
		if err != nil {
			return 0
		}
		if fields := strings.Fields(string(text)); len(fields) > 15 && fields[15] != "0" {
			n, _ := strconv.ParseInt(fields[15], 10, 64)
			return n
		}
	}
	return 0
}

func straceProgram() (string, error) { return exec.LookPath("strace") }

// syncsIn counts the calls in what strace has written so far. One that another
// thread interrupted is there twice, and counts by its end.
func syncsIn(trace string) (n int, err error) {
	text, err := os.ReadFile(trace)
	if err != nil {
		return 0, fmt.Errorf("strace wrote nothing: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "sync") && strings.Contains(line, ") ") && strings.Contains(line, "= ") {
			n++
		}
	}
	return n, nil
}
