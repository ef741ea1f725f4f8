package collect

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/fetch"
)

// retr2 is what the good server sends for the second message.
func retr2(e *evil) string { return "+OK\r\n" + e.mail[1].wire() + ".\r\n" }

// TestCut: RETR cut by FIN, RST, the end of TLS without close_notify, and
// silence, at several octets -> nothing of it is delivered, nothing deleted.
func TestCut(t *testing.T) {
	var rows []row
	for _, security := range []string{config.TLS, config.Insecure} {
		for how := range ends {
			timeout := patience
			if how == "silence" {
				timeout = silence
			}
			for _, at := range []int{0, 2, 5, 20, -9, -5, -4, -3, -2, -1} {
				rows = append(rows, row{name: fmt.Sprintf("%s %s at %d", security, how, at), security: security, timeout: timeout,
					does: on("RETR 2", func(s *session) {
						text := retr2(s.e)
						s.say(text[:(at+len(text))%len(text)])
						s.end(how)
					}), says: []string{"RETR 2"}, here: []int{0}, most: how == "RST"})
			}
		}
	}
	try(t, rows)
}

// TestMessages: a reply of -ERR for one RETR, messages that are longer or
// shorter than LIST said, or without an end, and a session that is out of step.
func TestMessages(t *testing.T) {
	fine := func(w row) row {
		w.here, w.deleted = []int{0, 1, 2}, 3
		return w
	}
	huge := strings.Repeat(strings.Repeat("x", 998)+"\r\n", 200)
	try(t, []row{
		{name: "-ERR for one RETR", does: says("RETR 2", "-ERR [SYS/PERM] \x1b[2J broken\u202e\r\n"), runs: 1,
			failed: []string{"uid-2: pop3client: RETR 2: -ERR [SYS/PERM] ?[2J broken?"}, here: []int{0, 2}, deleted: 2},
		{name: "-ERR for each RETR", does: func(s *session, line string) bool {
			if strings.HasPrefix(line, "RETR") {
				s.say("-ERR no\r\n")
			}
			return strings.HasPrefix(line, "RETR")
		}, runs: 3, failed: []string{"uid-1", "uid-2", "uid-3"}},
		fine(row{name: "shorter than LIST said", prepare: func(e *evil) { e.mail[1].size = "1000000" }}),
		fine(row{name: "longer than LIST said", prepare: func(e *evil) { e.mail[1].size = "1" }}),
		fine(row{name: "much longer than LIST said", prepare: func(e *evil) {
			e.mail[1].size = "10"
			e.mail[1].text += strings.ReplaceAll(huge, "\r", "")
		}, warns: "message uid-2 has 2"}),
		{name: "without an end, and max_message is set", config: "max_message = \"100KiB\"\n",
			does: on("RETR 2", func(s *session) { pour(s, "+OK\r\nSubject: x\r\n\r\n", "never\r\n") }), prepare: func(e *evil) { e.mail[1].size = "10" },
			failed: []string{"uid-2: it is much larger than the server announced"}, here: []int{0, 2}, deleted: 2},
		{name: "without an end, one that waits between logins", config: "max_message = \"100KiB\"\n", caps: goodCaps + "LOGIN-DELAY 60\r\n",
			does: on("RETR 2", func(s *session) { pour(s, "+OK\r\nSubject: x\r\n\r\n", "never\r\n") }), says: []string{"much larger than the server announced"},
			failed: []string{"uid-2: it is much larger than the server announced"}, here: []int{0}},
		{name: "a header without an end", config: "max_message = \"100KiB\"\nlarge = \"header\"\n",
			does: on("TOP 2 0", func(s *session) { pour(s, "+OK\r\n", "X: never\r\n") }), prepare: func(e *evil) { e.mail[1].size = "200000" },
			failed: slicesOf("uid-2: it is much larger than the server announced", 5), says: []string{"much larger"}, here: nil, most: true, never: true},
		{name: "a reply line without an end", does: on("RETR 2", func(s *session) { pour(s, "+OK ", "x") }), lasting: true,
			says: []string{"RETR 2", "too long"}, here: []int{0}},
		{name: "a reply that is none", does: says("RETR 2", "250 OK\r\n"), lasting: true, says: []string{"RETR 2", "250 OK"}, here: []int{0}},
		{name: "PIPELINING is announced and not there", timeout: silence, caps: "PIPELINING\r\nSASL PLAIN\r\n",
			does: func(s *session, line string) bool {
				s.r.Discard(s.r.Buffered())
				return false
			}, says: []string{"no progress for 2s"}},
		{name: "DELE refused", does: says("DELE 2", "-ERR not that one\r\n"), lasting: true, says: []string{"refuses to delete 1 messages", "not that one"},
			here: []int{0, 1, 2}, deleted: 2},
		{name: "DELE unanswered", does: on("DELE 2", func(s *session) { s.end("FIN") }), says: []string{"DELE"}, here: []int{0, 1, 2}},
		{name: "one reply too many behind DELE", does: says("DELE 3", "+OK\r\n+OK\r\n"), lasting: true, says: []string{"nobody asked for"}, here: []int{0, 1, 2}},
	})
}

