package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/pop3test"
)

var usual = []string{"USER", "UIDL", "SASL PLAIN SCRAM-SHA-256 x/\x1b[2J", "LOGIN-DELAY 300", "IMPLEMENTATION Test\x1b[2J-1"}

// discover runs Discover over this zone and network, and gives a line for each
// candidate.
func discover(t *testing.T, address string, z *zone, n *network) ([]Candidate, []string, error) {
	t.Helper()
	_, config := pop3test.TLSConfigs()
	found, err := Discover(t.Context(), address, &Options{Resolver: z, Dialer: n, TLSConfig: config})
	n.wg.Wait()
	var lines []string
	for _, c := range found {
		line := fmt.Sprintf("%s %s %s", c.Source, c.Addr(), c.Security)
		if c.Confirm {
			line += " confirm"
		}
		if c.Err != nil {
			line += " fails"
		}
		lines = append(lines, line)
	}
	for _, command := range n.commands {
		if !slices.Contains([]string{"STLS", "CAPA", "QUIT"}, command) {
			t.Errorf("the server was sent %q", command)
		}
	}
	return found, lines, err
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("found\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func srv(target string, port, priority, weight uint16) *net.SRV {
	return &net.SRV{Target: target, Port: port, Priority: priority, Weight: weight}
}

// RFC 6186 section 3.3 with RFC 2782: by priority, and TLS from the first octet
// before STLS (RFC 8314 section 5.1). What does not work comes last.
func TestSRV(t *testing.T) {
	z := &zone{srv: map[string][]*net.SRV{
		"_pop3s._tcp.example.": {srv("pop.example.", 1003, 20, 9), srv("pop.example.", 1001, 10, 1), srv("POP.example.", 1002, 10, 5), srv("pop.example.", 1009, 5, 0)},
		"_pop3._tcp.example.":  {srv("pop.example.", 1110, 0, 0)},
	}}
	works := host{implicit: true, capa: usual}
	n := &network{hosts: map[string]host{"pop.example:1001": works, "pop.example:1002": works, "pop.example:1003": works, "pop.example:1110": {capa: usual}}}
	found, lines, err := discover(t, "me@example", z, n)
	if err != nil {
		t.Fatal(err)
	}
	same(t, lines, "srv pop.example:1001 tls", "srv pop.example:1002 tls", "srv pop.example:1003 tls", "srv pop.example:1110 stls", "srv pop.example:1009 tls fails")
	slices.Sort(n.commands)
	if got := strings.Join(n.commands, " "); got != "CAPA CAPA CAPA CAPA QUIT QUIT QUIT QUIT STLS" {
		t.Errorf("the servers were sent %s", got)
	}
	for _, c := range found[:4] {
		if !slices.Equal(c.Mechanisms, []string{"PLAIN", "SCRAM-SHA-256", "USER"}) || c.LoginDelay != 5*time.Minute || c.Implementation != "Test?[2J-1" || c.User != "me@example" {
			t.Errorf("%+v", c)
		}
	}
}

// RFC 6186 section 6: a name outside the mail domain is for a person to
// confirm.
func TestSRVOutsideTheDomain(t *testing.T) {
	z := &zone{srv: map[string][]*net.SRV{"_pop3s._tcp.other.test.": {srv("pop.example.", 995, 0, 0)}, "_pop3s._tcp.op.example.": {srv("pop.example.", 995, 0, 0)}}}
	n := &network{hosts: map[string]host{"pop.example:995": {implicit: true, capa: usual}}}
	for _, address := range []string{"me@other.test", "me@op.example"} {
		_, lines, err := discover(t, address, z, n)
		if err != nil {
			t.Error(err)
		}
		same(t, lines, "srv pop.example:995 tls confirm")
	}
}

// RFC 6186 section 3.4: "." says that a service is not offered.
func TestNotOffered(t *testing.T) {
	none := []*net.SRV{srv(".", 0, 0, 0)}
	var no *NoPOP3Error
	z := &zone{srv: map[string][]*net.SRV{"_pop3s._tcp.example.": none, "_pop3._tcp.example.": none}}
	n := &network{hosts: map[string]host{"pop.example:995": {implicit: true}}}
	if _, _, err := discover(t, "me@example", z, n); !errors.As(err, &no) || len(n.dialled) != 0 {
		t.Errorf("got %v, dialled %q", err, n.dialled)
	}

	z = &zone{srv: map[string][]*net.SRV{"_pop3s._tcp.example.": none}}
	n = &network{hosts: map[string]host{"pop.example:110": {capa: usual}, "pop.example:995": {implicit: true}}}
	_, lines, err := discover(t, "me@example", z, n)
	if err != nil || slices.Contains(n.dialled, "pop.example:995") {
		t.Errorf("got %v, dialled %q", err, n.dialled)
	}
	same(t, lines, "name pop.example:110 stls", "name pop3.example:110 stls fails", "name mail.example:110 stls fails", "name example:110 stls fails")

	z = &zone{srv: map[string][]*net.SRV{"_pop3._tcp.example.": none}}
	n = &network{hosts: map[string]host{"pop.example:110": {capa: usual}}}
	if _, _, err := discover(t, "me@example", z, n); err == nil || slices.Contains(n.dialled, "pop.example:110") {
		t.Errorf("got %v, dialled %q", err, n.dialled)
	}
}

func TestMalformedSRV(t *testing.T) {
	z := &zone{srv: map[string][]*net.SRV{"_pop3s._tcp.example.": {srv("pop exa\x1bmple.", 995, 0, 0), srv("127.0.0.1.", 995, 0, 0), srv("pop.example.", 0, 0, 0), srv("pop.example.", 7995, 0, 0)}}}
	n := &network{hosts: map[string]host{"pop.example:7995": {implicit: true, capa: usual}}}
	_, lines, err := discover(t, "me@example", z, n)
	if err != nil {
		t.Error(err)
	}
	same(t, lines, "srv pop.example:7995 tls")

	var many []*net.SRV
	for port := range uint16(100) {
		many = append(many, srv("pop.example.", 2000+port, port, 0))
	}
	z = &zone{srv: map[string][]*net.SRV{"_pop3s._tcp.example.": many}}
	n = &network{}
	if _, lines, _ = discover(t, "me@example", z, n); len(lines) != maxSRV+8 {
		t.Errorf("%d were tried", len(lines))
	}
}

func TestCommonNames(t *testing.T) {
	n := &network{hosts: map[string]host{
		"mail.example:995": {implicit: true, capa: usual}, // with a certificate for another name
		"pop.example:110":  {capa: usual},
		"pop3.example:110": {capa: usual, noSTLS: true},
		"example:995":      {foreign: "220 ready\r\n"},
		"example:110":      {foreign: "SSH-2.0-OpenSSH\r\n"},
	}}
	found, lines, err := discover(t, "me@example", &zone{}, n)
	if err != nil {
		t.Fatal(err)
	}
	same(t, lines, "name pop.example:110 stls", "name pop.example:995 tls fails", "name pop3.example:995 tls fails", "name mail.example:995 tls fails",
		"name example:995 tls fails", "name pop3.example:110 stls fails", "name mail.example:110 stls fails", "name example:110 stls fails")
	var name *tls.CertificateVerificationError
	if err := found[3].Err; !errors.As(err, &name) {
		t.Errorf("the certificate of mail.example: %v", err)
	}
	if n.most > atOnce {
		t.Errorf("%d connections at the same time", n.most)
	}
}

// TLS from the first octet comes before STLS, whichever name has it.
func TestCommonNamesPreferTLS(t *testing.T) {
	n := &network{hosts: map[string]host{"pop.example:110": {capa: usual}, "pop.example:995": {implicit: true, capa: usual}}}
	_, lines, err := discover(t, "me@example", &zone{}, n)
	if err != nil || len(lines) != 8 {
		t.Fatalf("%q, %v", lines, err)
	}
	same(t, lines[:2], "name pop.example:995 tls", "name pop.example:110 stls")
}

// What SRV names and does not work is not tried a second time.
func TestFallBackToCommonNames(t *testing.T) {
	z := &zone{srv: map[string][]*net.SRV{"_pop3s._tcp.example.": {srv("mail.example.", 995, 0, 0)}}}
	n := &network{hosts: map[string]host{"pop.example:995": {implicit: true, capa: usual}}}
	_, lines, err := discover(t, "me@example", z, n)
	if err != nil {
		t.Fatal(err)
	}
	same(t, lines[:3], "name pop.example:995 tls", "srv mail.example:995 tls fails", "name pop3.example:995 tls fails")
	slices.Sort(n.dialled)
	if len(n.dialled) != 8 || len(slices.Compact(slices.Clone(n.dialled))) != 8 {
		t.Errorf("dialled %q", n.dialled)
	}
}

func TestServersThatSayLittle(t *testing.T) {
	n := &network{hosts: map[string]host{"pop.example:995": {implicit: true, greeting: "+OK <1@pop.example>"}}}
	found, _, err := discover(t, "me@example", &zone{}, n)
	if err != nil || !slices.Equal(found[0].Mechanisms, []string{"USER", "APOP"}) {
		t.Errorf("without CAPA: %+v, %v", found, err)
	}
	n = &network{hosts: map[string]host{"pop.example:995": {implicit: true, greeting: "-ERR go away"}}}
	if _, _, err := discover(t, "me@example", &zone{}, n); err == nil {
		t.Error("a server that refuses was taken")
	}
}

// A server that the table knows gets the user name that it wants.
func TestSRVToAKnownServer(t *testing.T) {
	z := &zone{srv: map[string][]*net.SRV{"_pop3s._tcp.example.": {srv("pop3.web.de.", 995, 0, 0)}}}
	found, _, _ := discover(t, "me@example", z, &network{})
	i := slices.IndexFunc(found, func(c Candidate) bool { return c.Source == FromSRV })
	if i < 0 || found[i].Profile != ByName("web.de") || found[i].User != "me" || !found[i].Confirm {
		t.Errorf("%+v", found)
	}
}

// The address's domain is a provider's own: no DNS is asked, and nothing else
// is tried.
func TestProfileOfTheDomain(t *testing.T) {
	z, n := &zone{}, &network{}
	found, lines, err := discover(t, "me@gmail.com", z, n)
	if err == nil || !strings.Contains(err.Error(), "pop.gmail.com:995 does not answer") || len(z.asked) != 0 {
		t.Errorf("got %v, asked %q", err, z.asked)
	}
	same(t, lines, "profile pop.gmail.com:995 tls fails")
	if found[0].Profile != ByName("gmail") || found[0].User != "me@gmail.com" {
		t.Errorf("%+v", found[0])
	}
	if found, _, _ = discover(t, "me@web.de", z, n); found[0].User != "me" {
		t.Errorf("%+v", found[0])
	}
}

func TestProviderWithoutPOP3(t *testing.T) {
	z := &zone{mx: map[string][]*net.MX{"example.": {{Host: "mx01.mail.icloud.com.", Pref: 10}}}}
	for address, says := range map[string]string{
		"me@icloud.com": "iCloud Mail has no POP3. Apple's iCloud Mail can be read by IMAP alone",
		"me@example":    "iCloud Mail, which takes the mail of example, has no POP3.",
	} {
		n := &network{}
		_, _, err := discover(t, address, z, n)
		var no *NoPOP3Error
		if !errors.As(err, &no) || !strings.Contains(err.Error(), says) || len(n.dialled) != 0 {
			t.Errorf("%s: got %v, dialled %q", address, err, n.dialled)
		}
	}
}

// A domain of one's own at a known provider. SRV records count for more.
func TestProfileByMX(t *testing.T) {
	z := &zone{mx: map[string][]*net.MX{"example.": {{Host: "aspmx.l.google.com.", Pref: 30}, {Host: "mx.backup.test.", Pref: 20}, {Host: "in1-smtp.messagingengine.com.", Pref: 10}}}}
	n := &network{}
	found, lines, err := discover(t, "me@example", z, n)
	if err == nil {
		t.Error("no error, with nothing there")
	}
	same(t, lines[:1], "mx pop.fastmail.com:995 tls confirm fails")
	if found[0].Profile != ByName("fastmail") || found[0].User != "me@example" {
		t.Errorf("%+v", found[0])
	}
	z.srv = map[string][]*net.SRV{"_pop3s._tcp.example.": {srv("pop.example.", 995, 0, 0)}}
	n = &network{hosts: map[string]host{"pop.example:995": {implicit: true, capa: usual}}}
	if _, lines, err = discover(t, "me@example", z, n); err != nil {
		t.Error(err)
	}
	same(t, lines, "srv pop.example:995 tls")
}

func TestNothingFound(t *testing.T) {
	n := &network{}
	found, _, err := discover(t, "me@example", &zone{}, n)
	if err == nil || len(found) != 8 || err.Error() != "no POP3 server was found for example, whose provider says which it is. Tried: pop.example, pop3.example, mail.example, example" {
		t.Errorf("got %d, %v", len(found), err)
	}
	_, _, err = discover(t, "me@example", &zone{err: &net.DNSError{Err: "server misbehaving", IsTemporary: true}}, n)
	if err == nil || !strings.Contains(err.Error(), "The DNS did not answer") {
		t.Errorf("got %v", err)
	}
	if _, err := Discover(t.Context(), "example", nil); err == nil {
		t.Error("no error without an @")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Discover(ctx, "me@example", &Options{Resolver: &zone{}, Dialer: n}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Nobody answers, neither the DNS nor the servers: the limits hold, and each
// candidate says why.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := host{silent: true}
		n := &network{hosts: map[string]host{}}
		for _, name := range []string{"pop.", "pop3.", "mail.", ""} {
			n.hosts[name+"example:995"], n.hosts[name+"example:110"] = silent, silent
		}
		begin := time.Now()
		found, _, err := discover(t, "me@example", &zone{hang: true}, n)
		// Four at a time, and so twice.
		if took, want := time.Since(begin), lookupTime+2*probeTime; took != want || err == nil || len(found) != 8 {
			t.Errorf("took %v, want %v; %d candidates, %v", took, want, len(found), err)
		}
		for _, c := range found {
			if c.Err == nil {
				t.Errorf("%+v", c)
			}
		}
		for name := range n.hosts {
			n.hosts[name] = host{trickles: true}
		}
		begin = time.Now()
		if _, _, err = discover(t, "me@example", &zone{}, n); time.Since(begin) != 2*probeTime || err == nil {
			t.Errorf("servers that trickle: took %v, %v", time.Since(begin), err)
		}
		_, config := pop3test.TLSConfigs()
		begin = time.Now()
		found, err = Discover(t.Context(), "me@example", &Options{Resolver: &zone{}, Dialer: n, TLSConfig: config, Timeout: time.Second})
		n.wg.Wait()
		if took := time.Since(begin); took != time.Second || err == nil || len(found) != 8 {
			t.Errorf("with a limit of a second: took %v; %d candidates, %v", took, len(found), err)
		}
	})
}

// Against the real server.
func TestPoplin(t *testing.T) {
	s := pop3test.NewServer(t)
	n := dialer{"pop.example:995": s.TLSAddr, "pop.example:110": s.Addr}
	found, err := Discover(t.Context(), "me@example", &Options{Resolver: &zone{}, Dialer: n, TLSConfig: s.ClientTLS})
	if err != nil || len(found) != 8 || found[0].Security != TLS || found[1].Security != STLS {
		t.Fatalf("%+v, %v", found, err)
	}
	for _, c := range found[:2] {
		if !slices.Contains(c.Mechanisms, "PLAIN") || !slices.Contains(c.Mechanisms, "USER") || c.Implementation == "" {
			t.Errorf("%+v", c)
		}
	}
}

// dialer knows where the servers really are.
type dialer map[string]string

func (d dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	real, ok := d[addr]
	if !ok {
		return nil, errors.New("connection refused")
	}
	return new(net.Dialer).DialContext(ctx, network, real)
}
