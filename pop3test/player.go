package pop3test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Player says how a script is played. Its zero value sends each block of
// lines in one write and at once.
type Player struct {
	Split    Split         // how writes are cut; zero: as Whole
	Delay    time.Duration // before each write
	CutAfter int           // close the connection once so many octets were sent; 0: never
	Timeout  time.Duration // for each wait for the other side; 0: one minute
	UIDs     []string      // what {uid:N} stands for, from message 1
	TLS      *tls.Config   // for "! tls"
}

// ErrDirective is the error for a directive that concerns the maildrop, where
// a script is played on one connection alone.
var ErrDirective = errors.New("directive needs a maildrop: use RunServer")

// PlayServer plays the server's side of the script on conn: it sends the
// lines S and expects the lines C, octet for octet. It closes conn, also
// where ctx ends. The error says which line of the script was not kept to.
func (s *Script) PlayServer(ctx context.Context, conn net.Conn, p Player) error {
	return s.play(ctx, conn, p, 'S')
}

// PlayClient plays the client's side of the script on conn: it sends the
// lines C and expects the lines S. It closes conn, also where ctx ends. The
// error says which line of the script was not kept to.
func (s *Script) PlayClient(ctx context.Context, conn net.Conn, p Player) error {
	return s.play(ctx, conn, p, 'C')
}

func (s *Script) play(ctx context.Context, conn net.Conn, p Player, side byte) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	r := &run{side: side, player: p}
	r.open("1", conn)
	err := r.play(ctx, s.steps)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// run is one play of a script by one side.
type run struct {
	side   byte
	player Player
	// For scripts of several connections, and those that have to do with the
	// maildrop: nil where there is one connection and no more.
	dial  func(ctx context.Context) (net.Conn, error)
	store *stage
	// secure says that connections begin in TLS.
	secure bool

	links map[string]*link
	order []*link
	cur   *link
	block []byte // to be sent with the next flush
	due   []step // what is expected then
}

// open makes a connection the current one.
func (r *run) open(name string, conn net.Conn) {
	if r.player.Split.cut == nil {
		r.player.Split = Whole()
	}
	if r.links == nil {
		r.links = map[string]*link{}
	}
	n := &names{uids: r.player.UIDs, texts: map[string]string{}}
	if r.store != nil {
		n.uids = r.store.uids
	}
	if r.cur != nil {
		n.texts = r.cur.names.texts
	}
	r.cur = &link{conn: conn, player: r.player, names: n, secure: r.secure}
	r.links[name] = r.cur
	r.order = append(r.order, r.cur)
}

// play goes through the steps. What is to be sent is gathered until a reply
// is due, or longer where the split joins blocks.
func (r *run) play(ctx context.Context, steps []step) error {
	for i, st := range steps {
		var err error
		begins := i == 0 || steps[i-1].side != st.side // a block
		switch {
		case st.side == '!':
			if err = r.flush(ctx); err == nil {
				err = r.directive(ctx, st)
			}
		case st.side == r.side:
			if begins && len(r.due) > 0 && (r.side == 'S' || st.waits() || !r.player.Split.join()) {
				err = r.flush(ctx)
			}
			r.block = append(r.block, r.cur.names.render(st)...)
		default:
			if r.side == 'S' && len(r.block) > 0 {
				err = r.flush(ctx)
			}
			r.due = append(r.due, st)
		}
		if err != nil {
			return err
		}
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	return r.ends()
}

// waits reports whether a line of the client can only be sent when the
// greeting has come.
func (s step) waits() bool { return strings.Contains(s.text, "{apop:") }

// flush begins to send what was gathered and takes what is due for it. For a
// server there is only one of them.
func (r *run) flush(ctx context.Context) error {
	block, due := r.block, r.due
	r.block, r.due = nil, nil
	l := r.cur
	if err := l.send(ctx, block); err != nil {
		return err
	}
	for i := 0; i < len(due); i++ {
		var err error
		if k := due[i].kind; k == '+' || k == '-' {
			n := list(due[i:])
			err = l.list(due[i : i+n])
			i += n
		} else {
			err = l.expect(due[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// list counts the steps S+ and S- that steps begins with; one "S: ." follows.
func list(steps []step) int {
	n := 0
	for n < len(steps) && (steps[n].kind == '+' || steps[n].kind == '-') {
		n++
	}
	return n
}

// list takes a list up to its terminator and looks for what the steps say of it.
func (l *link) list(steps []step) error {
	var lines [][][]byte
	for {
		line, err := l.line()
		if err != nil {
			return fmt.Errorf("line %d: want %s, got a list without end: %w", steps[0].line, steps[0], err)
		}
		line, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok {
			return fmt.Errorf("line %d: %s ends in bare LF", steps[0].line, show(line))
		}
		if string(line) == "." {
			break
		}
		lines = append(lines, bytes.Fields(line))
	}
	for _, st := range steps {
		found := false
		for _, words := range lines {
			found = found || has(words, st.args)
		}
		if found != (st.kind == '+') {
			return fmt.Errorf("line %d: want %s, got %q", st.line, st, lines)
		}
	}
	return nil
}

// has reports whether a line has the first word of want, and among its other
// words the others.
func has(words [][]byte, want []string) bool {
	if len(words) == 0 || string(words[0]) != want[0] {
		return false
	}
	for _, w := range want[1:] {
		found := false
		for _, word := range words[1:] {
			found = found || string(word) == w
		}
		if !found {
			return false
		}
	}
	return true
}
