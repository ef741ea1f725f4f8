package pop3

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
)

// Message 0, negative, +1, 01, 1x, 2^32+1 and 400 digits are all refused;
// none wraps round to message 1 (RFC 1939 section 5).
func TestParseNumber(t *testing.T) {
	for s, want := range map[string]int{
		"1": 1, "9": 9, "10": 10, "123456": 123456, "999999999": MaxMessages,
		"": 0, "0": 0, "-1": 0, "+1": 0, "01": 0, "00": 0, "1x": 0, "x1": 0, "1 ": 0, " 1": 0, "1.": 0, "1e3": 0, "0x1": 0,
		"1_0": 0, "\u0661": 0, "1\x00": 0, "/": 0, ":": 0,
		"1000000000": 0, "4294967297": 0, "18446744073709551617": 0, strings.Repeat("1", 400): 0,
	} {
		n, ok := ParseNumber(s)
		if ok != (want > 0) || ok && n != want {
			t.Errorf("ParseNumber(%q) = %d, %v, want %d", s, n, ok, want)
		}
	}
}

// TOP's count: zero is a number, and what clients send for "all" is as much
// as there can be (fetchmail sends 99999999).
func TestParseCount(t *testing.T) {
	for _, tt := range []struct {
		s  string
		n  int
		ok bool
	}{
		{"0", 0, true}, {"1", 1, true}, {"20", 20, true}, {"99999999", 99999999, true},
		{"999999999", MaxMessages, true}, {"1000000000", MaxMessages, true},
		{"4294967296", MaxMessages, true}, {"18446744073709551616", MaxMessages, true}, {strings.Repeat("9", 400), MaxMessages, true},
		{"", 0, false}, {"00", 0, false}, {"01", 0, false}, {"-1", 0, false}, {"+1", 0, false}, {"1x", 0, false},
		{"0000000000", 0, false}, {"01000000000", 0, false}, {"1000000000x", 0, false}, {"-1000000000", 0, false}, {"1000000000/", 0, false},
	} {
		n, ok := ParseCount(tt.s)
		if n != tt.n && tt.ok || ok != tt.ok {
			t.Errorf("ParseCount(%q) = %d, %v, want %d, %v", tt.s, n, ok, tt.n, tt.ok)
		}
	}
}

// The number of octets is 64-bit, and no more is taken than fits.
func TestParseOctets(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "1": 1, "00012": 12, "4294967296": 1 << 32, "9223372036854775807": math.MaxInt64,
		"": -1, "-1": -1, "+1": -1, "1x": -1, "9223372036854775808": -1, "92233720368547758070": -1, "1e30": -1, strings.Repeat("9", 400): -1,
	} {
		n, ok := parseOctets(s)
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("parseOctets(%q) = %d, %v, want %d", s, n, ok, want)
		}
	}
}

