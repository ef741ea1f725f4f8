package conformance

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/poplin-mail/poplin/pop3"
)

// reference is a small server that does what the RFCs ask for and no more
// than the cases look at, with places to break it: see mutation.
type reference struct {
	config *tls.Config
	mode   TLSMode
	broken mutation

	mu       sync.Mutex
	mail     []stored
	held     bool
	sessions int
	wait     sync.WaitGroup
}

type stored struct{ uid, text string }

// mutation is a way to break the reference server.
type mutation struct {
	name string
	// instead answers a command, by its verb, with other octets.
	instead map[string]func(c *refConn, arg string) string
	// after changes the octets of an answer, by the verb. GREETING is one.
	after map[string]func(c *refConn, arg, answer string) string
	// flag is a fault that the server itself knows.
	flag string
	// always breaks the first session too, in which Run learns its facts.
	always bool
}

func startReference(t *testing.T, mode TLSMode, broken mutation) (*reference, Target) {
	t.Helper()
	server, client := SelfSigned(t)
	r := &reference{config: server, mode: mode, broken: broken}
	for i, text := range TestMail {
		var b strings.Builder // the form of the wire
		for line := range strings.Lines(text) {
			b.WriteString(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r") + "\r\n")
		}
		r.mail = append(r.mail, stored{fmt.Sprintf("uid-%d", i), b.String()})
	}
	if broken.flag == "tls-1.1" {
		r.config.MinVersion = tls.VersionTLS10
	}
	if broken.flag == "any-alpn" {
		r.config.NextProtos = nil
	}
	if broken.flag == "other-alpn" {
		r.config.NextProtos = []string{"imap"}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.wait.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.wait.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); r.wait.Wait() })
	return r, Target{Addr: l.Addr().String(), TLS: mode, TLSConfig: client, User: TestUser, Password: TestPassword}
}

// refConn is one session.
type refConn struct {
	*reference
	conn      net.Conn
	r         *bufio.Reader
	tls       bool
	state     pop3.State
	user      string
	timestamp string
	mail      []stored
	marked    map[int]bool
	id        int // of the session, from 1
	bad       int
	pending   bool // AUTH waits for a response
	done      bool
}

// faults gives the mutation, if it applies to the session.
func (c *refConn) faults() mutation {
	if c.id == 1 && !c.broken.always {
		return mutation{}
	}
	return c.broken
}

func (c *refConn) is(flag string) bool { return c.faults().flag == flag }

func (r *reference) serve(conn net.Conn) {
	defer conn.Close()
	r.mu.Lock()
	r.sessions++
	c := &refConn{reference: r, conn: conn, id: r.sessions, marked: map[int]bool{}, timestamp: fmt.Sprintf("<1.%d@localhost>", r.sessions)}
	r.mu.Unlock()
	defer c.release()
	if r.mode == Implicit && !c.handshake() {
		return
	}
	c.r = bufio.NewReaderSize(c.conn, 16*1024)
	c.answer("GREETING", "", "+OK ready "+c.timestamp+"\r\n")
	for !c.done {
		line, err := c.line()
		text := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
		tooLong := err == bufio.ErrBufferFull || len(text) > 253 && !c.pending && !strings.HasPrefix(text, "AUTH")
		switch {
		case tooLong && !c.is("long-lines"):
			c.answer("TOO-LONG", "", "-ERR line too long\r\n")
			return
		case err != nil && !tooLong:
			if c.is("delete-on-drop") || c.is("quit-without-end") && text == "QUIT" {
				c.update()
			}
			return
		case c.pending:
			c.pending = false
			c.answer("RESPONSE", text, c.response(text))
			continue
		}
		verb, arg, given := strings.Cut(text, " ")
		if !c.is("case") {
			verb = strings.ToUpper(verb)
		}
		if given && arg == "" && (verb == "LIST" || verb == "UIDL") {
			arg = " "
		}
		if instead := c.faults().instead[verb]; instead != nil {
			c.answer(verb, arg, instead(c, arg))
			continue
		}
		c.answer(verb, arg, c.command(verb, arg))
	}
}

// line reads a line; a server that takes segments for lines is broken.
func (c *refConn) line() ([]byte, error) {
	if !c.is("segments") {
		return c.r.ReadSlice('\n')
	}
	b := make([]byte, 1024)
	n, err := c.r.Read(b)
	return b[:n], err
}

func (c *refConn) answer(verb, arg, answer string) {
	if after := c.faults().after[verb]; after != nil {
		answer = after(c, arg, answer)
	}
	c.conn.Write([]byte(answer))
	if verb == "STLS" && strings.HasPrefix(answer, "+OK") && !c.tls {
		behind, _ := c.r.Peek(c.r.Buffered())
		if len(behind) > 0 && !c.is("stls-keeps-input") {
			c.done = true
			return
		}
		injected := string(behind)
		if !c.handshake() {
			c.done = true
			return
		}
		c.r = bufio.NewReaderSize(c.conn, 16*1024)
		if injected != "" {
			c.r = bufio.NewReaderSize(&joined{strings.NewReader(injected), c.conn}, 16*1024)
		}
		if !c.is("stls-keeps-user") {
			c.user = ""
		}
	}
}

