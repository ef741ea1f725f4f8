package provider

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/poplin-mail/poplin/internal/fetch/oauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTable holds the rows to their form: a slip in one would send a password
// to a wrong place, or to none.
func TestTable(t *testing.T) {
	seen := map[string]string{}
	once := func(p *Profile, kind, text string) {
		if other, twice := seen[kind+text]; twice {
			t.Errorf("%s: %s %q is that of %s too", p.Name, kind, text, other)
		}
		seen[kind+text] = p.Name
	}
	for _, p := range Profiles() {
		once(p, "name", p.Name)
		if p.Title == "" || p.Name != strings.ToLower(p.Name) || !regexp.MustCompile(`^20\d\d-(0[1-9]|1[0-2])$`).MatchString(p.Checked) {
			t.Errorf("%s: title %q, checked %q", p.Name, p.Title, p.Checked)
		}
		if len(p.Domains) == 0 {
			t.Errorf("%s: no domain", p.Name)
		}
		for kind, names := range map[string][]string{"domain": p.Domains, "server": append([]string{p.Server}, p.Aliases...), "mx": p.MX} {
			for _, name := range names {
				if name == "" && kind == "server" && p.NoPOP3 != "" {
					continue
				}
				once(p, kind, name)
				if !hostname(name) || name != strings.ToLower(name) || !strings.Contains(name, ".") {
					t.Errorf("%s: %q is no name", p.Name, name)
				}
			}
		}
		if p.NoPOP3 != "" {
			if p.Server != "" || p.Port != 0 || p.OAuth != nil {
				t.Errorf("%s has no POP3, and a server", p.Name)
			}
			continue
		}
		if p.Port != map[Security]int{TLS: 995, STLS: 110}[p.Security] || p.UserForm != WholeAddress && p.UserForm != LocalPart {
			t.Errorf("%s: port %d, security %q, user form %q", p.Name, p.Port, p.Security, p.UserForm)
		}
		if p.OAuthOnly && (p.OAuth == nil || p.AppPassword != "") {
			t.Errorf("%s refuses passwords and says otherwise", p.Name)
		}
		for _, text := range []string{p.AppPassword, p.NeedsSwitch, p.Note, p.NoPOP3} {
			if strings.Contains(text, "  ") || strings.ContainsAny(text, "\n\t") || strings.HasPrefix(text, " ") {
				t.Errorf("%s: malformed text %q", p.Name, text)
			}
		}
	}
}

func TestEndpoints(t *testing.T) {
	for _, o := range []*OAuth{google, microsoft} {
		if o.ClientID != "" {
			t.Errorf("%s has the client id of somebody else", o.Name)
		}
		_, err := oauth.New(oauth.Config{Account: "work", ClientID: "x", Folder: t.TempDir(), Endpoints: o.Endpoints})
		if err != nil {
			t.Errorf("%s: %v", o.Name, err)
		}
		if ByOAuth(o.Name) != o || ByOAuth(strings.ToUpper(o.Name)) != o {
			t.Errorf("%s is not found by its name", o.Name)
		}
	}
	if ByOAuth("custom") != nil || ByOAuth("") != nil {
		t.Error("an unknown name was found")
	}
	if google.Endpoints.DeviceURL != "" {
		t.Error("Google's device flow has no scope for mail")
	}
	if got, want := google.Endpoints.Scopes, []string{"https://mail.google.com/"}; !slices.Equal(got, want) {
		t.Errorf("Google's scopes: %q", got)
	}
	if got, want := microsoft.Endpoints.Scopes, []string{"https://outlook.office.com/POP.AccessAsUser.All", "offline_access"}; !slices.Equal(got, want) {
		t.Errorf("Microsoft's scopes: %q", got)
	}
}

func name(p *Profile) string {
	if p == nil {
		return ""
	}
	return p.Name
}

