package conformance

import (
	"fmt"
	"strconv"
	"strings"
)

// transaction answers in the TRANSACTION state.
func (c *refConn) transaction(verb, arg string) string {
	fields := strings.Fields(arg)
	switch verb {
	case "STAT":
		if arg == "" {
			count, octets := c.total()
			return fmt.Sprintf("+OK %d %d\r\n", count, octets)
		}
	case "NOOP":
		if arg == "" {
			return "+OK\r\n"
		}
	case "RSET":
		if arg == "" {
			clear(c.marked)
			return "+OK\r\n"
		}
	case "LIST":
		return c.listing(fields, func(n int) string { return strconv.Itoa(len(c.mail[n-1].text)) })
	case "UIDL":
		return c.listing(fields, func(n int) string { return c.mail[n-1].uid })
	case "RETR", "DELE":
		if len(fields) != 1 {
			return refused
		}
		n, ok := c.number(fields[0])
		switch {
		case !ok:
			return refused
		case verb == "DELE":
			c.marked[n] = true
			if c.is("shifts") {
				c.mail = append(c.mail[:n-1], c.mail[n:]...)
				clear(c.marked)
			}
			return "+OK\r\n"
		}
		return c.message(c.mail[n-1].text)
	case "TOP":
		if len(fields) != 2 {
			return refused
		}
		n, ok := c.number(fields[0])
		k, err := strconv.Atoi(fields[1])
		if !ok || err != nil || k < 0 {
			return refused
		}
		return c.message(top(c.mail[n-1].text, min(k, 1000)))
	}
	return "-ERR unknown\r\n"
}

func (c *refConn) total() (count, octets int) {
	for i, m := range c.mail {
		if !c.marked[i+1] || c.is("stat-counts-marked") {
			count++
			octets += len(m.text)
		}
	}
	return count, octets
}

func (c *refConn) listing(fields []string, value func(int) string) string {
	switch {
	case len(fields) > 1:
		return refused
	case len(fields) == 1:
		n, ok := c.number(fields[0])
		if !ok {
			return refused
		}
		return fmt.Sprintf("+OK %d %s\r\n", n, value(n))
	}
	var b strings.Builder
	b.WriteString("+OK\r\n")
	for i := range c.mail {
		if !c.marked[i+1] || c.is("lists-marked") {
			fmt.Fprintf(&b, "%d %s\r\n", i+1, value(i+1))
		}
	}
	return b.String() + ".\r\n"
}

// message gives a multi-line reply.
func (c *refConn) message(text string) string {
	var b strings.Builder
	b.WriteString("+OK\r\n")
	for line := range strings.Lines(text) {
		if line[0] == '.' && !c.is("no-stuffing") && (b.Len() > 5 || !c.is("no-stuffing-at-0")) {
			b.WriteByte('.')
		}
		b.WriteString(line)
	}
	return b.String() + ".\r\n"
}
