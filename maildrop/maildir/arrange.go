package maildir

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

// arrange gives each record its UID and puts them in order: those that the
// index knows first, in its order, then the others, oldest first. So numbers
// grow with age, and what is new comes last even where its name is old.
func arrange(records, old []record, names *uidl) []record {
	records = byAge(records)
	assign(records, old, names, func(string) bool { return false })
	position := make(map[string]int, len(old))
	for i := range old {
		position[old[i].uid] = i
	}
	known := make([]*record, len(old))
	var fresh []*record
	for i := range records {
		if at, found := position[records[i].uid]; found {
			known[at] = &records[i]
		} else {
			fresh = append(fresh, &records[i])
		}
	}
	ordered := make([]record, 0, len(records))
	for _, r := range append(known, fresh...) {
		if r != nil {
			ordered = append(ordered, *r)
		}
	}
	return ordered
}

// byAge gives the records with the oldest first.
func byAge(records []record) []record {
	// What is sorted is small, for it is moved often.
	type key struct {
		when int64
		at   int
	}
	keys := make([]key, len(records))
	for i := range records {
		keys[i] = key{records[i].when, i}
	}
	slices.SortFunc(keys, func(a, b key) int {
		if a.when != b.when {
			return cmp.Compare(a.when, b.when)
		}
		r, s := &records[a.at], &records[b.at]
		return cmp.Or(cmp.Compare(r.base(), s.base()), cmp.Compare(r.ino, s.ino))
	})
	sorted := make([]record, len(records))
	for i, k := range keys {
		sorted[i] = records[k.at]
	}
	return sorted
}

// assign gives UIDs that are not taken by other messages. In order of precedence a file has: the one taken over
// for its name, the one that its name makes, and where another has that, a
// hash. The index matters only between files of one name, so that each keeps
// what it had.
func assign(records, old []record, names *uidl, other func(uid string) bool) {
	remembered := make(map[identity]string, len(old))
	for _, r := range old {
		remembered[identity{r.base(), r.ino}] = r.uid
	}
	taken := make(map[string]bool, len(records))
	give := func(r *record, uid string) {
		if r.uid == "" && uid != "" && !taken[uid] && !other(uid) {
			r.uid = uid
			taken[uid] = true
		}
	}
	for i := range records {
		r := &records[i]
		had := remembered[identity{r.base(), r.ino}]
		if uid := names.byBase[r.base()]; uid == "" || uid == had {
			give(r, had)
		}
	}
	for i := range records {
		give(&records[i], names.byBase[records[i].base()])
	}
	for i := range records {
		if uid := nameUID(records[i].base()); !names.reserved[uid] {
			give(&records[i], uid)
		}
	}
	for i := range records {
		for r, n := &records[i], 0; r.uid == ""; n++ {
			give(r, hashUID(r.base(), strconv.FormatUint(r.ino, 10), strconv.Itoa(n)))
		}
	}
}

// validUID tells whether s is a unique-id (RFC 1939 section 7, UIDL).
func validUID(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7E {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 70
}

// nameUID makes a UID of the part of a file's name that stays.
func nameUID(base string) string {
	if validUID(base) {
		return base
	}
	return hashUID(base)
}

// hashUID makes a UID of what no UID can hold.
func hashUID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return "poplin-" + hex.EncodeToString(sum[:20])
}

// date notes when the message came: the time in the file's name, else that
// of the file.
func (r *record) date() {
	if t, ok := nameTime(r.name); ok {
		r.when = t.UnixNano()
	} else {
		r.when = r.mtime
	}
}

// nameTime reads the time of a name such as 1700000000.M123456P789.host:
// seconds, a dot, and perhaps microseconds behind the letter M (Dovecot,
// Courier, and Postfix behind its V and I) or H (Exim). Names that begin with
// another number are no time.
func nameTime(name string) (time.Time, bool) {
	seconds, rest, found := strings.Cut(name, ".")
	sec, err := strconv.ParseInt(seconds, 10, 64)
	if !found || err != nil || len(seconds) < 9 || len(seconds) > 11 || seconds[0] < '1' {
		return time.Time{}, false
	}
	field, _, _ := strings.Cut(rest, ".")
	digits := field[strings.LastIndexAny(field, "MH")+1:]
	end := 0
	for end < len(digits) && digits[end] >= '0' && digits[end] <= '9' {
		end++
	}
	var usec int64
	if len(digits) < len(field) && end <= 6 {
		usec, _ = strconv.ParseInt(digits[:end], 10, 64)
	}
	return time.Unix(sec, usec*1000), true
}
