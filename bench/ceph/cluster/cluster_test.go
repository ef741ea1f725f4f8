package cluster

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestParseStatus(t *testing.T) {
	for _, c := range []struct {
		text string
		want status
		bad  bool
	}{
		{`{"osdmap":{"num_up_osds":3},"pgmap":{"num_pgs":41,"pgs_by_state":[{"state_name":"active+clean","count":40},{"state_name":"active+clean+scrubbing","count":1}]}}`, status{3, 41, 41}, false},
		{`{"osdmap":{"num_up_osds":2},"pgmap":{"num_pgs":41,"pgs_by_state":[{"state_name":"active+undersized+degraded","count":41}]}}`, status{2, 41, 0}, false},
		{`{"osdmap":{},"pgmap":{"pgs_by_state":[]}}`, status{}, false},
		{`Error`, status{}, true},
	} {
		got, err := parseStatus([]byte(c.text))
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("%s: %+v, %v, want %+v", c.text, got, err, c.want)
		}
	}
}

func TestFreeAddrs(t *testing.T) {
	addrs, err := freeAddrs(20)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(addrs)
	if all := slices.Compact(slices.Clone(addrs)); len(all) != 20 {
		t.Errorf("some are the same: %q", addrs)
	}
	for _, addr := range addrs {
		if host, _, err := net.SplitHostPort(addr); host != "127.0.0.1" || err != nil {
			t.Errorf("%s, %v", addr, err)
		}
	}
}

func TestNewUUID(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	a, b := newUUID(), newUUID()
	if !form.MatchString(a) || !form.MatchString(b) || a == b {
		t.Errorf("%s, %s", a, b)
	}
}

// What a process says last is told when it has ended, and one that is stopped
// can be killed.
func TestProcess(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := start(dir, "a", "sh", "-c", "echo broken; exit 1")
	if err != nil {
		t.Fatal(err)
	}
	err = p.await(t.Context(), "never", func(context.Context) bool { return false })
	if err == nil || !strings.Contains(err.Error(), "a has ended") || !strings.Contains(err.Error(), "broken") {
		t.Errorf("error %v", err)
	}
	if p, err = start(dir, "b", "sleep", "600"); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGSTOP)
	if p.ended() {
		t.Error("it has ended before it was killed")
	}
	p.kill()
	p.kill()
	if !p.ended() {
		t.Error("it was killed and has not ended")
	}
	if _, err := start(dir, "c", "no-such-program"); err == nil || !strings.Contains(err.Error(), "make test-ceph") {
		t.Errorf("a program that is missing: %v", err)
	}
}
