package conformance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

type insteads = map[string]func(*refConn, string) string
type afters = map[string]func(*refConn, string, string) string

// answers breaks one command: it always answers so.
func answers(verb, answer string) mutation {
	return mutation{
		name:    verb + " answers " + strings.TrimSpace(answer),
		instead: insteads{verb: func(*refConn, string) string { return answer }},
	}
}

// answersIf answers so where the condition holds, and rightly otherwise.
func answersIf(verb, answer string, when func(*refConn, string) bool) mutation {
	return mutation{name: verb + " sometimes answers " + strings.TrimSpace(answer), after: afters{
		verb: func(c *refConn, arg, right string) string {
			if when(c, arg) {
				return answer
			}
			return right
		},
	}}
}

// replaces changes a text in the answers to one command.
func replaces(verb, old, by string) mutation {
	return mutation{name: fmt.Sprintf("%s has %q for %q", verb, by, old), after: afters{
		verb: func(_ *refConn, _, right string) string { return strings.ReplaceAll(right, old, by) },
	}}
}

// swallows drops surplus arguments, or takes a missing one for 1.
func swallows(verb string) mutation {
	return mutation{name: verb + " does not count its arguments", instead: insteads{
		verb: func(c *refConn, arg string) string {
			first, _, _ := strings.Cut(arg, " ")
			if first == "" {
				first = "1"
			}
			return c.command(verb, first)
		},
	}}
}

// closes ends the connection in place of an answer.
func closes(verb string, when func(*refConn, string) bool) mutation {
	return mutation{name: verb + " closes", after: afters{
		verb: func(c *refConn, arg, right string) string {
			if when(c, arg) {
				c.done = true
				return ""
			}
			return right
		},
	}}
}

func flagged(name string) mutation { return mutation{name: name, flag: name} }

func (m mutation) fromStart() mutation {
	m.always = true
	return m
}

func inTLS(c *refConn, _ string) bool     { return c.tls }
func inClear(c *refConn, _ string) bool   { return !c.tls }
func loggedIn(c *refConn, _ string) bool  { return c.state == pop3.Transaction }
func pipelined(c *refConn, _ string) bool { return c.r.Buffered() > 0 }
func hasArg(_ *refConn, arg string) bool  { return arg != "" }
func argIs(want string) func(*refConn, string) bool {
	return func(_ *refConn, arg string) bool { return arg == want }
}

const ok = "+OK\r\n"

