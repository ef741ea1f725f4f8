package collect

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/fetch"
)

// row is what a hostile server does, and what comes of it. The account keeps
// nothing on the server, and there are three messages, unless it says otherwise.
// Behind each row the server is good, and the next run brings the rest, once.
type row struct {
	name     string
	security string        // empty: config.TLS
	timeout  time.Duration // zero: as long as a slow machine may need
	config   string
	caps     string // empty: those of a good server
	prepare  func(e *evil)
	does     trick
	runs     int // of the same, with the same outcome; 0: 1

	says    []string // the error; none: there is no error
	lasting bool     // somebody must mend something
	failed  []string // the messages that are named, in their order: part of the reason
	warns   string
	here    []int // what is in the Maildir
	most    bool  // here is the most that is there
	deleted int   // on the server
	closed  bool  // no user name or password was heard
	knows   bool  // the user name alone was
	never   bool  // what is left is left in the next run too
}

const (
	patience = 30 * time.Second // of an account, where time is not the matter
	silence  = 2 * time.Second  // where it is
)

// on does that at a line of the client's.
func on(line string, do func(s *session)) trick {
	return func(s *session, got string) bool {
		if got != line {
			return false
		}
		do(s)
		return true
	}
}

// says answers a line with a text.
func says(line, text string) trick {
	return on(line, func(s *session) { s.say(text) })
}

// either tries one trick, and then the other.
func either(all ...trick) trick {
	return func(s *session, line string) bool {
		return slices.ContainsFunc(all, func(t trick) bool { return t(s, line) })
	}
}

func all(e *evil) (indices []int) {
	for i := range e.mail {
		indices = append(indices, i)
	}
	return indices
}

// try runs rows.
func try(t *testing.T, rows []row) {
	for _, w := range rows {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			if w.security == "" {
				w.security = config.TLS
			}
			if w.timeout == 0 {
				w.timeout = patience
			}
			e := newEvil(t, w.security, 3, w.does)
			if w.caps != "" {
				e.caps = w.caps
			}
			if w.prepare != nil {
				w.prepare(e)
			}
			r := newReader(e, w.timeout, w.config)
			for range max(1, w.runs) {
				w.check(r, r.run(fetch.Options{}))
			}
			e.mends()
			r.configure(patience, "")
			result := r.run(fetch.Options{Retry: !w.never})
			if w.never {
				return
			}
			if result.Err != nil {
				t.Errorf("the run against a good server: %v", result.Err)
			}
			if here := r.holds(); !slices.Equal(here, all(e)) || e.left() != 0 {
				t.Errorf("in the end %v are here, and %d messages are left on the server", here, e.left())
			}
		})
	}
}

// check compares what came of a run with what should.
func (w *row) check(r *reader, result Result) {
	r.Helper()
	if (result.Err != nil) != (len(w.says) > 0) || result.Err != nil && result.Temporary == w.lasting {
		r.Errorf("error %v, temporary %t", result.Err, result.Temporary)
	}
	for _, text := range w.says {
		if !strings.Contains(result.Error, text) {
			r.Errorf("the error is %q, and does not say %q", result.Error, text)
		}
	}
	if len(result.Failed) != len(w.failed) {
		r.Errorf("the messages named are %+v", result.Failed)
	} else {
		for i, f := range result.Failed {
			if !strings.Contains(f.UID+": "+f.Reason, w.failed[i]) {
				r.Errorf("named is %+v, want %s", f, w.failed[i])
			}
		}
	}
	if (w.warns == "") != (len(result.Warnings) == 0) || !strings.Contains(strings.Join(result.Warnings, "\n"), w.warns) {
		r.Errorf("the warnings are %q", result.Warnings)
	}
	here := r.holds()
	for _, i := range here {
		if !slices.Contains(w.here, i) {
			r.Errorf("%v are here, want %v", here, w.here)
		}
	}
	if len(here) < len(w.here) && !w.most {
		r.Errorf("%v are here, want %v", here, w.here)
	}
	if gone := len(r.mail) - r.left(); gone != w.deleted {
		r.Errorf("%d messages are deleted on the server, want %d", gone, w.deleted)
	}
	if w.closed || w.knows {
		w.silent(r.evil)
	}
}

// silent checks that the server did not hear what it should not.
func (w *row) silent(e *evil) {
	e.Helper()
	heard := e.hears()
	for _, word := range strings.Fields(heard) {
		if decoded, err := base64.StdEncoding.DecodeString(word); err == nil {
			heard += " " + string(decoded)
		}
	}
	if strings.Contains(heard, password) || w.closed && (strings.Contains(heard, user) || strings.Contains(heard, "AUTH")) {
		e.Errorf("the server heard %q", heard)
	}
}

