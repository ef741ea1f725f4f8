package load

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is what a server has used so far.
type Usage struct {
	CPU    time.Duration // of its processes, and of those of them that have ended
	Memory int64         // proportional set size, in octets; 0: unknown
}

// clockTick is the unit of times in /proc/PID/stat, USER_HZ.
const clockTick = 10 * time.Millisecond

// Tree gives what a process uses and all that descend from it, as Linux tells
// in /proc. Of processes it may not look at it knows no memory.
func Tree(root int) (Usage, error) {
	parents, times := map[int]int{}, map[int]time.Duration{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if parent, used, ok := parseStat(text); ok {
			parents[pid], times[pid] = parent, used
		}
	}
	var u Usage
	if _, there := times[root]; !there {
		return u, fmt.Errorf("there is no process %d, or no /proc: --pid works on Linux, with the server on this machine", root)
	}
	for pid, used := range times {
		for up := pid; up > 1; up = parents[up] {
			if up == root {
				u.CPU += used
				u.Memory += proportional(pid)
				break
			}
		}
	}
	return u, nil
}

// parseStat reads the parent, and the processor time with that of children
// waited for.
func parseStat(text []byte) (parent int, used time.Duration, ok bool) {
	end := bytes.LastIndex(text, []byte(") ")) // the name before it may hold anything
	if end < 0 {
		return 0, 0, false
	}
	fields := strings.Fields(string(text[end+2:]))
	if len(fields) < 15 {
		return 0, 0, false
	}
	parent, _ = strconv.Atoi(fields[1])
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.ParseInt(field, 10, 64)
		used += time.Duration(n) * clockTick
	}
	return parent, used, true
}

// proportional gives the memory of a process, of which what it shares counts
// in parts.
func proportional(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(text, []byte("\nPss:"))
	fields := strings.Fields(string(rest[:min(len(rest), 40)]))
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[0], 10, 64)
	return kib * 1024
}

// own gives the processor time that this program has used.
func own() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
