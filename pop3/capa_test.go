package pop3

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func parseAll(lines ...string) Capabilities {
	var cs Capabilities
	for _, line := range lines {
		cs = append(cs, ParseCapability(line))
	}
	return cs
}

// RFC 2449 section 5: a name and parameters.
func TestParseCapability(t *testing.T) {
	for line, want := range map[string]string{
		"TOP": "TOP", "top": "TOP", "SASL PLAIN  LOGIN": "SASL PLAIN LOGIN", " UIDL ": "UIDL", "": "", "  ": "",
		"IMPLEMENTATION Some-Server v1": "IMPLEMENTATION Some-Server v1", "Expire Never": "EXPIRE Never",
	} {
		if got := ParseCapability(line).String(); got != want {
			t.Errorf("ParseCapability(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestCapabilities(t *testing.T) {
	cs := parseAll("TOP", "sasl plain SCRAM-SHA-256", "SASL LOGIN PLAIN", "IMPLEMENTATION A server", "UIDL")
	if !cs.Has("top") || !cs.Has(CapUIDL) || cs.Has(CapSTLS) || cs.Has("TO") {
		t.Error("Has is wrong")
	}
	if c, ok := cs.Find("Sasl"); !ok || c.Name != CapSASL || len(c.Args) != 2 {
		t.Errorf("Find: %v, %v", c, ok)
	}
	if got, want := cs.Mechanisms(), []string{"PLAIN", "SCRAM-SHA-256", "LOGIN"}; !slices.Equal(got, want) {
		t.Errorf("Mechanisms: %q, want %q", got, want)
	}
	if got := cs.Implementation(); got != "A server" {
		t.Errorf("Implementation: %q", got)
	}
	var none Capabilities
	if none.Has(CapTop) || none.Mechanisms() != nil || none.Implementation() != "" || none.LoginDelay() != 0 {
		t.Error("no capabilities, and something was found")
	}
}

// RFC 2449 section 6.7.
func TestExpire(t *testing.T) {
	for _, tt := range []struct {
		line  string
		days  int
		never bool
		ok    bool
	}{
		{"EXPIRE NEVER", 0, true, true}, {"EXPIRE never", 0, true, true}, {"EXPIRE 0", 0, false, true}, {"EXPIRE 30 USER", 30, false, true},
		{"EXPIRE 9999999999", MaxMessages, false, true},
		{"EXPIRE", 0, false, false}, {"EXPIRE soon", 0, false, false}, {"EXPIRE -1", 0, false, false}, {"TOP", 0, false, false},
	} {
		if days, never, ok := parseAll(tt.line).Expire(); days != tt.days || never != tt.never || ok != tt.ok {
			t.Errorf("%q: %d, %v, %v", tt.line, days, never, ok)
		}
	}
}

// RFC 2449 section 6.5: seconds.
func TestLoginDelay(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"LOGIN-DELAY 900": 15 * time.Minute, "LOGIN-DELAY 60 USER": time.Minute, "LOGIN-DELAY 0": 0, "LOGIN-DELAY": 0,
		"LOGIN-DELAY x": 0, "LOGIN-DELAY -5": 0, "LOGIN-DELAY 99999999999999": 0, "LOGIN-DELAY 2147483647": 2147483647 * time.Second,
	} {
		if got := parseAll(line).LoginDelay(); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

func FuzzCapability(f *testing.F) {
	for _, s := range []string{"", "TOP", "SASL PLAIN", "EXPIRE 5 USER", "LOGIN-DELAY 900", " x\ty ", "IMPLEMENTATION \xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c := ParseCapability(line)
		if again := ParseCapability(c.String()); again.String() != c.String() {
			t.Fatalf("%q: %q, then %q", line, c, again)
		}
		for _, arg := range c.Args {
			if arg == "" || strings.ContainsAny(arg, " \t\r\n") {
				t.Fatalf("%q: argument %q", line, arg)
			}
		}
		cs := Capabilities{c}
		if days, _, ok := cs.Expire(); days < 0 || !ok && days != 0 {
			t.Fatalf("%q: expires in %d days", line, days)
		}
		if cs.LoginDelay() < 0 {
			t.Fatalf("%q: login delay %v", line, cs.LoginDelay())
		}
		cs.Mechanisms()
	})
}