// breakers says for each case by what it must fail.
var breakers = map[string][]mutation{
	"greeting/one-line":          {replaces("GREETING", "\r\n", "\r\n+OK and more\r\n")},
	"greeting/timestamp-form":    {replaces("GREETING", "<1.", "<x1.").fromStart()},
	"greeting/timestamp-differs": {{name: "one timestamp", after: afters{"GREETING": func(*refConn, string, string) string { return "+OK <1.1@localhost>\r\n" }}}},
	"apop/wrong-digest":          {answers("APOP", ok)},
	"capa/answers":               {answers("CAPA", refused)},
	"capa/form":                  {replaces("CAPA", "TOP\r\n", "TOP\r\nTOP\r\n"), replaces("CAPA", "TOP\r\n", " TOP\r\n"), replaces("CAPA", "SASL PLAIN", "SASL  PLAIN")},
	"capa/after-login":           {answersIf("CAPA", refused, loggedIn)},
	"capa/user":                  {replaces("CAPA", "USER\r\n", ""), answers("USER", refused)},
	"capa/user-in-clear-text":    {answersIf("USER", refused, inClear)},
	"capa/top":                   {answers("TOP", refused)},
	"capa/uidl":                  {answers("UIDL", refused)},
	"capa/pipelining":            {replaces("CAPA", "PIPELINING\r\n", "").fromStart()},
	"capa/resp-codes":            {replaces("CAPA", "AUTH-RESP-CODE\r\n", "").fromStart()},
	"capa/any-case":              {flagged("case")},

	"user/no-argument":    {answers("USER", ok)},
	"pass/without-user":   {answers("PASS", ok)},
	"pass/works":          {answers("PASS", refused), answers("USER", refused)},
	"pass/wrong":          {{name: "any password", instead: insteads{"PASS": func(c *refConn, _ string) string { return c.login(c.user, TestPassword) }}}},
	"pass/trailing-blank": {flagged("trims")},
	"pass/code":           {replaces("PASS", "[AUTH] ", "")},
	"pass/unknown-user":   {flagged("tells")},
	"user/after-login":    {answersIf("USER", ok, loggedIn)},
	"quit/before-login":   {answers("QUIT", ok), closes("QUIT", argIs("")), answers("QUIT", refused)},
	"quit/after-login":    {answersIf("QUIT", refused, loggedIn), answers("QUIT", ok)},

	"auth/plain":                  {answers("AUTH", refused)},
	"auth/plain-two-steps":        {replaces("AUTH", "+ \r\n", "+\r\n"), answers("AUTH", refused)},
	"auth/any-case":               {answersIf("AUTH", refused, func(_ *refConn, arg string) bool { return strings.HasPrefix(arg, "p") })},
	"auth/wrong-password":         {answers("AUTH", ok)},
	"auth/cancel":                 {replaces("RESPONSE", refused, refused+refused), closes("RESPONSE", argIs("*"))},
	"auth/empty-initial-response": {{name: "= asks", instead: insteads{"AUTH": func(c *refConn, arg string) string { c.pending = true; return "+ \r\n" }}}},
	"auth/not-base64":             {replaces("RESPONSE", refused, ok), closes("RESPONSE", argIs("!!!!"))},
	"auth/no-nul":                 {closes("AUTH", argIs("PLAIN eHl6"))},
	"auth/base64-tab":             {flagged("loose-base64")},
	"auth/base64-padding":         {flagged("loose-base64")},
	"auth/unknown-mechanism":      {answers("AUTH", "+ \r\n")},
	"auth/bare":                   {answersIf("AUTH", refused, argIs(""))},
	"auth/after-login":            {answers("AUTH", ok)},
	"auth/long-response":          {closes("RESPONSE", func(_ *refConn, arg string) bool { return len(arg) > 255 })},

	"stls/announced":            {replaces("CAPA", "STLS\r\n", "").fromStart()},
	"stls/not-announced-in-tls": {replaces("CAPA", "TOP\r\n", "TOP\r\nSTLS\r\n")},
	"stls/in-tls":               {answersIf("STLS", ok, inTLS)},
	"stls/after-login":          {answers("STLS", ok)},
	"stls/argument":             {{name: "STLS takes arguments", instead: insteads{"STLS": func(c *refConn, _ string) string { return c.command("STLS", "") }}}},
	"stls/injection":            {flagged("stls-keeps-input")},
	"stls/forgets-user":         {flagged("stls-keeps-user")},
	"tls/old-versions":          {flagged("tls-1.1")},
	"tls/foreign-alpn":          {flagged("any-alpn")},
	"tls/alpn":                  {flagged("other-alpn")},

	"stat/form":             {replaces("STAT", "+OK ", "+OK  "), replaces("STAT", "+OK ", "+OK 0")},
	"stat/agrees-with-list": {answers("STAT", "+OK 1 1\r\n"), answers("STAT", "+OK 0 0\r\n")},
	"noop/works":            {answers("NOOP", refused), replaces("NOOP", ok, ok+ok)},
	"noop/argument":         {answers("NOOP", ok)},
	"commands/any-case":     {flagged("case")},
	"commands/unknown":      {answers("XPOPLIN", ok), closes("XPOPLIN", loggedIn)},

	"list/form":             {replaces("LIST", "2 ", "2  "), replaces("LIST", "\r\n.\r\n", "\r\n\n.\r\n")},
	"list/order":            {replaces("LIST", "\r\n2 ", "\r\n8 ")},
	"list/one":              {answersIf("LIST", "+OK 1 1\r\n", hasArg), answersIf("LIST", refused, hasArg)},
	"list/surplus-argument": {swallows("LIST")},
	"list/trailing-blank":   {answersIf("LIST", refused, argIs(" "))},

	"retr/size": {replaces("RETR", "\r\n.\r\n", "\r\nx\r\n.\r\n")},
	"retr/dots": {flagged("no-stuffing"), flagged("no-stuffing-at-0")},
	"retr/twice": {{name: "RETR changes", after: afters{"RETR": func(c *refConn, _, right string) string {
		c.bad++
		return strings.ReplaceAll(right, "first", fmt.Sprint(c.bad))
	}}}},
	"retr/no-argument":      {swallows("RETR")},
	"retr/surplus-argument": {swallows("RETR")},
	"retr/any-order":        {{name: "RETR goes on", instead: insteads{"RETR": func(c *refConn, _ string) string { c.bad++; return c.message(c.mail[min(c.bad, len(c.mail))-1].text) }}}},

	"top/header":         {replaces("TOP", "\r\n.\r\n", "\r\nx\r\n.\r\n")},
	"top/lines":          {{name: "TOP counts wrong", instead: insteads{"TOP": func(c *refConn, arg string) string { return c.command("TOP ", arg) }}}},
	"top/all":            {answersIf("TOP", refused, func(_ *refConn, arg string) bool { return len(arg) > 5 })},
	"top/no-count":       {{name: "TOP without count", instead: insteads{"TOP": func(c *refConn, arg string) string { return c.transaction("TOP", arg+" 0") }}}},
	"top/negative-count": {{name: "TOP -1", instead: insteads{"TOP": func(c *refConn, arg string) string { return c.transaction("TOP", strings.ReplaceAll(arg, "-1", "1")) }}}},
	"top/huge-count":     {answersIf("TOP", refused, func(_ *refConn, arg string) bool { return len(arg) > 8 })},

	"uidl/form":             {replaces("UIDL", "uid-", "uid "), replaces("UIDL", "uid-", "\xc3\xa9"), replaces("UIDL", "uid-", strings.Repeat("u", 70))},
	"uidl/unique":           {replaces("UIDL", "uid-3", "uid-2")},
	"uidl/agrees-with-list": {replaces("UIDL", "3 uid-2\r\n", "")},
	"uidl/one":              {answersIf("UIDL", "+OK 1 other\r\n", hasArg), answersIf("UIDL", refused, hasArg)},
	"uidl/stable":           {{name: "UIDL changes", after: afters{"UIDL": func(c *refConn, _, right string) string { return strings.ReplaceAll(right, "uid-", fmt.Sprint(c.id)) }}}},
	"uidl/trailing-blank":   {answersIf("UIDL", refused, argIs(" "))},

	"dele/no-argument":      {swallows("DELE"), {name: "DELE marks and refuses", instead: insteads{"DELE": func(c *refConn, _ string) string { c.marked[1] = true; return refused }}}},
	"dele/surplus-argument": {swallows("DELE")},
	"dele/hides":            {answers("DELE", ok)},
	"dele/hides-from-top":   {answers("DELE", ok)},
	"dele/hides-from-uidl":  {flagged("lists-marked"), answers("DELE", ok)},
	"dele/stat":             {flagged("stat-counts-marked")},
	"dele/numbers-stay":     {flagged("shifts"), flagged("lists-marked")},
	"rset/restores":         {answers("RSET", ok)},
	"dele/lost-connection":  {flagged("delete-on-drop")},
	"dele/truncated-quit":   {flagged("quit-without-end")},
	"dele/quit-deletes":     {{name: "QUIT deletes too much", instead: insteads{"QUIT": func(c *refConn, _ string) string { c.done, c.marked[1] = true, true; c.update(); return ok }}}, {name: "QUIT deletes nothing", instead: insteads{"QUIT": func(c *refConn, _ string) string { c.done = true; return ok }}}},

	"lines/empty":          {replaces("", "unknown\r\n", "unknown\r\n-ERR again\r\n")},
	"lines/strange-verbs":  {answers(":", ok), closes("%N%S%D", loggedIn)},
	"lines/nul":            {answers("NOOP\x00", ok)},
	"lines/longest":        {closes("NOOP"+strings.Repeat("X", 249), loggedIn)},
	"lines/too-long":       {flagged("long-lines"), replaces("TOO-LONG", "-ERR", "+OK")},
	"lines/octet-by-octet": {flagged("segments")},
	"lines/no-echo":        {answers("POPLINCHECK", "-ERR POPLINCHECK is unknown\r\n")},
	"lines/sends-away":     {answers("X-HEADER:", refused)},

	"pipelining/order": {answersIf("XPOPLIN", "", pipelined)},
	"pipelining/retr": {{name: "RETR hurries", after: afters{"RETR": func(c *refConn, arg, right string) string {
		if pipelined(c, arg) {
			return strings.Replace(right, "second\r\n", "", 1)
		}
		return right
	}}}},
	"pipelining/login": {{name: "PASS drops input", after: afters{"PASS": func(c *refConn, _, right string) string { c.r.Discard(c.r.Buffered()); return right }}}},
	"pipelining/quit":  {{name: "RETR is the last", after: afters{"RETR": func(c *refConn, arg, right string) string { c.done = pipelined(c, arg); return right }}}},

	"lock/second-session": {flagged("no-lock")},
	"lock/code":           {replaces("PASS", "[IN-USE] ", "")},
	"lock/released":       {flagged("lock-stays")},
	"lock/not-before-login": {{name: "USER locks", after: afters{"USER": func(c *refConn, _, right string) string {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.held = true
		return right
	}}}},

	"utf8/before-login": {answers("UTF8", refused)},
	"utf8/argument":     {answers("UTF8", ok)},
	"utf8/after-login":  {answersIf("UTF8", refused, loggedIn)},
	"lang/list":         {replaces("LANG", "en English", "?"), answersIf("LANG", refused, argIs(""))},
	"lang/unknown":      {answersIf("LANG", ok, hasArg)},
	"lang/any":          {answersIf("LANG", refused, argIs("*"))},
}

