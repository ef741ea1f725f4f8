package bucket_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/poplin-mail/poplin/maildrop/bucket"
)

// cost is a number of requests by their class of price.
type cost struct{ write, read, delete int }

func (c cost) times(n int) cost { return cost{c.write * n, c.read * n, c.delete * n} }

func (c cost) plus(o cost) cost { return cost{c.write + o.write, c.read + o.read, c.delete + o.delete} }

func (c cost) row(what string) string {
	return fmt.Sprintf("| %s | %d | %d | %d |\n", what, c.write, c.read, c.delete)
}

// spent gives what was asked since the last time.
func (h *hearer) spent(t *testing.T) cost {
	t.Helper()
	var c cost
	for heard := range strings.SplitSeq(h.take(), ", ") {
		switch op, _, _ := strings.Cut(heard, " "); op {
		case "put", "list":
			c.write++
		case "get":
			c.read++
		case "delete":
			c.delete++
		case "":
		default:
			t.Errorf("heard is %q", heard)
		}
	}
	return c
}

// steps counts the requests of what mail programs and MTAs do.
func steps(t *testing.T) map[string]cost {
	found := map[string]cost{}
	synctest.Test(t, func(t *testing.T) {
		h := &hearer{}
		b := newBox(t, bucket.Options{Observer: h})
		deliver := func() {
			t.Helper()
			if _, err := b.Deliver(t.Context(), user, strings.NewReader(content(1))); err != nil {
				t.Fatal(err)
			}
		}
		deliver()
		found["delivery of a message"] = h.spent(t)
		b.open(b.Store).Close()
		found["strict: a poll"] = h.spent(t)
		m := b.open(b.Store)
		h.take()
		if _, err := b.read(m, 0); err != nil {
			t.Fatal(err)
		}
		found["RETR of a message"] = h.spent(t)
		if err := m.Remove(t.Context(), []int{0}); err != nil {
			t.Fatal(err)
		}
		found["QUIT that deletes, up to 1,000 messages"] = h.spent(t)
		m.Close()

		deliver()
		b.Store = newStore(t, bucket.Options{Engine: b.gateway, Bucket: "mail", Economy: true, Observer: h})
		h.take()
		b.open(b.Store).Close()
		found["economy: a poll otherwise"] = h.spent(t)
		m = b.open(b.Store)
		found["economy: a poll, nothing came or went since the last at this server"] = h.spent(t)
		if _, err := b.read(m, 0); err != nil {
			t.Fatal(err)
		}
		m.Close()
		lock := h.spent(t)
		lock.read-- // the message itself
		found["economy: the first RETR, TOP or DELE of a session"] = lock
	})
	return found
}

// grouped writes a number as 1,234,567.
func grouped(n float64) string {
	digits := strconv.FormatFloat(n, 'f', 0, 64)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// TestScale: docs/scale.md says what is so. The requests of each step are
// counted, and the sums are done again.
func TestScale(t *testing.T) {
	data, err := os.ReadFile("../../docs/scale.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	has := func(text string) {
		t.Helper()
		if !strings.Contains(page, text) {
			t.Errorf("docs/scale.md lacks %q", text)
		}
	}
	step := steps(t)
	for what, c := range step {
		has(c.row(what))
	}

	const polls, mails = 144, 10
	mail := step["delivery of a message"].plus(step["RETR of a message"]).plus(step["QUIT that deletes, up to 1,000 messages"]).times(mails)
	lock := step["economy: the first RETR, TOP or DELE of a session"].times(mails)
	known, anew := step["economy: a poll, nothing came or went since the last at this server"], step["economy: a poll otherwise"]
	const listings = 2*mails + 24/6
	days := map[string]cost{
		"strict":                          step["strict: a poll"].times(polls).plus(mail),
		"economy, always the same server": known.times(polls - listings).plus(anew.times(listings)).plus(lock).plus(mail),
		"economy, any of many servers":    anew.times(polls).plus(lock).plus(mail),
	}
	for what, day := range days {
		has(day.row(what))
		all := float64(day.write + day.read + day.delete)
		has(fmt.Sprintf("| %s | %s | %s |\n", what, grouped(all*1e6/86400), grouped(all*1e8/86400)))
		month := 30 * (float64(day.write)*4.5 + float64(day.read)*.36) // a million maildrops, prices for a million
		storage := 1e6 * 20 * 50e3 / 1e9 * .015                        // 20 messages of 50 kB
		has(fmt.Sprintf("| %s | %s | %s | %s |\n", what, grouped(month), grouped(storage), grouped(100*month)))
	}

	strict, economy := days["strict"], days["economy, always the same server"]
	puts, deletes := float64(strict.write-polls)*1e6/86400, float64(strict.delete)*1e6/86400
	has(fmt.Sprintf("of which %d of the %d writes are PUTs: %s PUTs and %s DELETEs a second, at least %s writes a second", strict.write-polls, strict.write, grouped(puts), grouped(deletes), grouped(9*(puts+deletes))))
	lists := listings + mails // and those of the locks
	has(fmt.Sprintf("%d PUTs and %d DELETEs a day: %s.", economy.write-lists, economy.delete, grouped(9*float64(economy.write-lists+economy.delete)*1e6/86400)))
	has(fmt.Sprintf("in 256 buckets are %s PUTs and DELETEs a second in each", grouped(100*(puts+deletes)/256)))

	for row, ms := range map[string]float64{"strict, TLS": 1.82, "economy, TLS": 1.05} {
		processors := 1e6 / 600 * ms / 1000 * 3 / .7
		has(fmt.Sprintf("| %s | %s | %s |\n", row, grouped(processors), grouped(100*processors)))
		has(fmt.Sprintf("%.2f ms |\n", ms))
	}
	has(fmt.Sprintf("holds %s maildrops of 20", grouped(float64(bucket.DefaultCacheMessages/21/100*100))))
}
