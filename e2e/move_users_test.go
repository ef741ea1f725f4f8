package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// moveUser is a user whose mail is moved, and the ledger of that. Only one
// goroutine uses it at a time.
type moveUser struct {
	bed  *moveBed
	name string
	rng  *rand.Rand

	byName  map[string]*moved // by subject
	byUID   map[string]*moved // those whose unique-id is known
	listed  map[string]bool   // unique-ids that a session has listed, and none has deleted
	deleted map[string]bool   // unique-ids that QUIT has deleted
	unsure  map[string]bool   // unique-ids of a QUIT that was not answered with +OK

	sessions, busy, refused int
}

// moved is a message. Of one that the server delivered, what it put before it,
// and the unique-id, are known once it was retrieved.
type moved struct {
	letter
	uid  string
	sum  [sha256.Size]byte
	read bool // retrieved
}

func newMoveUser(b *moveBed, name string, rng *rand.Rand) *moveUser {
	return &moveUser{
		bed: b, name: name, rng: rng,
		byName: make(map[string]*moved), byUID: make(map[string]*moved),
		listed: make(map[string]bool), deleted: make(map[string]bool), unsure: make(map[string]bool),
	}
}

// writes makes a letter.
func (u *moveUser) writes() *moved {
	name := fmt.Sprintf("%s %d", u.name, len(u.byName))
	var body strings.Builder
	for range u.rng.IntN(60) {
		body.WriteString(strings.Repeat(".", u.rng.IntN(3)) + strings.Repeat("line ", u.rng.IntN(40)) + "\n")
	}
	if u.rng.IntN(12) == 0 {
		body.WriteString(strings.Repeat("a large message, that it takes a while\n", 1+u.rng.IntN(8_000)))
	}
	if u.rng.IntN(4) == 0 {
		body.WriteString("no line end")
	}
	m := &moved{letter: lf(name, head(name)+"\n"+body.String())}
	u.byName[name] = m
	return m
}

// knows notes the unique-id of a message that is stored as it is.
func (u *moveUser) knows(m *moved, uid string) {
	m.uid, m.sum = uid, sha256.Sum256(m.wire)
	u.byUID[uid] = m
}

// fill puts letters into the source, with unique-ids of several servers, and
// delivers more.
func (u *moveUser) fill(t *testing.T) {
	var letters []*moved
	var list []maildrop.Message
	day := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	for i := range 12 + u.rng.IntN(20) {
		m := u.writes()
		at := day.Add(time.Duration(i) * time.Minute)
		uid := [...]string{
			fmt.Sprintf("%08x65b8e3c1", i),                                     // Dovecot
			fmt.Sprintf("UID%d-1234567", i),                                    // Courier
			fmt.Sprintf("%d.M%06dP7Q1R0123456789ab.host", at.Unix(), i),        // a file's name
			fmt.Sprintf("01HQTB5N0000000000000000%02d", i),                     // like a bucket's
			fmt.Sprintf("%02d%s", i, strings.Repeat("~!/:.", 14)[:68]),         // as long as may be
			fmt.Sprintf("%d.V801I%x.mx,S=1200:2,S", at.Unix(), u.rng.Uint32()), // a file's name, flags and all
		}[u.rng.IntN(6)]
		u.knows(m, uid)
		letters = append(letters, m)
		list = append(list, maildrop.Message{UID: uid, Size: int64(len(m.wire)), Received: at})
	}
	err := func() error {
		d, err := u.bed.source.Open(t.Context(), u.name)
		if err != nil {
			return err
		}
		defer d.Close()
		in, err := d.(maildrop.Importer).Import(t.Context(), list)
		if err != nil {
			return err
		}
		for i, m := range letters {
			if err := in.Put(t.Context(), i, bytes.NewReader(m.wire)); err != nil {
				return err
			}
		}
		return d.(maildrop.Importer).Relist(t.Context())
	}()
	if err != nil {
		t.Errorf("filling the maildrop of %s: %v", u.name, err)
	}
	u.getsInSource(t, 4)
}