func init() {
	for verb, answer := range map[string]string{"STAT": "+OK 0 0\r\n", "LIST": ok + ".\r\n", "RETR": ok + ".\r\n", "DELE": ok, "RSET": ok, "TOP": ok + ".\r\n", "UIDL": ok + ".\r\n"} {
		breakers["before-login/"+verb] = []mutation{answersIf(verb, answer, func(c *refConn, _ string) bool { return !loggedIn(c, "") })}
	}
	for _, verb := range []string{"LIST", "RETR", "DELE", "TOP", "UIDL"} {
		for name, flag := range map[string]string{"zero": "zero", "past-the-end": "past", "wraps": "wraps", "wraps-64": "wraps", "negative": "negative", "garbage": "garbage"} {
			breakers["number/"+verb+"-"+name] = []mutation{flagged(flag)}
		}
	}
}

// mode gives the mode of TLS in which a case is applicable.
func (n Needs) mode() TLSMode {
	switch {
	case n.STLS || n.Clear:
		return STLS
	case n.TLS:
		return Implicit
	}
	return NoTLS
}

func runOne(t *testing.T, c Case, m mutation, timeout time.Duration) Result {
	t.Helper()
	_, target := startReference(t, c.Needs.mode(), m)
	target.Destructive, target.Timeout = true, timeout
	report, err := Run(t.Context(), target, []Case{c})
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	return report.Results[0]
}