func slicesOf(text string, n int) (all []string) {
	for range n {
		all = append(all, text)
	}
	return all
}

// TestQuit: the connection is lost after QUIT, or QUIT is answered by -ERR, and
// messages that are "deleted" are listed again -> not delivered again.
func TestQuit(t *testing.T) {
	here := []int{0, 1, 2}
	quiet := func(do func(s *session)) trick {
		return on("QUIT", func(s *session) {
			do(s)
			s.over = true
		})
	}
	try(t, []row{
		{name: "-ERR at QUIT", does: quiet(func(s *session) { s.say("-ERR some are left\r\n") }), runs: 2, lasting: true, here: here,
			says: []string{"QUIT: -ERR some are left", "not all marked messages were deleted"}},
		{name: "lost after QUIT", does: quiet(func(s *session) { s.end("FIN") }), runs: 2, here: here, says: []string{"QUIT", "unknown"}},
		{name: "reset after QUIT", does: quiet(func(s *session) { s.end("RST") }), runs: 2, here: here, says: []string{"QUIT"}},
		{name: "silence after QUIT", does: quiet(func(s *session) { s.end("silence") }), timeout: silence, runs: 2, here: here, says: []string{"QUIT", "unknown"}},
		{name: "QUIT answered by what is no reply", does: quiet(func(s *session) { s.say("bye\r\n") }), runs: 2, lasting: true, here: here, says: []string{"QUIT", "unknown"}},
		{name: "deleted, it says, and lists them again", does: quiet(func(s *session) { s.say("+OK deleted\r\n") }), runs: 3, here: here},
	})
}

// TestEndlessLists: LIST and UIDL without an end -> bounded in memory.
func TestEndlessLists(t *testing.T) {
	for _, verb := range []string{"LIST", "UIDL"} {
		most := uint64(0)
		e := newEvil(t, config.Insecure, 3, on(verb, func(s *session) {
			s.say("+OK\r\n")
			for i := 1; ; {
				var block strings.Builder
				for range 10_000 {
					fmt.Fprintf(&block, "%d %070d\r\n", i, i)
					i++
				}
				if _, err := io.WriteString(s.conn, block.String()); err != nil {
					s.over = true
					return
				}
				if i%100_000 == 1 {
					var stats runtime.MemStats
					runtime.ReadMemStats(&stats)
					most = max(most, stats.HeapInuse)
				}
			}
		}))
		e.caps = "SASL PLAIN\r\n"
		r := newReader(e, patience, "")
		r.notes.off = true
		if result := r.run(fetch.Options{}); result.Err == nil || result.Temporary || !strings.Contains(result.Error, verb+": the list has more than 1000000 lines") {
			t.Errorf("%s: error %v", verb, result.Err)
		}
		r.holds()
		if most > 1<<29 {
			t.Errorf("%s: %d octets of memory", verb, most)
		}
		t.Logf("%s: at most %d MiB in use", verb, most>>20)
	}
}

