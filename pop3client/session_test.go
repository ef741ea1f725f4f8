package pop3client

import (
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/poplin-mail/poplin/pop3"
)

// A whole session, command by command (RFC 1939 section 10).
func TestSession(t *testing.T) {
	c := connect(t, `
		C: USER mrose
		S: +OK
		C: PASS tan staaf
		S: +OK logged in
		C: CAPA
		S: +OK
		S: TOP
		S: PIPELINING
		S: EXPIRE NEVER
		S: .
		C: STAT
		S: +OK 2 320
		C: LIST
		S: +OK 2 messages
		S: 2 200
		S: 1 120
		S: .
		C: LIST 2
		S: +OK 2 200
		C: UIDL
		S: +OK
		S: 1 whqtswO00WBw418f9t5JxYwZ
		S: 2 QhdPYR:00WBw1Ph7x7
		S: .
		C: UIDL 2
		S: +OK 2 QhdPYR:00WBw1Ph7x7
		C: RETR 1
		S: +OK 120 octets
		S: Subject: dots
		S:
		S: ..
		S: ...two
		S: .
		C: TOP 1 0
		S: +OK
		S: Subject: dots
		S:
		S: .
		C: LANG
		S: +OK
		S: en English
		S: .
		C: LANG en
		S: +OK en English text follows
		C: UTF8
		S: +OK
		C: NOOP
		S: +OK
		C: DELE 1
		S: +OK
		C: RSET
		S: +OK
		C: DELE 1
		C: DELE 2
		S: +OK
		S: +OK
		C: QUIT
		S: +OK bye
	`)
	ctx := t.Context()
	must(t, c.User(ctx, "mrose"))
	must(t, c.Pass(ctx, "tan staaf"))
	caps, err := c.Capa(ctx)
	if _, never, ok := caps.Expire(); err != nil || !never || !ok || !caps.Has(pop3.CapPipelining) {
		t.Errorf("Capa gives %v, %v", caps, err)
	}
	check := func(what string, got any, err error, want any) {
		t.Helper()
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s gives %v, %v, want %v", what, got, err, want)
		}
	}
	stat, err := c.Stat(ctx)
	check("Stat", stat, err, pop3.Stat{Messages: 2, Octets: 320})
	list, err := c.List(ctx)
	check("List", list, err, []pop3.Listing{{Number: 1, Octets: 120}, {Number: 2, Octets: 200}})
	one, err := c.ListOne(ctx, 2)
	check("ListOne", one, err, pop3.Listing{Number: 2, Octets: 200})
	uids, err := c.Uidl(ctx)
	check("Uidl", uids, err, []pop3.UID{{Number: 1, UID: "whqtswO00WBw418f9t5JxYwZ"}, {Number: 2, UID: "QhdPYR:00WBw1Ph7x7"}})
	uid, err := c.UidlOne(ctx, 2)
	check("UidlOne", uid, err, uids[1])
	m, err := c.Retr(ctx, 1)
	must(t, err)
	text, err := io.ReadAll(m)
	check("Retr", string(text), err, "Subject: dots\r\n\r\n.\r\n..two\r\n")
	if m.Number != 1 || m.Size != 120 || m.Octets() != int64(len(text)) {
		t.Errorf("the message is number %d, announced with %d octets, read with %d", m.Number, m.Size, m.Octets())
	}
	m, err = c.Top(ctx, 1, 0)
	must(t, err)
	text, err = io.ReadAll(m)
	check("Top", string(text), err, "Subject: dots\r\n\r\n")
	languages, err := c.Langs(ctx)
	check("Langs", languages, err, []pop3.Language{{Tag: "en", Description: "English"}})
	language, err := c.Lang(ctx, "en")
	check("Lang", language, err, pop3.Language{Tag: "en", Description: "English text follows"})
	must(t, c.UTF8(ctx))
	must(t, c.Noop(ctx))
	must(t, c.Dele(ctx, 1))
	must(t, c.Rset(ctx))
	must(t, c.Dele(ctx, 1, 2))
	must(t, c.Quit(ctx))
	if err := c.Noop(ctx); err != ErrClosed {
		t.Errorf("after Quit: %v, want ErrClosed", err)
	}
	must(t, c.Abort())
	must(t, c.Abort())
}

// All messages, with commands sent ahead as the window allows.
func TestRetrieveAll(t *testing.T) {
	c := connect(t, `
		C: CAPA
		S: +OK
		S: PIPELINING
		S: .
		C: LIST
		C: UIDL
		S: +OK
		S: 1 10
		S: 2 10
		S: 4 3
		S: .
		S: +OK
		S: 1 a
		S: 2 b
		S: 4 c
		S: .
		C: RETR 1
		C: RETR 2
		S: +OK
		S: message1
		S: .
		S: -ERR [SYS/TEMP] not now
		C: RETR 4
		S: +OK
		S: x
		S: .
		C: NOOP
		S: +OK
	`)
	var got []string
	for m, err := range c.RetrieveAll(t.Context(), RetrieveOptions{Window: 2}) {
		if err != nil {
			me, ok := err.(*MessageError)
			if !ok {
				t.Fatal(err)
			}
			wantRefusal(t, err, pop3.SysTemp, "not now")
			got = append(got, fmt.Sprintf("%d %s refused", me.Number, me.UID))
			continue
		}
		text, err := io.ReadAll(m)
		got = append(got, fmt.Sprintf("%d %s %d %q %v", m.Number, m.UID, m.Size, text, err))
	}
	want := []string{`1 a 10 "message1\r\n" <nil>`, "2 b refused", `4 c 3 "x\r\n" <nil>`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	must(t, c.Noop(t.Context()))
}
