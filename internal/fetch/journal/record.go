package journal

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Key names a message of the account: its unique-id, and for messages that
// share one which of them it is, from 0.
type Key struct {
	UID   string
	Index int
}

// Record is one thing that happened to a message.
type Record interface {
	append(to []byte) []byte // its line
	apply(s *state)
}

// Intent says that a delivery begins: whatever happens, Target.Settle can tell
// from Note how far it came.
type Intent struct {
	Key
	Target string
	ID     string // of the message, for targets
	Octets int64  // staged
	Sum    string // of these, in hexadecimal
	Note   string // of the target
	Fact          // what Done will say
}

// Fact is what is true of a message once a target has it.
type Fact struct {
	Size int64  // as the server announces it; -1: it does not
	Hash string // of its header, in hexadecimal; empty: not known
	Part bool   // it was too large, and its header alone was taken
}

// Done says that a target has the message, durably.
type Done struct {
	Key
	Target string
	Fact
	At time.Time
}

// Undone says that a delivery that was begun left nothing.
type Undone struct {
	Key
	Target string
}

// Failed says that the message could not be retrieved, or that a target does
// not take it. It counts.
type Failed struct {
	Key
	Target  string // empty: the server does not give it
	Reason  string
	At      time.Time
	Passing bool // it may go well later, with nobody doing anything
}

// Broken says that the connection to a target ended while it had the message: it
// counts as Failed does, and the Intent stays.
type Broken struct{ Failed }

// Forgiven has a message that failed tried again as if it never had.
type Forgiven struct{ Key }

// Marked says that the server is about to be asked to delete the message.
type Marked struct{ Key }

// Gone says that the message is not on the server any more: it was deleted by
// this program, or is not listed.
type Gone struct {
	Key
	At time.Time
}

// Back says that a message that was gone is listed again.
type Back struct{ Key }

// Sized says that the server announces another size now.
type Sized struct {
	Key
	Size int64
}

// Renewed says that another message has the unique-id now: nothing that is
// known of the old one is true of it.
type Renewed struct{ Key }

// Moved says that the message has another unique-id now: the server was
// replaced.
type Moved struct {
	Key
	To Key
}

const when = time.RFC3339

func (k Key) append(to []byte, word string) []byte {
	return fmt.Appendf(to, "%s %d %s", word, k.Index, k.UID)
}

func (f Fact) append(to []byte) []byte {
	return fmt.Appendf(to, " %d %s %t", f.Size, strconv.Quote(f.Hash), f.Part)
}

func (r Intent) append(to []byte) []byte {
	to = fmt.Appendf(r.Key.append(to, "intent"), " %s %s %d %s %s", strconv.Quote(r.Target), r.ID, r.Octets, r.Sum, strconv.Quote(r.Note))
	return append(r.Fact.append(to), '\n')
}

func (r Done) append(to []byte) []byte {
	to = r.Fact.append(fmt.Appendf(r.Key.append(to, "done"), " %s", strconv.Quote(r.Target)))
	return fmt.Appendf(to, " %s\n", r.At.UTC().Format(when))
}

func (r Undone) append(to []byte) []byte {
	return fmt.Appendf(r.Key.append(to, "undone"), " %s\n", strconv.Quote(r.Target))
}

func (r Failed) append(to []byte) []byte {
	return r.appendAs(to, "failed")
}

func (r Broken) append(to []byte) []byte { return r.appendAs(to, "broken") }

func (r Failed) appendAs(to []byte, verb string) []byte {
	to = fmt.Appendf(r.Key.append(to, verb), " %s %s %s", strconv.Quote(r.Target), strconv.Quote(r.Reason), r.At.UTC().Format(when))
	if r.Passing {
		to = append(to, " passing"...)
	}
	return append(to, '\n')
}

func (r Gone) append(to []byte) []byte {
	return fmt.Appendf(r.Key.append(to, "gone"), " %s\n", r.At.UTC().Format(when))
}

func (r Sized) append(to []byte) []byte {
	return fmt.Appendf(r.Key.append(to, "sized"), " %d\n", r.Size)
}

func (r Moved) append(to []byte) []byte {
	return fmt.Appendf(r.Key.append(to, "moved"), " %d %s\n", r.To.Index, r.To.UID)
}

func (r Forgiven) append(to []byte) []byte { return append(r.Key.append(to, "forgiven"), '\n') }
func (r Marked) append(to []byte) []byte   { return append(r.Key.append(to, "marked"), '\n') }
func (r Back) append(to []byte) []byte     { return append(r.Key.append(to, "back"), '\n') }
func (r Renewed) append(to []byte) []byte  { return append(r.Key.append(to, "renewed"), '\n') }

// fields reads the fields of a line.
type fields struct {
	rest string
	err  error
}

