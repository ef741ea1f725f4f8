// Package poplin_test checks the house rules: who may import whom, and what no
// file may hold. It reads the sources with go/parser and builds nothing.
package poplin_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/poplin-mail/poplin/"

// rules says who may import whom within the module: "a, b < c" lets c import
// a and b, and what these may import. A name in capitals stands for a set of
// packages, named by earlier lines. What the text does not allow is forbidden.
const rules = `
NONE < internal/wire, pop3, sasl
internal/wire < maildrop
maildrop < maildrop/memory, maildrop/maildir, maildrop/bucket, maildrop/maildroptest, maildrop/view
maildrop/bucket < maildrop/bucket/buckettest, maildrop/bucket/s3
pop3, sasl, internal/wire < pop3client
pop3, sasl, internal/wire, maildrop, maildrop/view < pop3server
pop3client, pop3server, maildrop/memory < pop3test
internal/wire < internal/fetch/disk
internal/fetch/disk < internal/fetch/disk/disktest, internal/fetch/journal, internal/fetch/target
pop3, sasl < internal/fetch/target
pop3client, maildrop, internal/fetch/journal, internal/fetch/target < internal/fetch
NONE < internal/fetch/credential
internal/fetch/credential < internal/fetch/oauth
pop3, pop3client, internal/fetch/oauth < internal/fetch/provider
pop3client, pop3 < internal/fetch/takeover, internal/fetch/diagnose
pop3 < internal/conformance
pop3, pop3client < internal/load
pop3server < internal/directory, internal/guard
internal/wire, maildrop, maildrop/view < internal/move
internal/wire, maildrop, internal/directory < internal/delivery
internal/directory < internal/directory/sqlusers, internal/directory/ldapusers, internal/directory/pamusers, internal/directory/oauthusers
NONE < internal/certs, internal/process, internal/proxyproto
EVERYTHING < internal/config
EVERYTHING, internal/config < internal/collect
EVERYTHING, internal/config < internal/console
EVERYTHING, internal/config, internal/console < internal/daemon
NONE < internal/cli/demomail
EVERYTHING, internal/config, internal/console, internal/daemon, internal/collect < internal/cli
internal/cli < cmd/poplin
`

// testRules lets the tests of a package import more. Tests may always import
// what the package may, the package itself and pop3test, but for the packages
// that pop3test is made of.
const testRules = `
maildrop/memory, maildrop/maildroptest < pop3server
maildrop/memory, maildrop/maildir, maildrop/maildroptest < maildrop/view
pop3server, maildrop/memory, maildrop < pop3client
maildrop/maildroptest < maildrop/memory, maildrop/maildir, maildrop/bucket
maildrop/bucket/buckettest < maildrop/bucket
maildrop/bucket/buckettest, maildrop/maildroptest < maildrop/bucket/s3
maildrop/memory < maildrop/maildroptest
pop3server, maildrop/memory < internal/conformance
pop3server, maildrop/memory, maildrop < internal/load
internal/fetch/disk/disktest < internal/fetch/journal, internal/fetch/target, internal/fetch
pop3server, maildrop/memory, maildrop/maildir < internal/fetch, internal/directory, internal/delivery
maildrop/memory, maildrop/maildir, maildrop/bucket, maildrop/bucket/buckettest < internal/move
`