// TestShift: a reply too many has messages taken for others. None of them is
// lost: the next run finds out.
func TestShift(t *testing.T) {
	noTop := func(s *session, line string) bool {
		if strings.HasPrefix(line, "TOP") {
			s.say("-ERR\r\n")
		}
		return strings.HasPrefix(line, "TOP")
	}
	for name, w := range map[string]struct {
		prepare func(*letter, int)
		top     trick
		before  string // the reply too many is in front of that to this
	}{
		"other sizes, and no TOP": {func(*letter, int) {}, noTop, "2"},
		"the same size": {func(l *letter, i int) {
			l.text = fmt.Sprintf("Message-ID: <%d@example.org>\nSubject: letter %[1]d\n\ntext\n", i)
		}, nil, "2"},
		"sizes that are never right": {func(l *letter, i int) { l.size = "7" }, nil, "4"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEvil(t, config.TLS, 4, on("RETR "+w.before, func(s *session) {
				s.e.mu.Lock()
				defer s.e.mu.Unlock()
				s.say("+OK\r\n.\r\n+OK\r\n", s.e.letter(w.before).wire(), ".\r\n")
			}))
			for i, l := range e.mail {
				w.prepare(l, i)
			}
			r := newReader(e, patience, "")
			if result := r.run(fetch.Options{}); result.Err == nil || e.left() != 4 {
				t.Errorf("error %v, %d are left on the server", result.Err, e.left())
			}
			e.mu.Lock()
			e.trick = w.top
			e.mu.Unlock()
			for range 2 { // what is found to be another message comes in the run after it
				if result := r.run(fetch.Options{}); result.Err != nil {
					t.Error(result.Err)
				}
			}
			here := r.texts()
			for i, l := range e.mail {
				if here[l.text] == 0 {
					t.Errorf("message %d is lost", i)
				}
			}
			if e.left() != 0 {
				t.Errorf("%d are left on the server", e.left())
			}
		})
	}
}

// TestTop: TOP gives another message than RETR -> it is not fetched again, and
// is deleted, since RETR shows that it is the one that is here.
func TestTop(t *testing.T) {
	e := newEvil(t, config.TLS, 3, func(s *session, line string) bool {
		if strings.HasPrefix(line, "TOP") {
			s.say("+OK\r\nSubject: something else\r\n\r\n.\r\n")
		}
		return strings.HasPrefix(line, "TOP")
	})
	r := newReader(e, patience, "keep = \"all\"\n")
	for _, keep := range []string{"all", "none", "none"} {
		r.configure(patience, fmt.Sprintf("keep = %q\n", keep))
		if result := r.run(fetch.Options{}); result.Err != nil {
			t.Error(result.Err)
		}
	}
	if here := r.holds(); len(here) != 3 || e.left() != 0 {
		t.Errorf("%v are here, and %d left on the server", here, e.left())
	}
}

// TestLoginDelay: an absurd one is not obeyed.
func TestLoginDelay(t *testing.T) {
	for delay, want := range map[string]time.Duration{"300": 300 * time.Second, "2147483647": 24 * time.Hour, "99999999999999999999": 0, "-1": 0} {
		e := newEvil(t, config.TLS, 1, nil)
		e.caps += "LOGIN-DELAY " + delay + "\r\n"
		if result := newReader(e, patience, "").run(fetch.Options{}); result.Err != nil || result.LoginDelay != want {
			t.Errorf("LOGIN-DELAY %s: %v, error %v", delay, result.LoginDelay, result.Err)
		}
	}
}
