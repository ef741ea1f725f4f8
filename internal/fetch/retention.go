package fetch

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Policy says which messages that are safe stay on the server: those that any
// of its terms keeps, or with All only those that each of them does. The zero
// Policy keeps none.
type Policy struct {
	terms []term
	all   bool
	text  string
}

// term is one rule. One of its fields is set.
type term struct {
	everything bool
	age        time.Duration // what came longer ago goes
	newest     int           // of the messages that are there
	room       int64         // octets that all messages on the server may have
}

// ParsePolicy reads a Policy: "all", "none", "14d" (since they were retrieved),
// "newest 500", "until 200MiB free of 1GiB", and such terms joined by "or"
// (a message stays if any term keeps it) or "and" (if all do).
func ParsePolicy(text string) (Policy, error) {
	p := Policy{text: strings.Join(strings.Fields(text), " ")}
	joined := ""
	words := strings.Fields(strings.ToLower(text))
	for begin, i := 0, 0; i <= len(words); i++ {
		if i < len(words) && words[i] != "and" && words[i] != "or" {
			continue
		}
		t, err := parseTerm(words[begin:i])
		if err != nil {
			return Policy{}, err
		}
		if t != nil {
			p.terms = append(p.terms, *t)
		}
		if i < len(words) {
			if joined != "" && joined != words[i] {
				return Policy{}, fmt.Errorf("%q joins terms by \"and\" and by \"or\": use one of them", text)
			}
			joined = words[i]
		}
		begin = i + 1
	}
	if joined == "and" && len(p.terms) < strings.Count(" "+p.text+" ", " and ")+1 {
		p.terms = nil // one of them is "none"
	}
	p.all = joined == "and"
	return p, nil
}

// parseTerm reads one term; nil is "none".
func parseTerm(words []string) (*term, error) {
	text := strings.Join(words, " ")
	bad := fmt.Errorf("%q is none of \"all\", \"none\", \"14d\", \"newest 500\" and \"until 200MiB free of 1GiB\"", text)
	switch {
	case text == "all":
		return &term{everything: true}, nil
	case text == "none":
		return nil, nil
	case len(words) == 2 && words[0] == "newest":
		n, err := strconv.ParseUint(words[1], 10, 31)
		if err != nil {
			return nil, bad
		}
		return &term{newest: int(n)}, nil
	case len(words) == 5 && words[0] == "until" && words[2] == "free" && words[3] == "of":
		free, err1 := parseOctets(words[1])
		whole, err2 := parseOctets(words[4])
		if errors.Join(err1, err2) != nil {
			return nil, bad
		}
		if free > whole {
			return nil, fmt.Errorf("%q: there cannot be more free than there is", text)
		}
		return &term{room: whole - free}, nil
	case len(words) == 1 && len(text) > 1:
		unit, known := map[byte]time.Duration{'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[text[len(text)-1]]
		n, err := strconv.ParseUint(text[:len(text)-1], 10, 16)
		if err != nil || !known {
			return nil, bad
		}
		return &term{age: time.Duration(n) * unit}, nil
	}
	return nil, bad
}

// parseOctets reads a size such as 200MiB; units are powers of 1024.
func parseOctets(text string) (int64, error) {
	digits := strings.TrimRight(text, "kmgtib")
	shift, known := map[string]uint{"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40}[strings.TrimSuffix(strings.TrimSuffix(text[len(digits):], "b"), "i")]
	n, err := strconv.ParseUint(digits, 10, 22)
	if err != nil || !known {
		return 0, fmt.Errorf("%q is no size", text)
	}
	return int64(n) << shift, nil
}

// String gives the text.
func (p Policy) String() string { return p.text }

// candidate is a message on the server.
type candidate struct {
	size int64
	safe bool      // all targets have it whole
	at   time.Time // when it was retrieved; zero where it is not safe
}

// doomed gives the indices of the messages, oldest first, that the policy does
// not keep. What is not safe is kept always.
func (p Policy) doomed(messages []candidate, now time.Time) (out []int) {
	votes := make([]int, len(messages))
	for _, t := range p.terms {
		for i, kept := range t.keeps(messages, now) {
			if kept {
				votes[i]++
			}
		}
	}
	need := 1
	if p.all {
		need = len(p.terms)
	}
	for i, m := range messages {
		if m.safe && (len(p.terms) == 0 || votes[i] < need) {
			out = append(out, i)
		}
	}
	return out
}

// keeps tells for each message whether the term keeps it.
func (t term) keeps(messages []candidate, now time.Time) []bool {
	kept := make([]bool, len(messages))
	var total int64
	for _, m := range messages {
		total += max(0, m.size)
	}
	for i, m := range messages {
		switch {
		case t.everything || !m.safe:
			kept[i] = true
		case t.age > 0:
			kept[i] = now.Sub(m.at) < t.age
		case t.newest > 0:
			kept[i] = len(messages)-i <= t.newest
		default:
			if kept[i] = total <= t.room; !kept[i] { // the oldest goes, until the rest has room
				total -= max(0, m.size)
			}
		}
	}
	return kept
}