func TestParseStat(t *testing.T) {
	for text, want := range map[string]Stat{
		"2 320": {2, 320}, "0 0": {}, "2  320": {2, 320}, "2\t320": {2, 320}, " 2 320": {2, 320}, "2 320 octets": {2, 320},
		"1 4294967296": {1, 1 << 32}, "999999999 1": {MaxMessages, 1},
	} {
		if got, err := ParseStat(text); got != want || err != nil {
			t.Errorf("ParseStat(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "2", "2 ", "-1 0", "2 -1", "2 x", "x 2", "1e30 1", "1 1e30", "1000000000 1", "1 9223372036854775808", "2,320"} {
		if got, err := ParseStat(text); err == nil || got != (Stat{}) {
			t.Errorf("ParseStat(%q) = %v, %v, want an error", text, got, err)
		}
	}
}

func TestParseListing(t *testing.T) {
	for line, want := range map[string]Listing{
		"1 120": {1, 120}, "1 0": {1, 0}, "1 120 more": {1, 120}, "1\t120": {1, 120}, "1   120 ": {1, 120}, "7 4294967297": {7, 1<<32 + 1},
	} {
		if got, err := ParseListing(line); got != want || err != nil {
			t.Errorf("ParseListing(%q) = %v, %v, want %v", line, got, err, want)
		}
	}
	for _, line := range []string{"", "1", "0 120", "-1 120", "1 -120", "x 1", "1 x", "01 120", "1000000000 1", "1 " + strings.Repeat("9", 20)} {
		if got, err := ParseListing(line); err == nil || got != (Listing{}) {
			t.Errorf("ParseListing(%q) = %v, %v, want an error", line, got, err)
		}
	}
}

// RFC 1939 section 7, UIDL: 1 to 70 octets of 0x21 to 0x7E.
func TestParseUID(t *testing.T) {
	longest := strings.Repeat("u", MaxUID)
	for line, want := range map[string]UID{
		"1 abc": {1, "abc"}, "1 !": {1, "!"}, "1 ~": {1, "~"}, "2 " + longest: {2, longest}, "1 a b": {1, "a"}, "1  a": {1, "a"},
	} {
		if got, err := ParseUID(line); got != want || err != nil {
			t.Errorf("ParseUID(%q) = %v, %v, want %v", line, got, err, want)
		}
	}
	for _, line := range []string{"", "1", "1 ", "0 a", "-1 a", "x a", "1 \x7f", "1 \x00", "1 a\x00b", "1 \xc3\xa9", "1 " + longest + "u"} {
		if got, err := ParseUID(line); err == nil || got != (UID{}) {
			t.Errorf("ParseUID(%q) = %v, %v, want an error", line, got, err)
		}
	}
	for b := range 256 {
		if got, want := ValidUID(string([]byte{'a', byte(b)})), b >= 0x21 && b <= 0x7E; got != want {
			t.Errorf("ValidUID with octet %#x: %v", b, got)
		}
	}
	if ValidUID("") || ValidUID(longest+"u") || !ValidUID(longest) {
		t.Error("ValidUID: wrong limits")
	}
}

// What Append writes the parsers read back.
func TestAppend(t *testing.T) {
	pre := []byte("+OK ")
	for _, tt := range []struct {
		got  []byte
		want string
	}{
		{Stat{2, 320}.Append(pre), "+OK 2 320"},
		{Listing{1, 1 << 40}.Append(pre), "+OK 1 1099511627776"},
		{UID{3, "abc"}.Append(pre), "+OK 3 abc"},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	room := make([]byte, 0, 128)
	if n := testing.AllocsPerRun(100, func() {
		Stat{2, 320}.Append(room)
		Listing{1, 120}.Append(room)
		UID{1, "abc"}.Append(room)
	}); n != 0 {
		t.Errorf("Append: %v allocations a run", n)
	}
}

// Errors quote what the server sent, but no control characters and no more
// than a line of it.
func TestParseErrorsAreSafe(t *testing.T) {
	hostile := "1 \x1b[2J" + strings.Repeat("x", 5000)
	_, statErr := ParseStat(hostile)
	_, listErr := ParseListing(hostile)
	_, uidErr := ParseUID(hostile)
	for _, err := range []error{statErr, listErr, uidErr} {
		if err == nil {
			t.Fatal("no error")
		}
		if s := err.Error(); strings.Contains(s, "\x1b") || len(s) > 400 {
			t.Errorf("unsafe error: %q", s)
		}
	}
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"1", "0", "01", "-1", "+1", "999999999", "1000000000", "4294967297", "", "1x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := ParseNumber(s)
		if ok && (n < 1 || n > MaxMessages || strconv.Itoa(n) != s) {
			t.Fatalf("ParseNumber(%q) = %d", s, n)
		}
		if want, err := strconv.Atoi(s); !ok && err == nil && want >= 1 && want <= MaxMessages && strconv.Itoa(want) == s {
			t.Fatalf("ParseNumber(%q) refused", s)
		}
		count, ok := ParseCount(s)
		if ok && count != MaxMessages && strconv.Itoa(count) != s || count < 0 || count > MaxMessages {
			t.Fatalf("ParseCount(%q) = %d", s, count)
		}
	})
}

func FuzzListings(f *testing.F) {
	for _, s := range []string{"1 120", "2 320", "0 0", "1 abc", "1", "", " 1 2 3", "1 9223372036854775808", "1 \x7f", "-1 -1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if stat, err := ParseStat(s); err == nil {
			if again, err := ParseStat(string(stat.Append(nil))); again != stat || err != nil || stat.Messages < 0 || stat.Octets < 0 {
				t.Fatalf("STAT %q: %v, then %v, %v", s, stat, again, err)
			}
		}
		if l, err := ParseListing(s); err == nil {
			if again, err := ParseListing(string(l.Append(nil))); again != l || err != nil || l.Number < 1 || l.Octets < 0 {
				t.Fatalf("LIST %q: %v, then %v, %v", s, l, again, err)
			}
		}
		if u, err := ParseUID(s); err == nil {
			if again, err := ParseUID(fmt.Sprintf("%d %s", u.Number, u.UID)); again != u || err != nil || !ValidUID(u.UID) {
				t.Fatalf("UIDL %q: %v, then %v, %v", s, u, again, err)
			}
		}
	})
}