// TestBeforeLogin: STLS answered by -ERR, by silence, by +OK with more behind
// it; greetings and capabilities that are none.
func TestBeforeLogin(t *testing.T) {
	try(t, []row{
		{name: "STLS answered by -ERR", security: config.STLS, closed: true, lasting: true,
			does: says("STLS", "-ERR not today\r\n"), says: []string{"STLS", "not today"}},
		{name: "STLS answered by silence", security: config.STLS, closed: true, timeout: silence,
			does: on("STLS", func(s *session) { s.end("silence") }), says: []string{"STLS", "2s"}},
		{name: "STLS answered by +OK and silence", security: config.STLS, closed: true, timeout: silence,
			does: on("STLS", func(s *session) {
				s.say("+OK\r\n")
				s.end("silence")
			}), says: []string{"STLS", "handshake"}},
		{name: "STLS answered by +OK with more behind it", security: config.STLS, closed: true, lasting: true,
			does: says("STLS", "+OK\r\n+OK logged in\r\n"), says: []string{"STLS", "tampers"}},
		{name: "STLS answered by a reply that is none", security: config.STLS, closed: true, lasting: true,
			does: says("STLS", "HTTP/1.1 400 Bad Request\r\n"), says: []string{"STLS", "neither +OK nor -ERR"}},
		{name: "STLS, and the connection ends", security: config.STLS, closed: true,
			does: on("STLS", func(s *session) { s.end("FIN") }), says: []string{"STLS", "EOF"}},

		{name: "greeting without an end", closed: true, lasting: true,
			does: on("", func(s *session) { pour(s, "+OK ", "x") }), says: []string{"greeting", "too long"}},
		{name: "greeting, an octet now and then", closed: true, timeout: time.Second,
			does: on("", func(s *session) { drip(s, "+OK ") }), says: []string{"the login took longer than 5s"}},
		{name: "greeting of -ERR", closed: true,
			does: says("", "-ERR [SYS/TEMP] too many\r\n"), says: []string{"greeting", "[SYS/TEMP] too many"}},
		{name: "greeting of another protocol", closed: true, lasting: true,
			does: says("", "220 mail ESMTP\r\n"), says: []string{"greeting", "220 mail"}},
		{name: "greeting of two lines", closed: true, lasting: true,
			does: says("", "+OK one\r\n+OK two\r\n"), says: []string{"nobody asked for"}},
		{name: "greeting by silence", closed: true, timeout: silence,
			does: on("", func(s *session) { s.end("silence") }), says: []string{"greeting", "no progress for 2s"}},
		{name: "greeting with escape sequences", lasting: true,
			does: either(says("", "+OK \x1b]0;owned\x07\u202e\r\n"), says("AUTH PLAIN AGFubmEAZ2VoZWltLTQ3MTE=", "-ERR [\x1b[31m] \x1b]0;owned\x07 \u202e "+password+"\r\n")),
			says: []string{"AUTH PLAIN: -ERR"}},

		{name: "capabilities without an end", closed: true, lasting: true,
			does: on("CAPA", func(s *session) { pour(s, "+OK\r\n", "X-MORE\r\n") }), says: []string{"CAPA", "more than 256 lines"}},
		{name: "a capability without an end", closed: true, lasting: true,
			does: on("CAPA", func(s *session) { pour(s, "+OK\r\nSASL", " PLAIN") }), says: []string{"CAPA", "too long"}},
		{name: "capabilities twice", closed: true, lasting: true,
			does: says("CAPA", "+OK\r\nSASL PLAIN\r\n.\r\n+OK\r\nSASL PLAIN\r\n.\r\n"), says: []string{"nobody asked for"}},
		{name: "a login that nobody waited for", lasting: true,
			does: func(s *session, line string) bool {
				if strings.HasPrefix(line, "AUTH") {
					s.say("+OK\r\n+OK\r\n")
				}
				return strings.HasPrefix(line, "AUTH")
			}, says: []string{"nobody asked for"}},
		{name: "a mechanism that is announced and not there", caps: "SASL PLAIN\r\n", lasting: true,
			does: func(s *session, line string) bool {
				if strings.HasPrefix(line, "AUTH") {
					s.say("-ERR what is that?\r\n")
				}
				return strings.HasPrefix(line, "AUTH")
			}, says: []string{"AUTH PLAIN", "what is that?"}},
	})
}