// Libraries from outside, by the packages that may import them. A public
// package must not make its users build a command line or a metrics library.
var libraries = map[string][]string{
	"github.com/alecthomas/kong":       {"internal/cli", "internal/config", "internal/daemon"},
	"github.com/vbauerster/mpb":        {"internal/cli"},
	"github.com/mattn/go-runewidth":    {"internal/cli"},
	"golang.org/x/term":                {"internal/cli"},
	"github.com/pelletier/go-toml":     {"internal/config", "internal/cli"},
	"github.com/go-crypt":              {"internal/directory", "internal/cli"},
	"github.com/emersion/go-smtp":      {"internal/delivery", "internal/fetch/target"},
	"github.com/emersion/go-imap":      {"internal/fetch/target"},
	"github.com/emersion/go-message":   {"internal/fetch/target"},
	"github.com/emersion/go-sasl":      {"sasl", "pop3client", "pop3server", "pop3test", "internal/directory", "internal/fetch", "internal/fetch/target", "internal/cli"},
	"github.com/minio/minio-go":        {"maildrop/bucket/s3"},
	"github.com/klauspost/compress":    {"maildrop/bucket"},
	"github.com/oklog/ulid":            {"maildrop/bucket"},
	"github.com/prometheus":            {"internal/console", "internal/daemon"},
	"go.opentelemetry.io":              {"internal/console", "internal/daemon"},
	"golang.org/x/sys":                 {"maildrop/maildir", "internal/directory", "internal/daemon", "internal/cli", "internal/process", "internal/certs", "internal/fetch/disk", "internal/fetch/target", "bench/powerloss/disk", "bench/lmtp/rounds", "bench/siege/cases"},
	"github.com/xdg-go":                {"sasl"},
	"github.com/jackc/pgx":             {"internal/directory/sqlusers"},
	"github.com/go-sql-driver/mysql":   {"internal/directory/sqlusers"},
	"modernc.org/sqlite":               {"internal/directory/sqlusers"},
	"github.com/go-ldap/ldap":          {"internal/directory/ldapusers"},
	"github.com/go-asn1-ber":           {"internal/directory/ldapusers"},
	"github.com/msteinert/pam":         {"internal/directory/pamusers"},
	"github.com/coreos/go-oidc":        {"internal/directory/oauthusers"},
	"github.com/go-jose":               {"internal/directory/oauthusers"},
	"golang.org/x/oauth2":              {"internal/directory/oauthusers", "internal/fetch/oauth"},
	"golang.org/x/net/idna":            {"internal/fetch/provider"},
	"golang.org/x/time":                {"internal/collect"},
	"github.com/zalando/go-keyring":    {"internal/fetch/credential"},
	"github.com/caddyserver/certmagic": {"internal/certs"},
	"github.com/mholt/acmez":           {"internal/certs"},
	"github.com/caddyserver/zerossl":   {"internal/certs"},
	"go.uber.org/zap":                  {"internal/certs"},
	"github.com/pires/go-proxyproto":   {"internal/proxyproto"},
	"github.com/coreos/go-systemd":     {"internal/process"},
	"github.com/landlock-lsm":          {"internal/process"},
	"github.com/rogpeppe/go-internal":  {"pop3test"},
	"go.uber.org/goleak":               {},
}

// testLibraries may be imported by any test.
var testLibraries = []string{"github.com/rogpeppe/go-internal", "go.uber.org/goleak", "github.com/emersion/go-sasl"}

// source is one Go file of the module.
type source struct {
	name    string // with slashes, from the module's root
	text    string
	imports []string
}

func (s source) test() bool  { return strings.HasSuffix(s.name, "_test.go") }
func (s source) pkg() string { return path.Dir(s.name) }

// sources reads the Go files of the module. Modules within it have rules of
// their own.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	root := os.DirFS(".")
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name == "." {
				return nil
			}
			_, nested := fs.Stat(root, name+"/go.mod")
			if nested == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		s := source{name: name, text: string(text)}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, imported)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("found %d Go files: this is not the module's root", len(all))
	}
	return all
}

// edges reads a text of rules, with what each package may import directly.
func edges(t *testing.T, text string) map[string][]string {
	t.Helper()
	direct := map[string][]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		left, right, ok := strings.Cut(line, " < ")
		if !ok {
			t.Fatalf("rule %q has no <", line)
		}
		var may []string
		for name := range strings.SplitSeq(left, ", ") {
			switch name {
			case "NONE":
			case "EVERYTHING": // of the lines above
				may = slices.AppendSeq(may, maps.Keys(direct))
			default:
				may = append(may, name)
			}
		}
		for name := range strings.SplitSeq(right, ", ") {
			direct[name] = append(direct[name], may...)
		}
	}
	return direct
}

