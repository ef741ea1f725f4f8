package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// uidlName is the file that keeps the UIDs taken over from another server.
const uidlName = "poplin.uidl"

// uidlMagic is its first line. Each further line is a UID, a blank, and the
// quoted name of the file before the ":"; the last is "end" and the CRC-32C
// of all before it. It is made once, grows with messages that are taken in with
// UIDs of another store, and is read by every listing.
const uidlMagic = "poplin uidl 1\n"

// uidl holds the UIDs taken over.
type uidl struct {
	byBase   map[string]string
	reserved map[string]bool // these UIDs, whether their messages exist or not
}

// pair is one UID taken over.
type pair struct{ base, uid string }

// newUIDL makes the whole of pairs. Of two with one name the last counts, as
// servers append to their lists. A UID that POP3 cannot carry, or that another
// name has already, is left out: the message gets one of Poplin's form. So is a
// name that no file can have: nothing may be stored under it.
func newUIDL(pairs []pair) *uidl {
	last := make(map[string]int, len(pairs))
	for i, p := range pairs {
		last[p.base] = i
	}
	u := &uidl{byBase: make(map[string]string, len(last)), reserved: make(map[string]bool, len(last))}
	for i, p := range pairs {
		if last[p.base] == i && validBase(p.base, "") && validUID(p.uid) && !u.reserved[p.uid] {
			u.byBase[p.base] = p.uid
			u.reserved[p.uid] = true
		}
	}
	return u
}

// encodeUIDL gives poplin.uidl as it is written.
func encodeUIDL(pairs []pair) []byte {
	var b bytes.Buffer
	b.WriteString(uidlMagic)
	for _, p := range pairs {
		fmt.Fprintf(&b, "%s %s\n", p.uid, strconv.QuoteToASCII(p.base))
	}
	fmt.Fprintf(&b, "end %08x\n", crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

// decodeUIDL parses poplin.uidl.
func decodeUIDL(data []byte) ([]pair, error) {
	end := bytes.LastIndex(data, []byte("\nend ")) + 1
	if end == 0 || string(data[end:]) != fmt.Sprintf("end %08x\n", crc32.Checksum(data[:end], castagnoli)) {
		return nil, errors.New("its checksum is wrong")
	}
	body, found := strings.CutPrefix(string(data[:end]), uidlMagic)
	if !found {
		return nil, errors.New("its version is unknown")
	}
	var pairs []pair
	for line := range strings.Lines(body) {
		uid, quoted, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		base, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("its line %q is not a UID and a quoted name", line)
		}
		pairs = append(pairs, pair{base, uid})
	}
	return pairs, nil
}

// takeOver gives the stamp of poplin.uidl, zero where there is none. Where
// UIDs are to be taken over and never were, it does that first.
func (s *Store) takeOver(f *folder, old *index) (stamp, error) {
	mark, err := f.uidlStamp()
	switch {
	case err != nil || mark != stamp{}:
		return mark, err
	case old.mark != stamp{}:
		return stamp{}, permanent(fmt.Sprintf("%s/%s", f.name, uidlName), errors.New(
			"it was there and is missing, and without it clients would download everything again: restore it from a backup; "+
				"or remove "+indexName+" too, and UIDs are taken over anew"))
	case s.uidl.parse == nil:
		return stamp{}, nil
	}
	pairs, err := s.readForeign(f)
	if err != nil {
		return stamp{}, err
	}
	if err := f.replaceFile(uidlName, encodeUIDL(pairs), true); err != nil {
		// What may not last must not be used by the next session either.
		f.sys.unlink(f.top, uidlName)
		return stamp{}, temporary("UIDs taken over cannot be kept in "+f.name, err)
	}
	return f.uidlStamp()
}

// uidlStamp gives the stamp of poplin.uidl, zero where there is none.
func (f *folder) uidlStamp() (stamp, error) {
	var st unix.Stat_t
	err := f.sys.lstat(f.top, uidlName, &st)
	if missing(err) {
		return stamp{}, nil
	} else if err != nil {
		return stamp{}, err
	}
	return stampOf(&st), nil
}

// readForeign reads the other server's list. A Maildir that has none is one
// that the other server never served.
func (s *Store) readForeign(f *folder) ([]pair, error) {
	data, _, err := f.readFile(s.uidl.file, maxState)
	if missing(err) {
		s.log.Warn("no UIDs to take over, messages get UIDs made of their names", "maildir", f.name, "file", s.uidl.file)
		return nil, nil
	} else if err != nil {
		return nil, f.stateError(s.uidl.file, err)
	}
	pairs, err := s.uidl.parse(data)
	if err != nil {
		return nil, permanent(fmt.Sprintf("%s/%s", f.name, s.uidl.file), fmt.Errorf(
			"%w: repair it, or remove it, and clients download all messages again", err))
	}
	return pairs, nil
}

// readUIDL reads the UIDs taken over; mark is zero where there are none.
func (f *folder) readUIDL(mark stamp) (*uidl, error) {
	if mark == (stamp{}) {
		return newUIDL(nil), nil
	}
	pairs, err := f.readPairs()
	if err != nil {
		return nil, err
	}
	return newUIDL(pairs), nil
}

// readPairs reads poplin.uidl.
func (f *folder) readPairs() ([]pair, error) {
	data, _, err := f.readFile(uidlName, maxState)
	if err != nil {
		return nil, f.stateError(uidlName, err)
	}
	pairs, err := decodeUIDL(data)
	if err != nil {
		return nil, permanent(fmt.Sprintf("%s/%s", f.name, uidlName), fmt.Errorf(
			"%w: restore it from a backup; or remove it and %s, and UIDs are taken over anew", err, indexName))
	}
	return pairs, nil
}
