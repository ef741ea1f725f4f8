package pop3test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// call is what a command of a transcript stands for on a client: the method
// of pop3client.Client, and how its result is compared with the reply.
type call struct {
	verb  string
	args  []string
	reply []step // the lines S that answer it
	err   string // of "! error"
}

// canonical is how many arguments the commands have that a client sends.
// Optional ones make a method of their own.
var canonical = map[string][]int{
	"USER": {1}, "PASS": {1}, "APOP": {2}, "CAPA": {0}, "STLS": {0}, "STAT": {0}, "LIST": {0, 1}, "UIDL": {0, 1},
	"RETR": {1}, "TOP": {2}, "DELE": {1}, "NOOP": {0}, "RSET": {0}, "UTF8": {0}, "LANG": {0, 1}, "QUIT": {0}, "AUTH": {2},
}

// newCall reads a command. Ok is false where it is none that the client would
// send in this form.
func newCall(st step) (c call, ok bool) {
	text, err := unescape(st.text)
	if st.kind != ':' || err != nil || bytes.ContainsAny(text, "\r\n\x00") || len(text) > 253 {
		return c, false
	}
	fields := strings.Split(string(text), " ")
	c = call{verb: fields[0], args: fields[1:]}
	if c.verb == "USER" || c.verb == "PASS" {
		c.args = strings.SplitN(string(text), " ", 2)[1:]
	}
	if !slices.Contains(canonical[c.verb], len(c.args)) || slices.Contains(c.args, "") {
		return c, false
	}
	switch c.verb {
	case "LIST", "UIDL", "RETR", "TOP", "DELE":
		for i, arg := range c.args {
			n, err := strconv.Atoi(arg)
			if err != nil || strconv.Itoa(n) != arg || n < 1-i || n > pop3.MaxMessages {
				return c, false
			}
		}
	case "APOP":
		return c, strings.HasPrefix(c.args[1], "{apop:") && strings.HasSuffix(c.args[1], "}")
	case "AUTH":
		_, err := plain(c.args[1])
		return c, c.args[0] == "PLAIN" && err == nil
	}
	return c, true
}

// plain takes a response of PLAIN apart.
func plain(encoded string) (fields []string, err error) {
	b, err := base64.StdEncoding.DecodeString(encoded)
	fields = strings.Split(string(b), "\x00")
	if err == nil && len(fields) != 3 {
		err = errors.New("no response of PLAIN")
	}
	return fields, err
}

// expected is a reply, read from the script.
type expected struct {
	ok      bool
	code    pop3.Code
	text    string
	lines   []string // of a multi-line reply, dots unstuffed
	content string   // the same as octets
	whole   bool     // up to the terminator
}

// read gives the reply as the scripted server sends it.
func (c *call) read(n *names) expected {
	var all []byte
	for _, st := range c.reply {
		all = append(all, n.render(st)...)
	}
	status, rest, _ := strings.Cut(string(all), "\r\n")
	var e expected
	if e.ok = strings.HasPrefix(status, "+OK"); e.ok {
		e.text = strings.TrimPrefix(status[3:], " ")
	} else if text, ok := strings.CutPrefix(status, "-ERR"); ok {
		e.code, e.text = pop3.CutCode(strings.TrimPrefix(text, " "))
	}
	for line := range strings.SplitAfterSeq(rest, "\r\n") {
		if line == ".\r\n" {
			e.whole = true
			break
		}
		line = strings.TrimPrefix(line, ".")
		e.content += line
		e.lines = append(e.lines, strings.TrimSuffix(line, "\r\n"))
	}
	return e
}

// refused reports whether the reply is -ERR.
func (c *call) refused() bool { return len(c.reply) > 0 && !c.read(&names{}).ok }

// complete reports whether the reply ends where the client expects its end.
func (c *call) complete() bool {
	e := c.read(&names{})
	switch c.verb {
	case "RETR", "TOP", "CAPA":
		return !e.ok && len(c.reply) > 0 || e.whole
	case "LIST", "UIDL", "LANG":
		return len(c.reply) > 0 && (!e.ok || len(c.args) == 1) || e.whole
	}
	return len(c.reply) > 0
}

// errWrong says that the client took something else for the reply than it is.
var errWrong = errors.New("wrong result")

// same compares a result with what the reply says.
func same[T any](err error, got T, want ...any) error {
	if err != nil {
		return err
	}
	if g, w := fmt.Sprint(got), strings.TrimSuffix(fmt.Sprintln(want...), "\n"); g != w {
		return fmt.Errorf("%w: got %s, want %s", errWrong, g, w)
	}
	return nil
}