// pour sends without an end, until the client has had enough.
func pour(s *session, first, more string) {
	s.say(first)
	block := []byte(strings.Repeat(more, 64<<10/len(more)))
	for {
		if _, err := s.conn.Write(block); err != nil {
			s.over = true
			return
		}
	}
}

// drip sends an octet now and then.
func drip(s *session, first string) {
	s.say(first)
	for {
		if _, err := s.conn.Write([]byte("x")); err != nil {
			s.over = true
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestPinned: an account pinned to SCRAM while PLAIN and USER are on offer, and
// SCRAM with a server that does not know the password.
func TestPinned(t *testing.T) {
	pinned := "mechanisms = [\"SCRAM-SHA-256\"]\n"
	scram := func(name string, steps func(nonce string) []string, says string) row {
		return row{name: name, config: pinned, caps: "SASL SCRAM-SHA-256 PLAIN\r\n", knows: true, lasting: true, says: []string{"SCRAM-SHA-256", says},
			does: func(s *session, line string) bool {
				initial, found := strings.CutPrefix(line, "AUTH SCRAM-SHA-256 ")
				if !found {
					return false
				}
				first, _ := base64.StdEncoding.DecodeString(initial)
				_, nonce, _ := strings.Cut(string(first), ",r=")
				for _, step := range steps(nonce) {
					s.say("+ ", base64.StdEncoding.EncodeToString([]byte(step)), "\r\n")
					text, _ := s.r.ReadString('\n')
					s.e.mu.Lock()
					s.e.heard.WriteString(text)
					s.e.mu.Unlock()
					if text == "*\r\n" {
						s.say("-ERR cancelled\r\n")
						return true
					}
				}
				s.say("+OK\r\n")
				return true
			}}
	}
	salt := base64.StdEncoding.EncodeToString([]byte("salt"))
	ask := func(nonce, iterations string) string { return "r=" + nonce + ",s=" + salt + ",i=" + iterations }
	try(t, []row{
		{name: "pinned to SCRAM, and PLAIN and USER are on offer", config: pinned, closed: true, lasting: true,
			says: []string{"no way to log in that may be used (SCRAM-SHA-256); it offers PLAIN USER"}},
		{name: "pinned to SCRAM, and there is no CAPA", config: pinned, closed: true, lasting: true,
			does: says("CAPA", "-ERR\r\n"), says: []string{"no way to log in that may be used"}},
		{name: "nothing is pinned, and only APOP is on offer", caps: "\r\n", closed: true, lasting: true,
			does: either(says("", "+OK <1896.697170952@dbc.mtview.ca.us>\r\n"), says("CAPA", "+OK\r\nTOP\r\n.\r\n")), says: []string{"no way to log in"}},
		scram("SCRAM, wrong signature", func(nonce string) []string {
			return []string{ask(nonce+"more", "4096"), "v=" + base64.StdEncoding.EncodeToString(make([]byte, 32))}
		}, "server"),
		scram("SCRAM, no signature", func(nonce string) []string { return []string{ask(nonce+"more", "4096")} }, "before the mechanism was at its end"),
		scram("SCRAM, nothing at all", func(string) []string { return nil }, "before the mechanism was at its end"),
		scram("SCRAM, 1 iteration", func(nonce string) []string { return []string{ask(nonce+"more", "1")} }, "\"1\" iterations"),
		scram("SCRAM, 1e9 iterations", func(nonce string) []string { return []string{ask(nonce+"more", "1000000000")} }, "\"1000000000\" iterations"),
		scram("SCRAM, a nonce that is not ours", func(nonce string) []string { return []string{ask("else"+nonce, "4096")} }, "nonce"),
		scram("SCRAM, our nonce and nothing more", func(nonce string) []string { return []string{ask(nonce, "4096")} }, "nonce"),
	})
}

// TestLists: STAT, LIST and UIDL that lie: negative, 1e30, twice, out of order,
// without an end, unique-ids longer than 70, empty, with blanks.
func TestLists(t *testing.T) {
	size := func(of int, text string) func(*evil) { return func(e *evil) { e.mail[of].size = text } }
	uid := func(of int, text string) func(*evil) { return func(e *evil) { e.mail[of].uid = text } }
	odd := []string{"message 2 has a unique-id that is empty, longer than 70 octets or not printable"}
	left := func(name string, prepare func(*evil)) row {
		return row{name: name, prepare: prepare, failed: odd, here: []int{0, 2}, deleted: 2}
	}
	wrong := func(name, line, reply string, says2 ...string) row {
		return row{name: name, does: says(line, reply), caps: "SASL PLAIN\r\n", says: says2, lasting: true}
	}
	fine := func(w row) row {
		w.here, w.deleted = []int{0, 1, 2}, 3
		return w
	}
	try(t, []row{
		fine(row{name: "STAT is not believed", does: says("STAT", "+OK 0 0\r\n")}),
		fine(row{name: "a negative size", prepare: size(1, "-5")}),
		fine(row{name: "a size of 1e30", prepare: size(1, "1"+strings.Repeat("0", 30))}),
		fine(row{name: "no size", prepare: size(1, " ")}),
		fine(row{name: "one unique-id for all", prepare: func(e *evil) {
			for _, l := range e.mail {
				l.uid = "same"
			}
		}}),
		fine(row{name: "out of order", caps: "SASL PLAIN\r\n", does: func(s *session, line string) bool {
			if line != "LIST" && line != "UIDL" {
				return false
			}
			s.e.mu.Lock()
			defer s.e.mu.Unlock()
			lines := strings.SplitAfter(s.e.lines(line), "\r\n")
			slices.Reverse(lines)
			s.say("+OK\r\n", strings.Join(lines, ""), ".\r\n")
			return true
		}}),
		fine(row{name: "fields behind a unique-id", prepare: uid(1, "uid-2 more fields")}),
		left("a unique-id of 71 octets", uid(1, strings.Repeat("x", 71))),
		left("a unique-id of 2000 octets", uid(1, strings.Repeat("x", 2000))),
		left("an empty unique-id", uid(1, "")),
		left("a unique-id with an escape sequence", uid(1, "\x1b[31m")),
		{name: "all unique-ids empty", prepare: func(e *evil) {
			for i := range 30 {
				e.mail = append(e.mail, &letter{text: fmt.Sprintf("Subject: %d\n\n", i)})
			}
			for _, l := range e.mail {
				l.uid = ""
			}
		}, failed: append(slices.Repeat([]string{"unique-id"}, 10), "23 more")},

		wrong("LIST: message 0", "LIST", "+OK\r\n0 10\r\n.\r\n", "LIST", `"0 10"`),
		wrong("LIST: message -1", "LIST", "+OK\r\n-1 10\r\n.\r\n", "LIST", `"-1 10"`),
		wrong("LIST: message 1e30", "LIST", "+OK\r\n1"+strings.Repeat("0", 30)+" 10\r\n.\r\n", "LIST", "is not a message number"),
		wrong("LIST: a message twice", "LIST", "+OK\r\n1 10\r\n1 10\r\n.\r\n", "LIST", "message 1 is listed twice"),
		wrong("UIDL: a message twice", "UIDL", "+OK\r\n1 a\r\n1 b\r\n.\r\n", "UIDL", "message 1 is listed twice"),
		wrong("UIDL has fewer than LIST", "UIDL", "+OK\r\n1 a\r\n.\r\n", "disagree about message 2"),
		wrong("UIDL has others than LIST", "UIDL", "+OK\r\n1 a\r\n2 b\r\n100000 c\r\n.\r\n", "disagree about message 3"),
		wrong("LIST: a line without an end", "LIST", "+OK\r\n1 "+strings.Repeat("9", 5000)+"\r\n.\r\n", "LIST", "too long"),
		wrong("LIST with escape sequences", "LIST", "+OK\r\n\x1b]0;owned\x07\r\n.\r\n", "LIST", "is not a message number"),
		{name: "LIST: more behind its end", caps: "SASL PLAIN\r\n", lasting: true,
			does: says("LIST", "+OK\r\n1 10\r\n.\r\n2 10\r\n.\r\n"), says: []string{"nobody asked for"}},
		{name: "LIST refused", does: says("LIST", "-ERR [SYS/TEMP] later\r\n"), says: []string{"LIST: -ERR [SYS/TEMP] later"}},
		{name: "UIDL refused by one that has it", does: says("UIDL", "-ERR busy\r\n"), says: []string{"refuses UIDL, which it has"}},
		{name: "LIST: its reply without an end", caps: "SASL PLAIN\r\n", lasting: true,
			does: on("LIST", func(s *session) { pour(s, "+OK ", "x") }), says: []string{"LIST", "too long"}},
		{name: "LIST cut", caps: "SASL PLAIN\r\n",
			does: on("LIST", func(s *session) {
				s.say("+OK\r\n1 10\r\n")
				s.end("FIN")
			}), says: []string{"LIST", "unexpected EOF"}},
	})
}
