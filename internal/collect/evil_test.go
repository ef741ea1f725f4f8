package collect

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/pop3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	user     = "anna"
	password = "geheim-4711"
)

// trick does something instead of the server for a line of the client's, empty
// for the greeting; false leaves it to the server.
type trick func(s *session, line string) bool

// evil is a POP3 server that is good but for its trick, and notes all that it
// hears.
type evil struct {
	testing.TB
	port     string
	security string
	tls      *tls.Config
	caps     string // besides what it always has
	serve    func() // newReader calls it: until then the fields can be changed

	mu    sync.Mutex
	trick trick // nil: it is good
	heard bytes.Buffer
	mail  []*letter
	conns map[net.Conn]bool
	all   sync.WaitGroup
}

const goodCaps = "PIPELINING\r\nSASL PLAIN\r\nUSER\r\n"

// letter is a message on the server, with LF.
type letter struct {
	uid, text string
	size      string // in LIST; empty: the true one
	gone      bool
}

func (l *letter) wire() string {
	return strings.ReplaceAll(strings.ReplaceAll("\n"+l.text, "\n.", "\n.."), "\n", "\r\n")[2:]
}

// newEvil starts a server with so many messages.
func newEvil(t testing.TB, security string, messages int, does trick) *evil {
	server, _ := pop3test.TLSConfigs()
	e := &evil{TB: t, security: security, tls: server, trick: does, conns: make(map[net.Conn]bool), caps: goodCaps}
	for i := range messages {
		e.mail = append(e.mail, &letter{uid: fmt.Sprint("uid-", i+1),
			text: fmt.Sprintf("Message-ID: <%d@example.org>\nSubject: letter %d\n\n.dots\n%s", i+1, i+1, strings.Repeat("text\n", 1+i))})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, e.port, _ = net.SplitHostPort(l.Addr().String())
	e.serve = sync.OnceFunc(func() { e.all.Go(func() { e.accept(l) }) })
	t.Cleanup(func() {
		l.Close()
		e.mu.Lock()
		for c := range e.conns {
			c.Close()
		}
		e.mu.Unlock()
		e.all.Wait()
	})
	return e
}

func (e *evil) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		e.mu.Lock()
		e.conns[conn] = true
		e.mu.Unlock()
		e.all.Go(func() {
			s := &session{e: e, tcp: conn.(*net.TCPConn), conn: conn}
			s.serve()
			conn.Close()
		})
	}
}

// session is a connection of the server's.
type session struct {
	e      *evil
	tcp    *net.TCPConn
	conn   net.Conn // tcp, or TLS over it
	r      *bufio.Reader
	user   string
	marked []*letter
	over   bool
}

func (s *session) serve() {
	if s.e.security == config.TLS && !s.secure() {
		return
	}
	s.r = bufio.NewReader(s.conn)
	for line := ""; ; {
		s.e.mu.Lock()
		does := s.e.trick
		s.e.mu.Unlock()
		if does == nil || !does(s, line) {
			s.answer(line)
		}
		if s.over {
			return
		}
		text, err := s.r.ReadString('\n')
		s.e.mu.Lock()
		s.e.heard.WriteString(text)
		s.e.mu.Unlock()
		if err != nil {
			return
		}
		line = strings.TrimSuffix(text, "\r\n")
	}
}

func (s *session) secure() bool {
	secured := tls.Server(s.conn, s.e.tls)
	s.conn = secured
	s.r = bufio.NewReader(secured)
	return secured.HandshakeContext(s.e.Context()) == nil
}

// say writes; what cannot be written the client does not want.
func (s *session) say(texts ...string) { io.WriteString(s.conn, strings.Join(texts, "")) }

// Ways to end a connection.
var ends = map[string]func(*session){
	"FIN": func(s *session) { // with the farewell of TLS, where there is TLS
		if t, ok := s.conn.(*tls.Conn); ok {
			t.CloseWrite()
		}
		s.tcp.CloseWrite()
		io.Copy(io.Discard, s.tcp)
	},
	"no close_notify": func(s *session) {
		s.tcp.CloseWrite()
		io.Copy(io.Discard, s.tcp)
	},
	"RST": func(s *session) {
		s.tcp.SetLinger(0)
		s.tcp.Close()
	},
	"silence": func(s *session) { io.Copy(io.Discard, s.tcp) },
}

func (s *session) end(how string) bool {
	ends[how](s)
	s.over = true
	return true
}

// answer is what a good server does.
func (s *session) answer(line string) {
	verb, args, _ := strings.Cut(line, " ")
	switch s.e.mu.Lock(); verb {
	case "":
		s.say("+OK ready\r\n")
	case "CAPA":
		more := s.e.caps
		if s.e.security == config.STLS {
			more += "STLS\r\n"
		}
		s.say("+OK\r\nTOP\r\nUIDL\r\n", more, ".\r\n")
	case "STLS":
		s.say("+OK\r\n")
		s.e.mu.Unlock()
		s.secure()
		return
	case "AUTH":
		s.right(args == "PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)))
	case "USER":
		s.user = args
		s.say("+OK\r\n")
	case "PASS":
		s.right(s.user == user && args == password)
	case "LIST", "UIDL":
		s.say("+OK\r\n", s.e.lines(verb), ".\r\n")
	case "RETR", "TOP":
		l := s.e.letter(args)
		text := l.wire()
		if verb == "TOP" {
			text, _, _ = strings.Cut(text, "\r\n\r\n")
			text += "\r\n\r\n"
		}
		s.say("+OK\r\n", text, ".\r\n")
	case "DELE":
		s.marked = append(s.marked, s.e.letter(args))
		s.say("+OK\r\n")
	case "QUIT":
		for _, l := range s.marked {
			l.gone = true
		}
		s.say("+OK\r\n")
		s.over = true
	default:
		s.say("+OK\r\n")
	}
	s.e.mu.Unlock()
}

func (s *session) right(yes bool) {
	if yes {
		s.say("+OK\r\n")
	} else {
		s.say("-ERR [AUTH] no\r\n")
	}
}

// present gives what is not deleted. The caller holds mu.
func (e *evil) present() []*letter {
	return slices.DeleteFunc(slices.Clone(e.mail), func(l *letter) bool { return l.gone })
}

// lines makes the lines of LIST or UIDL.
func (e *evil) lines(verb string) string {
	var b strings.Builder
	for i, l := range e.present() {
		what := l.uid
		if verb == "LIST" {
			if what = l.size; what == "" {
				what = fmt.Sprint(len(strings.ReplaceAll(l.text, "\n", "\r\n")))
			}
		}
		fmt.Fprintf(&b, "%d %s\r\n", i+1, what)
	}
	return b.String()
}

func (e *evil) letter(args string) *letter {
	n := 0
	fmt.Sscan(args, &n)
	if all := e.present(); n >= 1 && n <= len(all) {
		return all[n-1]
	}
	return &letter{uid: "none", text: "Subject: none\n\n"}
}

// mends makes the server good.
func (e *evil) mends() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.trick, e.caps = nil, goodCaps
	for i, l := range e.mail {
		l.uid, l.size = fmt.Sprint("uid-", i+1), ""
	}
}

// left counts the messages on the server.
func (e *evil) left() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.present())
}

// hears gives what was received so far.
func (e *evil) hears() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard.String()
}