// do makes the call, and compares its result with what the reply says. The
// error of the call itself is returned as it is.
func (c *call) do(ctx context.Context, client *pop3client.Client, e expected) error {
	switch c.verb {
	case "USER":
		return client.User(ctx, c.args[0])
	case "PASS":
		return client.Pass(ctx, c.args[0])
	case "APOP":
		return client.Apop(ctx, c.args[0], strings.TrimSuffix(strings.TrimPrefix(c.args[1], "{apop:"), "}"))
	case "AUTH":
		fields, _ := plain(c.args[1]) // checked by newCall
		return client.Auth(ctx, sasl.NewPlainClient(fields[0], fields[1], fields[2]))
	case "STAT":
		stat, err := client.Stat(ctx)
		return same(err, string(stat.Append(nil)), e.text)
	case "RETR", "TOP":
		return c.message(ctx, client, e)
	case "DELE":
		return client.Dele(ctx, c.number(0))
	case "NOOP":
		return client.Noop(ctx)
	case "RSET":
		return client.Rset(ctx)
	case "UTF8":
		return client.UTF8(ctx)
	case "QUIT":
		return client.Quit(ctx)
	}
	return c.list(ctx, client, e)
}

// list makes the calls that give a list, or one element of it.
func (c *call) list(ctx context.Context, client *pop3client.Client, e expected) error {
	one := len(c.args) == 1
	var got []string
	var err error
	switch {
	case c.verb == "LIST" && one:
		l, err := client.ListOne(ctx, c.number(0))
		return same(err, string(l.Append(nil)), e.text)
	case c.verb == "UIDL" && one:
		u, err := client.UidlOne(ctx, c.number(0))
		return same(err, string(u.Append(nil)), e.text)
	case c.verb == "LANG" && one:
		l, err := client.Lang(ctx, c.args[0])
		tag, _, _ := strings.Cut(e.text, " ")
		return same(err, l.Tag, tag)
	case c.verb == "LIST":
		var all []pop3.Listing
		all, err = client.List(ctx)
		for _, l := range all {
			got = append(got, string(l.Append(nil)))
		}
	case c.verb == "UIDL":
		var all []pop3.UID
		all, err = client.Uidl(ctx)
		for _, u := range all {
			got = append(got, string(u.Append(nil)))
		}
	case c.verb == "CAPA":
		var all pop3.Capabilities
		all, err = client.Capa(ctx)
		for _, capability := range all {
			got = append(got, capability.String())
		}
	case c.verb == "LANG":
		var all []pop3.Language
		all, err = client.Langs(ctx)
		for _, l := range all {
			got = append(got, strings.TrimSpace(l.Tag+" "+l.Description))
		}
	}
	return same(err, got, e.lines)
}

// message reads a message and compares it octet by octet.
func (c *call) message(ctx context.Context, client *pop3client.Client, e expected) error {
	var m *pop3client.Message
	var err error
	if c.verb == "RETR" {
		m, err = client.Retr(ctx, c.number(0))
	} else {
		m, err = client.Top(ctx, c.number(0), c.number(1))
	}
	if err != nil {
		return err
	}
	got, err := io.ReadAll(m)
	if !strings.HasPrefix(e.content, string(got)) || err == nil && len(got) < len(e.content) {
		return fmt.Errorf("%w: got %s, want %s", errWrong, show(got), show([]byte(e.content)))
	}
	return err
}

func (c *call) number(i int) int {
	n, _ := strconv.Atoi(c.args[i]) // checked by newCall
	return n
}

// judge compares the error of the call with what the reply calls for.
func (c *call) judge(err error, e expected) error {
	var reply *pop3.Error
	refused := errors.As(err, &reply)
	switch {
	case errors.Is(err, errWrong):
		return err
	case c.err != "":
		var broken *pop3client.ProtocolError
		right := err != nil && !refused
		switch c.err {
		case "eof":
			right = errors.Is(err, io.ErrUnexpectedEOF)
		case "protocol":
			right = errors.As(err, &broken)
		}
		if !right {
			return fmt.Errorf("want error %q, got %v", c.err, err)
		}
	case e.ok && err != nil:
		return fmt.Errorf("want success, got: %w", err)
	case !e.ok && (!refused || reply.Code != e.code || reply.Text != e.text):
		return fmt.Errorf("want the reply [%s] %q as an error, got %v", e.code, e.text, err)
	}
	return nil
}