// fillAsDovecot puts letters into a Maildir, with the list of unique-ids that
// Dovecot keeps.
func (u *moveUser) fillAsDovecot(t *testing.T) {
	t.Helper()
	box := maildir(filepath.Join(u.bed.dir, "mail", u.name))
	var all []*moved
	var letters []letter
	for range 12 + u.rng.IntN(20) {
		m := u.writes()
		all, letters = append(all, m), append(letters, m.letter)
	}
	box.fill(t, letters, 0)
	list := fmt.Appendf(nil, "3 V1790000000 N%d\n", len(letters)+1)
	for i, path := range box.files(t) {
		name, _, _ := strings.Cut(filepath.Base(path), ":")
		list = fmt.Appendf(list, "%d :%s\n", i+1, name)
		u.knows(all[i], fmt.Sprintf("%08x%08x", i+1, 1790000000))
	}
	if err := os.WriteFile(filepath.Join(string(box), "dovecot-uidlist"), list, 0o600); err != nil {
		t.Fatal(err)
	}
	u.getsInSource(t, 4)
}

// getsInSource delivers into the source, whether users see it or not.
func (u *moveUser) getsInSource(t *testing.T, n int) {
	for range n {
		m := u.writes()
		r, err := u.bed.source.Deliver(t.Context(), u.name, bytes.NewReader(m.stored))
		if err != nil {
			t.Errorf("delivery to %s: %v", u.name, err)
			return
		}
		u.knows(m, r.UID)
	}
}

// gets has `poplin deliver` deliver where users see it.
func (u *moveUser) gets(t *testing.T) {
	m := u.writes()
	cmd := command(t, poplin, "deliver", "--config", u.bed.config, u.name)
	cmd.Stdin = bytes.NewReader(withoutReturnPath(m.letter))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("delivery to %s: %v, %s", u.name, err, out)
	}
}

// comesAndGoes is what happens to a maildrop that is in use.
func (u *moveUser) comesAndGoes(t *testing.T, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(50+u.rng.IntN(600)) * time.Millisecond):
		}
		switch u.rng.IntN(25) {
		case 0:
			u.gets(t)
		case 1, 2:
			u.getsInSource(t, 1+u.rng.IntN(8))
		default:
			u.session(t)
		}
	}
}

// session is one of a mail program that deletes some of what it has.
func (u *moveUser) session(t *testing.T) {
	s := u.bed.server
	s.user = u.name
	c, err := dial(t, s, inClear)
	var refused *pop3.Error
	if errors.As(err, &refused) && refused.Code == pop3.InUse {
		u.busy++
		return
	}
	if err != nil {
		t.Errorf("%s: %v", u.name, err)
		return
	}
	defer c.Abort()
	u.sessions++
	list, err := u.lists(t, c)
	if err != nil {
		t.Errorf("%s: %v", u.name, err)
		return
	}
	deletes := u.rng.IntN(3) > 0
	var marked []string
	for _, l := range list {
		m := u.byUID[l.UID]
		if known := m != nil && m.read; u.rng.IntN(100) < 60 && !known || u.rng.IntN(20) == 0 {
			u.retrieves(t, c, l)
		}
		if m := u.byUID[l.UID]; deletes && m != nil && u.rng.IntN(5) == 0 {
			if err := c.Dele(t.Context(), l.Number); err != nil {
				t.Errorf("%s: %v", u.name, err)
				return
			}
			marked = append(marked, l.UID)
		}
	}
	if u.rng.IntN(8) == 0 {
		return // without QUIT nothing is deleted
	}
	err = c.Quit(t.Context())
	for _, uid := range marked {
		delete(u.listed, uid)
		if err == nil {
			u.deleted[uid] = true
		} else {
			u.unsure[uid] = true
		}
	}
	if err != nil { // on a slow machine a session may lose its lock
		u.refused++
		t.Logf("%s: %v", u.name, err)
	}
}