// joined reads one source and then another.
type joined struct {
	first *strings.Reader
	then  net.Conn
}

func (j *joined) Read(p []byte) (int, error) {
	if j.first.Len() > 0 {
		return j.first.Read(p)
	}
	return j.then.Read(p)
}

func (c *refConn) handshake() bool {
	conn := tls.Server(c.conn, c.config)
	if conn.Handshake() != nil {
		return false
	}
	c.conn, c.tls = conn, true
	return true
}

const refused = "-ERR refused\r\n"

// command answers in the AUTHORIZATION state, and by transaction in the other.
func (c *refConn) command(verb, arg string) string {
	early := c.state == pop3.Authorization
	switch {
	case verb == "CAPA":
		return c.capa()
	case verb == "UTF8" && arg == "", verb == "LANG" && arg == "*":
		return "+OK\r\n"
	case verb == "LANG" && arg == "":
		return "+OK\r\nen English\r\n.\r\n"
	case verb == "QUIT" && arg == "":
		c.done = true
		if !early && !c.update() {
			return refused
		}
		return "+OK bye\r\n"
	case !early:
		return c.transaction(verb, arg)
	case verb == "STLS" && arg == "" && !c.tls && c.mode == STLS:
		return "+OK begin\r\n"
	case verb == "USER" && arg != "":
		c.user = arg
		return "+OK\r\n"
	case verb == "PASS" && c.user != "":
		return c.login(c.user, arg)
	case verb == "PASS":
		return "-ERR USER first\r\n"
	case verb == "APOP":
		name, digest, _ := strings.Cut(arg, " ")
		if name != TestUser || !pop3.CheckAPOP(c.timestamp, TestPassword, digest) {
			return "-ERR [AUTH] wrong\r\n"
		}
		return c.login(name, TestPassword)
	case verb == "AUTH":
		return c.auth(arg)
	case slices.Contains([]string{"STAT", "LIST", "RETR", "DELE", "RSET", "TOP", "UIDL", "NOOP"}, verb):
		return "-ERR log in first\r\n"
	}
	c.bad++
	c.done = c.bad == 3
	return "-ERR unknown\r\n"
}

func (c *refConn) capa() string {
	list := "+OK\r\nTOP\r\nUIDL\r\nUSER\r\nSASL PLAIN\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nUTF8\r\nLANG\r\n"
	if c.mode == STLS && !c.tls {
		list += "STLS\r\n"
	}
	return list + ".\r\n"
}

func (c *refConn) auth(arg string) string {
	mechanism, initial, given := strings.Cut(arg, " ")
	switch {
	case arg == "":
		return "+OK\r\nPLAIN\r\n.\r\n"
	case !strings.EqualFold(mechanism, "PLAIN"):
		return refused
	case !given:
		c.pending = true
		return "+ \r\n"
	case initial == "=":
		initial = ""
	}
	return c.response(initial)
}

func (c *refConn) response(text string) string {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if c.is("loose-base64") {
		text = strings.TrimRight(strings.ReplaceAll(text, "\t", ""), "=")
		b, err = base64.RawStdEncoding.DecodeString(text)
	}
	fields := strings.Split(string(b), "\x00")
	if text == "*" || err != nil || len(fields) != 3 {
		return refused
	}
	return c.login(fields[1], fields[2])
}

func (c *refConn) login(name, password string) string {
	if c.is("trims") {
		password = strings.TrimSpace(password)
	}
	if name != TestUser || password != TestPassword {
		if name != TestUser && c.is("tells") {
			return "-ERR [AUTH] no such user\r\n"
		}
		return "-ERR [AUTH] wrong\r\n"
	}
	c.reference.mu.Lock()
	defer c.reference.mu.Unlock()
	if c.held && !c.is("no-lock") {
		return "-ERR [IN-USE] locked\r\n"
	}
	c.held, c.state, c.mail = true, pop3.Transaction, slices.Clone(c.reference.mail)
	return "+OK welcome\r\n"
}

func (c *refConn) release() {
	c.reference.mu.Lock()
	defer c.reference.mu.Unlock()
	if c.state != pop3.Authorization && !c.is("lock-stays") {
		c.held = false
	}
}

// update deletes what is marked.
func (c *refConn) update() bool {
	c.reference.mu.Lock()
	defer c.reference.mu.Unlock()
	var left []stored
	for i, m := range c.mail {
		if !c.marked[i+1] {
			left = append(left, m)
		}
	}
	c.reference.mail = left
	return true
}

// number reads a message number.
func (c *refConn) number(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	switch {
	case c.is("wraps"):
		u, _ := strconv.ParseFloat(s, 64)
		n, err = int(uint32(uint64(u))), nil
		if u >= 1<<63 { // as arithmetic on 64 bits would have it
			n = 1
		}
	case c.is("garbage"):
		n, err = strconv.Atoi(strings.TrimRight(s, "x"))
	case c.is("negative"):
		n, err = strconv.Atoi(strings.TrimLeft(s, "-"))
	case c.is("zero") && s == "0":
		n = 1
	case c.is("past"):
		n = min(n, len(c.mail))
	}
	return n, err == nil && n >= 1 && n <= len(c.mail) && !c.marked[n]
}