func TestLookups(t *testing.T) {
	for domain, want := range map[string]string{
		"gmail.com": "gmail", "GoogleMail.com.": "gmail", "hotmail.co.uk": "outlook", "yahoo.de": "yahoo", "aol.com": "aol", "gmx.de": "gmx", "gmx.com": "gmx.com",
		"web.de": "web.de", "fastmail.com": "fastmail", "icloud.com": "icloud", "me.com": "icloud", "proton.me": "proton",
		"yahoo.co.jp": "", "mail.gmail.com": "", "notgmail.com": "", "example.org": "", "": "", ".": "",
	} {
		if got := name(ByDomain(domain)); got != want {
			t.Errorf("domain %q: %q, want %q", domain, got, want)
		}
	}
	for host, want := range map[string]string{
		"pop.gmail.com": "gmail", "POP.GMAIL.COM.": "gmail", "pop-mail.outlook.com": "outlook", "outlook.office365.com": "outlook", "posteo.de": "posteo", "gmail.com": "", "": "", ".": "",
	} {
		if got := name(ByServer(host)); got != want {
			t.Errorf("server %q: %q, want %q", host, got, want)
		}
	}
	for hosts, want := range map[string]string{
		"aspmx.l.google.com. alt1.aspmx.l.google.com.":      "gmail",
		"aspmx2.googlemail.com.":                            "gmail",
		"SMTP.Google.com.":                                  "gmail",
		"example-org.mail.protection.outlook.com.":          "outlook",
		"outlook-com.olc.protection.outlook.com.":           "outlook",
		"example-org.o-v1.mx.microsoft.":                    "outlook",
		"in1-smtp.messagingengine.com.":                     "fastmail",
		"mta5.am0.yahoodns.net.":                            "yahoo",
		"mx-aol.mail.gm0.yahoodns.net.":                     "aol",
		"mx01.mail.icloud.com.":                             "icloud",
		"mx.example.org. in1-smtp.messagingengine.com.":     "fastmail",
		"in1-smtp.messagingengine.com. aspmx.l.google.com.": "fastmail",
		"mx.example.org.":                                   "",
		"aspmx.l.google.com.example.org.":                   "",
		"evilgoogle.com.":                                   "",
		".":                                                 "",
		"":                                                  "",
	} {
		if got := name(ByMX(strings.Fields(hosts))); got != want {
			t.Errorf("MX %q: %q, want %q", hosts, got, want)
		}
	}
	if name(ByName("Gmail")) != "gmail" || ByName("") != nil || ByName("example") != nil {
		t.Error("by name")
	}
}

func TestQuirks(t *testing.T) {
	if p := ByName("gmail"); !p.PoppedAtQuit || p.SessionMessages != 250 || p.MinInterval != 5*time.Minute || p.OAuth != google {
		t.Errorf("%+v", p)
	}
	if p := ByName("outlook"); p.IdleCut != time.Minute || !p.OAuthOnly || p.OAuth != microsoft {
		t.Errorf("%+v", p)
	}
	for name, want := range map[string]string{"gmail": "me@gmail.com", "web.de": "me"} {
		if got := ByName(name).User("me@" + strings.Replace(name, "gmail", "gmail.com", 1)); got != want {
			t.Errorf("%s: user %q, want %q", name, got, want)
		}
	}
	if got := ByName("web.de").User("me"); got != "me" {
		t.Errorf("user %q", got)
	}
	list := Profiles()
	list[0] = nil
	if Profiles()[0] == nil {
		t.Error("a caller can change the table")
	}
}

func TestParseAddress(t *testing.T) {
	for address, want := range map[string]string{
		"me@example.org":                         "me example.org",
		"Me.Too+x@Example.ORG":                   "Me.Too+x example.org",
		"me@example.org.":                        "me example.org",
		"me@bücher.example":                      "me xn--bcher-kva.example",
		"ÿ@example.org":                          "ÿ example.org",
		"me@localhost":                           "me localhost",
		"":                                       "",
		"me":                                     "",
		"@example.org":                           "",
		"me@":                                    "",
		"me@.":                                   "",
		"a b@example.org":                        "",
		"a\n@example.org":                        "",
		"a@b@example.org":                        "",
		"me@example..org":                        "",
		"me@-example.org":                        "",
		"me@example-.org":                        "",
		"me@127.0.0.1":                           "",
		"me@[127.0.0.1]":                         "",
		"me@::1":                                 "",
		"me@example.org:995":                     "",
		"me@example.org/x":                       "",
		"me@exa mple.org":                        "",
		"me@exam\u202eple.org":                   "",
		"me@" + strings.Repeat("a", 64) + ".org": "",
		"me@" + strings.Repeat("a.", 140) + "org": "",
		strings.Repeat("a", 320) + "@example.org": "",
	} {
		local, domain, err := ParseAddress(address)
		if got := strings.TrimSpace(local + " " + domain); got != want || (err == nil) != (want != "") {
			t.Errorf("%.60q: got %q, %v, want %q", address, got, err, want)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"me@example.org", "me@bücher.example", "a@b@c", "@", "me@xn--a", "me@1.2.3.4", "me@\u202e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		local, domain, err := ParseAddress(address)
		switch {
		case err != nil && local+domain != "":
			t.Errorf("%q gave %q, %q with an error", address, local, domain)
		case err == nil && (local == "" || strings.ContainsAny(local, " @\r\n\x00") || !hostname(domain) || domain != strings.ToLower(domain) || !strings.HasPrefix(address, local+"@")):
			t.Errorf("%q gave %q, %q", address, local, domain)
		}
	})
}

// TestScopes: a token is asked for what it is for.
func TestScopes(t *testing.T) {
	for service, want := range map[Service]string{POP3: "POP.AccessAsUser.All", IMAP: "IMAP.AccessAsUser.All", SMTP: "SMTP.Send"} {
		if got := microsoft.For(service); got.Scopes[0] != "https://outlook.office.com/"+want || got.TokenURL != microsoft.Endpoints.TokenURL {
			t.Errorf("%s: %+v", service, got)
		}
		if got := google.For(service).Scopes; !slices.Equal(got, google.Endpoints.Scopes) {
			t.Errorf("%s at Google: %q", service, got)
		}
	}
}
