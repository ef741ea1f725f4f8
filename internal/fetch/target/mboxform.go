package target

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

// How a message stands in an mbox of the kind called mboxrd, as mutt, Dovecot
// and qmail's documents have it:
//
//	From anna@example.org Fri Nov 27 10:00:00 2026
//	X-Poplin-Id: 0123...
//	the message; lines that begin with "From ", perhaps behind ">", get a ">"
//	a blank line
//
// Nothing else there begins with "From ", so that one form stands for one
// message, and the message can be had from it as it was.

// place is where a message belongs in an mbox, and what its first line says.
type place struct {
	offset int64 // negative: not known
	sender string
	date   time.Time
}

// String gives the note for the journal.
func (p place) String() string {
	return fmt.Sprintf("%d %d %s", p.offset, p.date.Unix(), p.sender)
}

// parsePlace reads a note.
func parsePlace(note string) place {
	fields := strings.Fields(note)
	if len(fields) != 3 {
		return place{offset: -1}
	}
	offset, err := strconv.ParseInt(fields[0], 10, 64)
	seconds, wrong := strconv.ParseInt(fields[1], 10, 64)
	if err != nil || wrong != nil {
		return place{offset: -1}
	}
	return place{offset, fields[2], time.Unix(seconds, 0)}
}

// newPlace gives that of a message with this envelope.
func newPlace(offset int64, e envelope) place {
	p := place{offset, e.sender, e.date}
	if p.sender == "" || strings.ContainsFunc(p.sender, func(r rune) bool { return r <= ' ' || r > '~' }) {
		p.sender = "MAILER-DAEMON"
	}
	if p.date.IsZero() {
		p.date = time.Now()
	}
	return p
}

// fromLine gives the first line, with the date as asctime(3) and in UTC (RFC
// 4155 appendix A).
func (p place) fromLine() string {
	return "From " + p.sender + " " + p.date.UTC().Format(time.ANSIC) + "\n"
}

// writeForm writes what stands behind the first line: the id, the message r
// and a blank line.
func writeForm(w io.Writer, id string, r io.Reader) error {
	b := bufio.NewWriterSize(w, 64<<10)
	b.WriteString(idLine(id))
	q := &quoter{w: b, newline: true}
	if _, err := io.Copy(q, r); err != nil {
		return err
	}
	q.end()
	b.WriteByte('\n')
	return b.Flush()
}

var fromWord = []byte("From ")

// quoter quotes lines. Errors are those of the bufio.Writer, which keeps them.
type quoter struct {
	w       *bufio.Writer
	within  bool // within a line, of which the beginning is known
	matched int  // octets of fromWord that are held back
	newline bool // the last octet was one
}

// Write implements io.Writer.
func (q *quoter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		switch c := rest[0]; {
		case q.within:
			n := bytes.IndexByte(rest, '\n') + 1
			q.within, q.newline = n == 0, n > 0
			if n == 0 {
				n = len(rest)
			}
			if _, err := q.w.Write(rest[:n]); err != nil {
				return 0, err
			}
			rest = rest[n:]
		case c == '>' && q.matched == 0:
			q.w.WriteByte('>')
			q.newline = false
			rest = rest[1:]
		case c == fromWord[q.matched]:
			q.newline = false
			rest = rest[1:]
			if q.matched++; q.matched == len(fromWord) {
				q.w.WriteByte('>')
				q.release()
			}
		default:
			q.release()
		}
	}
	return len(p), nil
}

// release writes what was held back: the beginning of the line is known.
func (q *quoter) release() {
	q.w.Write(fromWord[:q.matched])
	q.matched, q.within = 0, true
}

// end ends the last line where it has no end.
func (q *quoter) end() {
	q.w.Write(fromWord[:q.matched])
	if !q.newline {
		q.w.WriteByte('\n')
	}
}

// lead gives what must stand between the end of an mbox and a new message: a
// program that was broken off may have left part of a line.
func lead(f disk.File, size int64) (string, error) {
	var tail [2]byte
	switch n, err := f.ReadAt(tail[:min(size, 2)], max(0, size-2)); {
	case err != nil && err != io.EOF:
		return "", err
	case n == 0 || n == 2 && string(tail[:]) == "\n\n":
		return "", nil
	case tail[n-1] == '\n':
		return "\n", nil
	}
	return "\n\n", nil
}
