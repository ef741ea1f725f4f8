package maildir

import (
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// A file's ctime changes where its content does not: when it gets another name,
// as all files do in a backup by hard links, or another mode. Such a file is
// read to its end before it is served. What was found is kept, by the session and
// at its end in the index, so that this is done once.

// noteAgain keeps what was measured of message i, whose size is what it was. In
// the clock tick of the change that says nothing.
func (s *session) noteAgain(i int, now *record) {
	if now.ctime == unsure {
		return
	}
	if s.again == nil {
		s.again = make(map[int]record)
	}
	s.again[i] = *now
}

// knownAgain tells whether st is of message i as it was measured again.
func (s *session) knownAgain(i int, st *unix.Stat_t) bool {
	r, found := s.again[i]
	return found && r.unchanged(st)
}

// keepAgain writes what was measured again into the index. The stamps of it are
// those of the login, so nothing else is said to be known. A fault costs another
// look at the messages.
func (s *session) keepAgain() {
	if len(s.again) == 0 || s.index == nil || s.wake() != nil {
		return
	}
	d := &delta{}
	for _, i := range slices.Sorted(maps.Keys(s.again)) {
		r, now := s.at(i), s.again[i]
		r.octets, r.mtime, r.ctime = now.octets, now.mtime, now.ctime
		d.changed = append(d.changed, change{i, &r})
	}
	x := *s.index
	x.catalog = s.catalog.apply(d)
	if err := s.writeIndex(&x, s.index.file, d); err != nil {
		s.store.log.Warn("index not written, messages are read again before they are served", "maildir", s.name, "error", err)
	}
	if cached, w := s.store.cache.get(s.name); cached == s.index && !s.store.cache.put(s.name, &x, w) {
		s.store.watches.end(w)
	}
}