func (f *fields) word() string {
	if f.err != nil {
		return ""
	}
	if strings.HasPrefix(f.rest, `"`) {
		quoted, err := strconv.QuotedPrefix(f.rest)
		if err != nil {
			f.err = err
			return ""
		}
		f.rest = strings.TrimPrefix(f.rest[len(quoted):], " ")
		text, err := strconv.Unquote(quoted)
		f.err = err
		return text
	}
	word, rest, _ := strings.Cut(f.rest, " ")
	if f.rest = rest; word == "" {
		f.err = fmt.Errorf("a field is missing")
	}
	return word
}

// uid reads a unique-id, which may begin with a quotation mark.
func (f *fields) uid() string {
	word, rest, _ := strings.Cut(f.rest, " ")
	if f.rest = rest; word == "" && f.err == nil {
		f.err = fmt.Errorf("the unique-id is missing")
	}
	return word
}

func (f *fields) number() int64 {
	n, err := strconv.ParseInt(f.word(), 10, 64)
	if f.err == nil {
		f.err = err
	}
	return n
}

func (f *fields) time() time.Time {
	t, err := time.Parse(when, f.word())
	if f.err == nil {
		f.err = err
	}
	return t
}

func (f *fields) key() Key {
	n := f.number()
	return Key{f.uid(), int(n)}
}

func (f *fields) fact() Fact { return Fact{f.number(), f.word(), f.word() == "true"} }

// mark reads a word that may stand at the end of a line.
func (f *fields) mark(word string) bool {
	if f.err != nil || f.rest != word {
		return false
	}
	f.rest = ""
	return true
}

// parse reads a line.
func parse(line []byte) (Record, error) {
	f := &fields{rest: string(line)}
	verb := f.word()
	k := f.key()
	var r Record
	switch verb {
	case "intent":
		r = Intent{k, f.word(), f.word(), f.number(), f.word(), f.word(), f.fact()}
	case "done":
		r = Done{k, f.word(), f.fact(), f.time()}
	case "undone":
		r = Undone{k, f.word()}
	case "failed":
		r = Failed{k, f.word(), f.word(), f.time(), f.mark("passing")}
	case "broken":
		r = Broken{Failed{k, f.word(), f.word(), f.time(), f.mark("passing")}}
	case "forgiven":
		r = Forgiven{k}
	case "marked":
		r = Marked{k}
	case "gone":
		r = Gone{k, f.time()}
	case "back":
		r = Back{k}
	case "sized":
		r = Sized{k, f.number()}
	case "renewed":
		r = Renewed{k}
	case "moved":
		r = Moved{k, f.key()}
	default:
		return nil, fmt.Errorf("there is a record %.20q, which this version does not know", verb)
	}
	if f.err != nil || f.rest != "" {
		return nil, fmt.Errorf("the record %.60q cannot be read", line)
	}
	return r, nil
}

// replay takes in the lines of a frame.
func (s *state) replay(payload []byte) error {
	for line := range bytes.Lines(payload) {
		r, err := parse(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			return err
		}
		s.apply(r)
	}
	return nil
}

// apply takes in a record.
func (s *state) apply(r Record) {
	s.lines++
	r.apply(s)
}

func (r Intent) apply(s *state) {
	e := s.entry(r.Key)
	e.Intents = append(slices.DeleteFunc(e.Intents, func(i Intent) bool { return i.Target == r.Target }), r)
}

func (r Done) apply(s *state) {
	e := s.entry(r.Key)
	e.settle(r.Target)
	e.done |= s.bit(r.Target)
	e.Fact = r.Fact
	if e.At.IsZero() {
		e.At = r.At
	}
	e.Failures = slices.DeleteFunc(e.Failures, func(f Failure) bool { return f.Target == r.Target || f.Target == "" || f.Target == "connection" })
}

func (r Undone) apply(s *state) { s.entry(r.Key).settle(r.Target) }

func (r Failed) apply(s *state) {
	s.entry(r.Key).settle(r.Target)
	Broken{r}.apply(s)
}

func (r Broken) apply(s *state) {
	e := s.entry(r.Key)
	f := Failure{r.Target, r.Reason, e.Count(r.Failed), r.At, r.Passing}
	for i := range e.Failures {
		if e.Failures[i].Target == r.Target {
			e.Failures[i] = f
			return
		}
	}
	e.Failures = append(e.Failures, f)
}

func (r Forgiven) apply(s *state) { s.entry(r.Key).Failures = nil }
func (r Marked) apply(s *state)   { s.entry(r.Key).Marked = true }
func (r Gone) apply(s *state)     { s.entry(r.Key).Gone = r.At }

func (r Sized) apply(s *state) { s.entry(r.Key).Size = r.Size }

func (r Back) apply(s *state) { s.entry(r.Key).Gone = time.Time{} }

func (r Renewed) apply(s *state) {
	e := s.entry(r.Key)
	*e = Entry{Key: r.Key, Generation: e.Generation + 1, s: s}
}

func (r Moved) apply(s *state) {
	e := s.entries[r.Key]
	if e == nil {
		return
	}
	delete(s.entries, r.Key)
	e.Key, e.Gone, e.Marked = r.To, time.Time{}, false
	s.entries[r.To] = e
}
