package pop3

// ParseNumber reads a message number as RFC 1939 section 5 means it: digits
// alone, at least 1, no sign, no leading zero, no more than MaxMessages. What
// is out of range is refused and never wraps round.
func ParseNumber(s string) (n int, ok bool) {
	n, ok = parseDigits(s)
	return n, ok && n >= 1
}

// ParseCount reads a count, such as the number of lines of TOP: as
// ParseNumber, but zero is allowed, and what is larger than MaxMessages
// counts as MaxMessages, since clients send TOP 1 99999999999 to say "all".
func ParseCount(s string) (n int, ok bool) {
	if n, ok = parseDigits(s); ok {
		return n, true
	}
	if len(s) <= MaxDigits || s[0] == '0' {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	return MaxMessages, true
}

func parseDigits(s string) (n int, ok bool) {
	if s == "" || len(s) > MaxDigits || (s[0] == '0' && len(s) > 1) {
		return 0, false
	}
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int(d)
	}
	return n, true
}

// parseOctets reads a size in octets: digits alone, within 63 bits. Leading
// zeros are taken, since some servers pad.
func parseOctets(s string) (n int64, ok bool) {
	if s == "" {
		return 0, false
	}
	const limit = 1<<63 - 1
	for i := range len(s) {
		d := int64(s[i] - '0')
		if d > 9 || n > (limit-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}
