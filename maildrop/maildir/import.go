package maildir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

var _ maildrop.Importer = (*session)(nil)

// importing takes in the messages of a list.
type importing struct {
	*session
	list  []maildrop.Message
	bases []string // the names of their files; empty for those that are here
}

// Import implements maildrop.Importer. A message whose UID can be the name of a
// file of its time gets that name, and so the UID. The others' UIDs are
// written down in poplin.uidl before the first of them is here, with the names
// that they will have: no session sees one with another UID.
func (s *session) Import(ctx context.Context, list []maildrop.Message) (maildrop.Import, error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	if err := s.openDirs(); err != nil {
		return nil, err
	}
	mark, err := s.uidlStamp()
	if err != nil {
		return nil, classify("Maildir "+s.name, err)
	}
	var pairs []pair
	if mark != (stamp{}) {
		if pairs, err = s.readPairs(); err != nil {
			return nil, err
		}
	}
	m := &importing{session: s, list: list}
	added, err := m.choose(newUIDL(pairs))
	if err != nil {
		return nil, err
	}
	if err := s.unsettle(list); err != nil {
		return nil, err
	}
	if len(added) > 0 {
		text := encodeUIDL(append(pairs, added...))
		if len(text) > maxState {
			return nil, permanent("UIDs of "+s.name, fmt.Errorf("%s would have %d octets, which are more than it may", uidlName, len(text)))
		}
		if err := s.replaceFile(uidlName, text, true); err != nil {
			return nil, s.stateError(uidlName, err)
		}
	}
	return m, nil
}

// choose names the files of the messages that are not here, and gives the UIDs
// that their names do not say.
func (m *importing) choose(known *uidl) (added []pair, err error) {
	here := make(map[string]bool, m.count)
	k := m.cursor(0)
	for it := (item{}); k.next(&it); {
		here[it.uid] = true
	}
	byUID := make(map[string]string, len(known.byBase))
	for base, uid := range known.byBase {
		byUID[uid] = base
	}
	m.bases = make([]string, len(m.list))
	same := make(map[int64]int)
	for i := range m.list {
		uid, when := m.list[i].UID, m.list[i].Received
		if !validUID(uid) {
			return nil, permanent(fmt.Sprintf("UID %.80q", uid), errors.New("it is not 1 to 70 octets of 0x21 to 0x7E"))
		}
		if when.IsZero() {
			when = m.now()
		}
		switch base := byUID[uid]; {
		case here[uid]:
		case base != "": // an import before this one chose it
			m.bases[i] = base
		case known.byBase[uid] == "" && !known.reserved[uid] && saysTime(uid, when):
			m.bases[i] = uid
		default:
			// Names of one microsecond would be sorted by what is behind it.
			m.bases[i] = m.store.names(when.Add(time.Duration(same[when.UnixMicro()]) * time.Microsecond))
			same[when.UnixMicro()]++
			added = append(added, pair{m.bases[i], uid})
		}
	}
	return added, nil
}

// saysTime tells whether a UID can be the name of a file, and then says when
// the message came.
func saysTime(uid string, when time.Time) bool {
	t, ok := nameTime(uid)
	return ok && t.UnixMilli() == when.UnixMilli() && validBase(uid, "")
}

// Put implements maildrop.Import. The file has the time at which the message
// came, and LF for CRLF, as the files of other programs have.
func (m *importing) Put(ctx context.Context, i int, r io.Reader) error {
	if i < 0 || i >= len(m.list) {
		return errIndex(i)
	}
	if err := m.check(ctx); err != nil || m.bases[i] == "" {
		return err
	}
	d := &delivery{folder: m.folder}
	if err := d.create(m.store.names); err != nil {
		return err
	}
	defer d.discard()
	if err := d.fill(ctx, &lineReader{r: r, buf: make([]byte, 32<<10)}); err != nil {
		return err
	}
	if want := m.list[i].Size; d.size.Octets() != want {
		return permanent("message "+m.list[i].UID, fmt.Errorf("it has %d octets, and was said to have %d", d.size.Octets(), want))
	}
	if when := m.list[i].Received; !when.IsZero() {
		if err := m.sys.setTime(d.tmp, d.name, when.UnixNano()); err != nil {
			return d.notStored(err)
		}
	}
	if err := d.finish(); err != nil {
		return err
	}
	return m.publish(d, m.bases[i])
}

// publish gives the file its name in new/, durably.
func (m *importing) publish(d *delivery, base string) error {
	to := m.dirs[inNew]
	err := m.sys.link(d.tmp, d.name, to, base)
	if noLinks(err) {
		// The name is the message's own: what has it was put by an import that
		// did not hear that it was done.
		err = m.sys.rename(d.tmp, d.name, to, base)
		d.moved = err == nil
	}
	if errors.Is(err, fs.ErrExist) {
		return temporary("message not stored in "+m.name, fmt.Errorf("there is a file of that name by now: %w", err))
	}
	if err != nil {
		return d.notStored(err)
	}
	if err := m.sys.fsync(to); err != nil {
		m.sys.unlink(to, base)
		return d.notStored(named("fsync", "new", err))
	}
	m.account(d.octets, 1)
	return nil
}

// Relist implements maildrop.Importer.
func (s *session) Relist(ctx context.Context) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	x, err := s.store.load(ctx, s.folder)
	if err != nil {
		return classify("Maildir "+s.name, err)
	}
	s.index, s.catalog = x, x.catalog
	s.moved, s.again, s.list = nil, nil, nil
	return nil
}

// NoteKeys implements maildrop.Importer.
func (s *session) NoteKeys(ctx context.Context) (keys []string, err error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	names, err := s.allNames(s.top)
	if err != nil {
		return nil, classify("Maildir "+s.name, err)
	}
	for _, name := range names {
		if key, found := strings.CutPrefix(name, notePrefix); found && maildrop.ValidKey(key) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// lineReader turns each CRLF into LF, but for one that a CR stands before: of
// that and its LF the form of the wire would not be the same again.
type lineReader struct {
	r    io.Reader
	buf  []byte
	out  bytes.Buffer
	held int // CRs that came, of which is not known what follows
	err  error
}

// Read implements io.Reader.
func (l *lineReader) Read(p []byte) (int, error) {
	for l.out.Len() == 0 {
		if l.err != nil {
			return 0, l.err
		}
		var n int
		n, l.err = l.r.Read(l.buf)
		l.convert(l.buf[:n])
		if l.err != nil {
			l.release(l.held)
		}
	}
	return l.out.Read(p)
}

func (l *lineReader) convert(data []byte) {
	for len(data) > 0 {
		if data[0] == '\r' {
			l.held++
			data = data[1:]
			continue
		}
		if data[0] == '\n' && l.held == 1 {
			l.held = 0
		}
		l.release(l.held)
		n := bytes.IndexByte(data, '\r')
		if n < 0 {
			n = len(data)
		}
		l.out.Write(data[:n])
		data = data[n:]
	}
}

// release gives CRs that were held back.
func (l *lineReader) release(n int) {
	for range n {
		l.out.WriteByte('\r')
	}
	l.held = 0
}
