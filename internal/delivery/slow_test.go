package delivery

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// drip sends text an octet at a time until the server ends the connection.
func (c *mta) drip(text string, every time.Duration) {
	for {
		for i := range len(text) {
			if _, err := io.WriteString(c.Conn, text[i:i+1]); err != nil {
				return
			}
			time.Sleep(every)
		}
	}
}

// TestSlow: "slow lorises on commands and LMTP data": whoever is slow is
// dropped by a deadline for the whole command, of which go-smtp then has a part
// to reply to, and for each part of a message, of which nothing is delivered. What comes behind the deadline does
// not pass for commands.
func TestSlow(t *testing.T) {
	const begin = "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\n"
	for name, sc := range map[string]struct {
		before  string // sent at once
		replies []string
		slow    string // and this over and over
		every   time.Duration
		last    []string // replies to it
	}{
		"silence":        {"", nil, "", 0, []string{"421 4.4.2"}},
		"idle":           {"LHLO x\r\nNOOP\r\n", []string{"250", "250"}, "", 0, []string{"421 4.4.2"}},
		"command":        {"LHLO x\r\n", []string{"250"}, "x", time.Minute, []string{"501 5.5.2"}},
		"command, quick": {"LHLO x\r\n", []string{"250"}, "x", time.Second, []string{"501 5.5.2"}},
		"data":           {begin + "DATA\r\n", []string{"250", "250", "250", "354"}, "x", time.Minute, []string{"451 4.3.0 <anna@example.org>"}},
		"data, lines": {begin + "DATA\r\n", []string{"250", "250", "250", "354"},
			"NOOP\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nBDAT 1 LAST\r\nx", time.Second, []string{"451 4.3.0 <anna@example.org>"}},
		"chunk":      {begin + "BDAT 100000 LAST\r\n", []string{"250", "250", "250"}, "\r\n", time.Second, []string{"451 4.4.2"}},
		"next chunk": {begin + "BDAT 1\r\nx", []string{"250", "250", "250", "250"}, "BDAT", 10 * time.Second, []string{"501 5.5.2"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				taken := make(sink, 1)
				p := newIdle(t, users, Options{Agent: &Agent{Store: taken}})
				c := p.pipe()
				go io.WriteString(c, sc.before)
				c.expect(sc.replies...)
				synctest.Wait()
				begun := time.Now()
				done := make(chan struct{})
				go func() { // it may end only when the test does
					defer close(done)
					if sc.slow != "" {
						c.drip(sc.slow, sc.every)
					}
				}()
				c.expect(sc.last...)
				if took := time.Since(begun); took < patience-time.Second || took > patience+time.Second {
					t.Errorf("dropped after %v, want %v", took, patience)
				}
				c.ended()
				<-done
				if len(taken) != 0 {
					t.Errorf("delivered was %q", <-taken)
				}
				p.idle()
			})
		})
	}
}

// TestSteady: a message may take hours where it goes on.
func TestSteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken := make(sink, 1)
		p := newIdle(t, users, Options{Agent: &Agent{Store: taken}})
		c := p.pipe()
		c.send("LHLO x\r\n")
		c.expect("250")
		c.send("MAIL FROM:<>\r\n")
		c.expect("250")
		c.send("RCPT TO:<anna@example.org>\r\n")
		c.expect("250")
		c.send("DATA\r\n")
		c.expect("354")
		begun := time.Now()
		for range 200 {
			c.send(strings.Repeat("x", pace/4-2) + "\r\n")
			time.Sleep(patience / 5)
		}
		c.send(".\r\n")
		c.expect("250 2.0.0 <anna@example.org>")
		if got := body(<-taken); len(got) != 200*(pace/4-1) || time.Since(begun) < 3*time.Hour {
			t.Errorf("delivered are %d octets after %v", len(got), time.Since(begun))
		}
		c.Close()
		p.idle()
	})
}

// TestNobodyReads: an MTA that does not read its replies is dropped.
func TestNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIdle(t, users, Options{})
		c := p.pipe()
		begun := time.Now()
		for {
			if _, err := io.WriteString(c, "NOOP\r\n"); err != nil {
				break
			}
		}
		if took := time.Since(begun); took != patience {
			t.Errorf("dropped after %v, want %v", took, patience)
		}
		p.idle()
	})
}

// pipe dials in memory, so that the clock of synctest rules.
func (p *post) pipe() *mta {
	p.Helper()
	l := make(pipes)
	p.serve(l)
	client, server := net.Pipe()
	l <- server
	c := greeted(p.TB, client)
	c.SetDeadline(time.Time{})
	return c
}

// idle waits until all connections have ended.
func (p *post) idle() {
	p.Helper()
	synctest.Wait()
	if n := p.Connections(); n != 0 {
		p.Errorf("%d connections are left", n)
	}
}