// lists gives the listing, and checks it against what is known.
func (u *moveUser) lists(t *testing.T, c *pop3client.Client) ([]pop3.UID, error) {
	list, err := c.Uidl(t.Context())
	if err != nil {
		return nil, err
	}
	now := make(map[string]bool, len(list))
	for _, l := range list {
		if now[l.UID] {
			u.bed.fault("a message is listed twice", "%s: %s", u.name, l.UID)
		}
		now[l.UID] = true
		if u.deleted[l.UID] {
			u.bed.fault("a message that was deleted is listed again", "%s: %s", u.name, l.UID)
		}
	}
	for uid := range u.listed {
		if !now[uid] && !u.unsure[uid] {
			u.bed.fault("a message that was listed is gone", "%s: %s", u.name, uid)
		}
	}
	u.listed = now
	for uid := range u.byUID {
		if u.bed.live == u.bed.from && !now[uid] && !u.deleted[uid] && !u.unsure[uid] {
			u.bed.fault("a message is missing in the source", "%s: %s", u.name, uid)
		}
	}
	return list, nil
}

// retrieves gets a message and compares it with the one that was put in.
func (u *moveUser) retrieves(t *testing.T, c *pop3client.Client, l pop3.UID) {
	m, err := c.Retr(t.Context(), l.Number)
	var text []byte
	if err == nil {
		text, err = io.ReadAll(m)
	}
	if err != nil {
		u.bed.fault("a message cannot be retrieved", "%s: %s: %v", u.name, l.UID, err)
		return
	}
	_, subject, _ := bytes.Cut(text, []byte("\r\nSubject: "))
	subject, _, _ = bytes.Cut(subject, []byte("\r\n"))
	e := u.byName[string(subject)]
	switch {
	case e == nil:
		u.bed.fault("a message is nobody's", "%s: %s is %s", u.name, l.UID, excerpt(text))
	case e.uid == "" && !bytes.HasSuffix(text, withoutReturnPath(e.letter)):
		u.bed.fault("a message is changed", "%s: %q is %s", u.name, e.name, excerpt(text))
	case e.uid == "":
		u.byUID[l.UID] = e
		e.uid, e.sum = l.UID, sha256.Sum256(text)
	case e.uid != l.UID:
		u.bed.fault("a message has another unique-id", "%s: %q was %s and is %s", u.name, e.name, e.uid, l.UID)
	case e.sum != sha256.Sum256(text):
		u.bed.fault("a message is changed", "%s: %q is %s", u.name, e.name, excerpt(text))
	}
	if e != nil {
		e.read = true
	}
}

// switched forgets which listings there were: those of the other store follow.
func (u *moveUser) switched() { clear(u.listed) }

// finds fails where the maildrop that users see is not what the ledger says.
func (u *moveUser) finds(t *testing.T, when string) {
	t.Helper()
	s := u.bed.poplinServer
	s.user = u.name
	c := login(t, &bucketNode{poplinServer: s})
	defer quit(t, c)
	list, err := u.lists(t, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		u.retrieves(t, c, l)
	}
	for _, m := range u.byName {
		if !slices.ContainsFunc(list, func(l pop3.UID) bool { return l.UID == m.uid }) && !u.deleted[m.uid] && !u.unsure[m.uid] {
			u.bed.fault("a message is lost", "%s, %s: %q, %s", when, u.name, m.name, m.uid)
		}
	}
}

// emptied fails where the source has anything left.
func (u *moveUser) emptied(t *testing.T) {
	t.Helper()
	d, err := u.bed.source.Open(t.Context(), u.name)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if list := d.Messages(); len(list) > 0 {
		u.bed.fault("the source is not empty", "%s has %d messages", u.name, len(list))
	}
}
