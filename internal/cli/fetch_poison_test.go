package cli

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
)

// TestFetchPoison: a mail server that always cuts at one message gets the
// others, and that one five times.
func TestFetchPoison(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var mu sync.Mutex
	taken, cuts := make(map[string]int), 0
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "220 x\r\n")
			data, poison, subject := false, false, ""
			for lines := bufio.NewScanner(c); !poison && lines.Scan(); {
				line := lines.Text()
				switch {
				case data && line == ".":
					data = false
					mu.Lock()
					taken[subject]++
					mu.Unlock()
					io.WriteString(c, "250 taken\r\n")
				case data && line == "poison":
					mu.Lock()
					cuts++
					mu.Unlock()
					poison = true
				case data:
					if s, ok := strings.CutPrefix(line, "Subject: "); ok {
						subject = s
					}
				case line == "DATA":
					data = true
					io.WriteString(c, "354 go on\r\n")
				default:
					io.WriteString(c, "250 x\r\n")
				}
			}
			c.Close()
		}
	}()
	_, dir, config := fetchBed(t, fmt.Sprintf("to = \"desk\"\non_error = 'echo $POPLIN_ERROR >> hook'\n[target.desk]\nkind = \"smtp\"\nserver = %q\nsecurity = \"insecure\"\nrecipient = \"a@example.org\"\n", l.Addr()),
		"Subject: a\n\nx\n", "Subject: b\n\npoison\n", "Subject: c\n\ny\n", "Subject: d\n\nz\n")
	t.Chdir(dir)
	for range 4 {
		printed(t, exitTryAgain, "fetch", "--config", config)
	}
	_, errs := printed(t, exitFailure, "fetch", "--config", config)
	if !strings.Contains(errs, "it is given up: --retry has it tried again") {
		t.Errorf("it says %q", errs)
	}
	if _, errs = printed(t, exitFailure, "fetch", "--config", config); strings.Count(errs, "\n") != 1 {
		t.Errorf("it says %q", errs)
	}
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(taken) != "map[a:1 c:1 d:1]" || cuts != 5 {
		t.Errorf("the server has %v, and cut %d times", taken, cuts)
	}
	if hook, _ := os.ReadFile("hook"); strings.Count(string(hook), "is given up") != 1 {
		t.Errorf("on_error got %q", hook)
	}
}