// closure gives what pkg may import: directly, and through what it imports.
func closure(direct map[string][]string, pkg string) map[string]bool {
	may := map[string]bool{}
	var add func(string)
	add = func(name string) {
		for _, next := range direct[name] {
			if !may[next] {
				may[next] = true
				add(next)
			}
		}
	}
	add(pkg)
	return may
}

func TestImportsWithinModule(t *testing.T) {
	direct, inTests := edges(t, rules), edges(t, testRules)
	for _, s := range sources(t) {
		pkg := s.pkg()
		if pkg == "." || strings.HasPrefix(pkg, "bench") {
			continue
		}
		if _, known := direct[pkg]; !known {
			t.Errorf("%s: package %s stands in no import rule: say in rules who may import whom", s.name, pkg)
			continue
		}
		may := closure(direct, pkg)
		if s.test() {
			may[pkg] = true
			for _, name := range inTests[pkg] {
				may[name] = true
				maps.Copy(may, closure(direct, name))
			}
			if !closure(direct, "pop3test")[pkg] || strings.HasSuffix(packageName(s), "_test") {
				may["pop3test"] = true
			}
		}
		for _, imported := range s.imports {
			name, within := strings.CutPrefix(imported, module)
			if within && !may[name] {
				t.Errorf("%s imports %s: the rules do not allow that", s.name, name)
			}
		}
	}
}

func packageName(s source) string {
	match := regexp.MustCompile(`(?m)^package (\w+)`).FindStringSubmatch(s.text)
	if match == nil {
		return ""
	}
	return match[1]
}

func TestImportsFromOutside(t *testing.T) {
	for _, s := range sources(t) {
		for _, imported := range s.imports {
			host, _, _ := strings.Cut(imported, "/")
			if strings.HasPrefix(imported, module) || !strings.Contains(host, ".") {
				continue
			}
			if !mayImport(s, imported) {
				t.Errorf("%s imports %s: the table of libraries does not allow that", s.name, imported)
			}
		}
	}
}

func mayImport(s source, imported string) bool {
	under := func(library string) bool {
		return imported == library || strings.HasPrefix(imported, library+"/")
	}
	if s.test() && slices.ContainsFunc(testLibraries, under) {
		return true
	}
	for library, users := range libraries {
		if under(library) && slices.Contains(users, s.pkg()) {
			return true
		}
	}
	return false
}

// Standard packages with a reason against them.
func TestForbiddenImports(t *testing.T) {
	for _, s := range sources(t) {
		for _, imported := range s.imports {
			switch {
			case imported == "net/textproto":
				t.Errorf("%s imports net/textproto: its lines are unbounded, and it takes a bare LF for a line end", s.name)
			case imported == "log" && !s.test() && !strings.HasPrefix(s.pkg(), "cmd/"):
				t.Errorf("%s imports log: log/slog is the only logger", s.name)
			case imported == "C":
				t.Errorf("%s uses cgo: the program must build and run anywhere without it", s.name)
			case imported == "unsafe":
				t.Errorf("%s imports unsafe", s.name)
			}
		}
	}
}

func TestFiles(t *testing.T) {
	// Put together here, so that this file does not hold them itself.
	undone := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	skip := regexp.MustCompile(`\b[a-z]+\.Skip(Now|f)?\(`)
	for _, s := range sources(t) {
		lines := strings.Count(s.text, "\n")
		if lines > 600 {
			t.Errorf("%s has %d lines: split it, 600 is the limit", s.name, lines)
		}
		if s.name == "cmd/poplin/main.go" && lines >= 40 {
			t.Errorf("%s has %d lines: it must stay under 40, the rest belongs in internal/cli", s.name, lines)
		}
		for i, line := range strings.Split(s.text, "\n") {
			if found := undone.FindString(line); found != "" {
				t.Errorf("%s:%d: %s: do it, or open an issue", s.name, i+1, found)
			}
			if s.test() && skip.MatchString(line) {
				t.Errorf("%s:%d: a test that skips says nothing: %s", s.name, i+1, strings.TrimSpace(line))
			}
		}
	}
}