// Every case passes on a server that is right, and fails on each that is
// broken in a way that it is about.
func TestCasesFail(t *testing.T) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if r := runOne(t, c, mutation{}, 20*time.Second); r.Outcome != Pass {
				t.Fatalf("on a server that is right: %s, %s\n%s", r.Outcome, r.Detail, strings.Join(r.Seen, "\n"))
			}
			if len(breakers[c.Name]) == 0 {
				t.Fatal("no mutation breaks this case")
			}
			for _, m := range breakers[c.Name] {
				r := runOne(t, c, m, time.Second)
				if r.Outcome != Fail || r.Detail == "" {
					t.Errorf("broken so that %s: %s", m.name, r.Outcome)
				}
			}
		})
	}
}

// No breaker is left of a case that is gone.
func TestBreakersHaveCases(t *testing.T) {
	names := map[string]bool{}
	for _, c := range Cases() {
		if names[c.Name] {
			t.Errorf("two cases are called %s", c.Name)
		}
		names[c.Name] = true
		if c.Section == "" || c.Why == "" || len(c.Steps) == 0 || c.Severity != Must && c.Severity != Should && c.Severity != Habit {
			t.Errorf("%s lacks a section, an explanation, a severity or steps", c.Name)
		}
	}
	for name := range breakers {
		if !names[name] {
			t.Errorf("mutations for %s, which is no case", name)
		}
	}
	if len(names) < 100 {
		t.Errorf("%d cases", len(names))
	}
}
