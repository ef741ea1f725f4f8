package pop3test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// clientStep is a step of a client's session: a call, or a directive.
type clientStep struct {
	call      *call
	directive []string
	line      int
}

// calls gives a script as the calls of a client. Ok is false where it holds
// what no client would send, several commands in one segment, or connections
// side by side.
func (s *Script) calls() (steps []clientStep, ok bool) {
	var last *call
	known := false // what CAPA says, which AUTH would ask for
	for i, st := range s.steps {
		switch {
		case i == 0 && st.side == 'S':
		case st.side == 'S' && last != nil:
			last.reply = append(last.reply, st)
		case st.side == '!' && st.args[0] == "session", st.side == 'S':
			return nil, false
		case st.side == '!' && st.args[0] == "error" && last != nil:
			last.err = st.args[1]
		case st.side == '!':
			if last != nil && last.err == "" && !last.complete() {
				if st.args[0] != "server cuts" {
					return nil, false
				}
				last.err = "eof"
			}
			if last != nil && last.verb == "STLS" && last.refused() && !strings.HasPrefix(st.args[0], "client ") {
				return nil, false
			}
			steps = append(steps, clientStep{directive: st.args, line: st.line})
		default:
			c, ok := newCall(st)
			if !ok || i == 0 || s.steps[i-1].side == 'C' || last != nil && last.verb == "STLS" && last.refused() || c.verb == "AUTH" && !known {
				return nil, false
			}
			known = c.verb == "CAPA" || known && c.verb != "STLS"
			last = &c
			steps = append(steps, clientStep{call: last, line: st.line})
		}
	}
	return steps, len(s.steps) > 0 && s.steps[0].side == 'S'
}

// RunClient runs the transcripts of a folder against package pop3client, with
// a scripted server: in one write a reply, one octet at a time, with each
// single cut where they are short, at random, and broken off behind each
// octet. Every reply must come out of the client as it was sent: numbers,
// lists, messages octet by octet, errors with their response code. A
// transcript that holds what no client would send is left to RunServer. It
// returns how many transcripts were run.
func RunClient(t *testing.T, transcripts fs.FS) int {
	cases, err := Load(transcripts)
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("random splits from seed %d", seed)
	count := 0
	for _, c := range cases {
		if _, ok := c.Script.calls(); !ok || c.Options.ServerOnly {
			if c.Options.ClientOnly {
				t.Errorf("%s: is no session of a client", c.Name)
			}
			continue
		}
		count++
		t.Run(c.Name, func(t *testing.T) {
			for _, p := range c.players(seed) {
				if err := c.RunClient(t, p); err != nil {
					t.Fatalf("%s\nsent %s, cut behind octet %d: %v", c.About, p.Split.Name, p.CutAfter, err)
				}
			}
		})
	}
	return count
}

// players lists the ways in which a case is run against the client.
func (c *Case) players(seed uint64) []Player {
	splits := []Split{Whole(), Random(seed), Random(seed + 1), Random(seed + 2), Random(seed + 3)}
	n := c.Script.octets('S')
	if n <= 4096 {
		splits = append(splits, Octets())
	}
	var all []Player
	if n <= shortSession*4 {
		for k := 1; k < n; k++ {
			splits = append(splits, At(k))
			all = append(all, Player{Split: Whole(), CutAfter: k})
		}
	}
	for _, split := range splits {
		all = append(all, Player{Split: split})
	}
	return all
}

// RunClient plays one case against the client in one way. With CutAfter the
// connection ends there: each call must give the right result or an error.
func (c *Case) RunClient(t *testing.T, p Player) (err error) {
	synctest.Test(t, func(t *testing.T) { err = c.runClient(t.Context(), p, c.Script) })
	return err
}

// runClient makes the calls of the case while the server plays the script
// served: another one only where a test wants to see it noticed.
func (c *Case) runClient(ctx context.Context, p Player, served *Script) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	serverTLS, clientTLS := TLSConfigs()
	p.TLS, p.Timeout = serverTLS, bubbleTimeout
	for i := range append(c.Messages, c.Later...) {
		p.UIDs = append(p.UIDs, fmt.Sprintf("uid-%d", i+1))
	}
	clientEnd, serverEnd := net.Pipe()
	played := make(chan error, 1)
	go func() {
		conn := net.Conn(serverEnd)
		if c.Options.ImplicitTLS {
			conn = tls.Server(conn, serverTLS)
		}
		played <- served.PlayServer(ctx, conn, p)
	}()
	conn := net.Conn(clientEnd)
	if c.Options.ImplicitTLS {
		conn = tls.Client(conn, clientTLS)
	}
	defer clientEnd.Close()
	callErr := c.clientSession(ctx, conn, clientTLS, p)
	clientEnd.Close()
	playErr := <-played
	if p.CutAfter > 0 {
		if errors.Is(callErr, errBroken) {
			return nil // what the player meets then is not in the script
		}
		return callErr
	}
	return errors.Join(playErr, callErr)
}

// clientSession makes the calls of the script.
func (c *Case) clientSession(ctx context.Context, conn net.Conn, config *tls.Config, p Player) error {
	// Generous, so that only the peer's own timing counts.
	options := &pop3client.Options{InsecureAuth: true, TLSConfig: config, Timeout: bubbleTimeout}
	client, err := pop3client.New(ctx, conn, options)
	greeting := call{reply: c.Script.steps[:1]}
	if len(c.Script.steps) > 1 && c.Script.steps[1].side == '!' && c.Script.steps[1].args[0] == "error" {
		greeting.err = c.Script.steps[1].args[1]
	}
	n := &names{uids: p.UIDs, texts: map[string]string{}}
	if judged := greeting.outcome(err, greeting.read(n), p); judged != nil || err != nil {
		return judged
	}
	defer client.Abort()
	steps, _ := c.Script.calls() // checked by RunClient
	for _, st := range steps {
		if err := st.run(ctx, client, config, n, p); err != nil {
			return fmt.Errorf("line %d: %w", st.line, err)
		}
	}
	return nil
}

// errBroken says that a call failed as a broken connection has it fail.
var errBroken = errors.New("connection broken off")

func (st clientStep) run(ctx context.Context, client *pop3client.Client, config *tls.Config, n *names, p Player) error {
	if st.call == nil {
		switch st.directive[0] {
		case "client closes", "client cuts":
			return client.Abort()
		case "wait":
			d, _ := time.ParseDuration(st.directive[1]) // checked by ParseScript
			return pause(ctx, d)
		}
		return nil
	}
	e := st.call.read(n)
	var err error
	if st.call.verb == "STLS" {
		err = client.STLS(ctx, config)
	} else {
		err = st.call.do(ctx, client, e)
	}
	return st.call.outcome(err, e, p)
}

// outcome is judge for a connection that may have been cut.
func (c *call) outcome(err error, e expected, p Player) error {
	var reply *pop3.Error
	if p.CutAfter > 0 && err != nil && !errors.Is(err, errWrong) && !errors.As(err, &reply) {
		return errBroken
	}
	return c.judge(err, e)
}
