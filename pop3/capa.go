package pop3

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names of capabilities: RFC 2449 section 6, and where noted elsewhere.
const (
	CapTop            = "TOP"
	CapUser           = "USER"
	CapSASL           = "SASL"
	CapRespCodes      = "RESP-CODES"
	CapLoginDelay     = "LOGIN-DELAY"
	CapPipelining     = "PIPELINING"
	CapExpire         = "EXPIRE"
	CapUIDL           = "UIDL"
	CapImplementation = "IMPLEMENTATION"
	CapAuthRespCode   = "AUTH-RESP-CODE" // RFC 3206 section 6
	CapSTLS           = "STLS"           // RFC 2595 section 4
	CapUTF8           = "UTF8"           // RFC 6856 section 2.1
	CapLang           = "LANG"           // RFC 6856 section 3.1
)

// Capability is a line of the reply to CAPA: a name and its parameters (RFC
// 2449 section 5).
type Capability struct {
	Name string
	Args []string
}

// String gives the form of the wire.
func (c Capability) String() string {
	if len(c.Args) == 0 {
		return c.Name
	}
	return c.Name + " " + strings.Join(c.Args, " ")
}

// ParseCapability reads a line of the reply to CAPA. Names come out in upper
// case.
func ParseCapability(line string) Capability {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return Capability{}
	}
	return Capability{Name: strings.ToUpper(fields[0]), Args: fields[1:]}
}

// Capabilities is what a server answers to CAPA, in its order. The list is
// good for the state it was asked in: it differs before and after STLS, and
// before and after login.
type Capabilities []Capability

// Find gives the capability of that name, without regard to case.
func (cs Capabilities) Find(name string) (Capability, bool) {
	for _, c := range cs {
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	return Capability{}, false
}

// Has reports whether the capability of that name was announced.
func (cs Capabilities) Has(name string) bool {
	_, ok := cs.Find(name)
	return ok
}

// Mechanisms lists the SASL mechanisms announced, in upper case (RFC 5034
// section 3).
func (cs Capabilities) Mechanisms() []string {
	var names []string
	for _, c := range cs {
		if !strings.EqualFold(c.Name, CapSASL) {
			continue
		}
		for _, arg := range c.Args {
			if name := strings.ToUpper(arg); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Implementation names the server's software, as IMPLEMENTATION announces it
// (RFC 2449 section 6.9).
func (cs Capabilities) Implementation() string {
	c, _ := cs.Find(CapImplementation)
	return strings.Join(c.Args, " ")
}

// Expire gives the least number of days that the server keeps messages (RFC
// 2449 section 6.7). Days is 0 where messages may go after they were
// retrieved. Never is true for EXPIRE NEVER, and ok is false where the server
// says nothing that can be read.
func (cs Capabilities) Expire() (days int, never, ok bool) {
	c, found := cs.Find(CapExpire)
	if !found || len(c.Args) == 0 {
		return 0, false, false
	}
	if strings.EqualFold(c.Args[0], "NEVER") {
		return 0, true, true
	}
	days, ok = ParseCount(c.Args[0])
	return days, false, ok
}

// LoginDelay gives the least time between two logins that the server asks
// for, zero where it asks for none (RFC 2449 section 6.5).
func (cs Capabilities) LoginDelay() time.Duration {
	c, found := cs.Find(CapLoginDelay)
	if !found || len(c.Args) == 0 {
		return 0
	}
	seconds, err := strconv.ParseUint(c.Args[0], 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
