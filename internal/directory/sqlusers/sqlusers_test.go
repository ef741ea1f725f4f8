package sqlusers

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/pop3server"
)

func TestParseQuery(t *testing.T) {
	good := []struct {
		text     string
		numbered bool
		want     string
		args     string
	}{
		{"SELECT password FROM u WHERE name = {user}", true, "SELECT password FROM u WHERE name = $1", "user"},
		{"SELECT password FROM u WHERE name = {user}", false, "SELECT password FROM u WHERE name = ?", "user"},
		{"SELECT p AS password FROM u WHERE l = {local} AND d = {domain} OR {ip} = '' OR l = {local}", true,
			"SELECT p AS password FROM u WHERE l = $1 AND d = $2 OR $3 = '' OR l = $4", "local domain ip local"},
		{"SELECT '?$' AS password, \"it's\" FROM u WHERE name={user}", false, "SELECT '?$' AS password, \"it's\" FROM u WHERE name=?", "user"},
	}
	for _, c := range good {
		q, err := parseQuery(c.text, c.numbered)
		if err != nil || q.text != c.want || strings.Join(q.args, " ") != c.args {
			t.Errorf("%s: %q, %q, %v", c.text, q.text, q.args, err)
		}
	}
	bad := map[string]string{
		"SELECT password FROM u":                          "does not say whom",
		"SELECT password FROM u WHERE name = '{user}'":    "take the quotation marks away",
		"SELECT password FROM u WHERE name = \"{user}\"":  "take the quotation marks away",
		"SELECT password FROM u WHERE name LIKE '%{user}": "take the quotation marks away",
		"SELECT password FROM u WHERE name = {name}":      "it knows {user}",
		"SELECT password FROM u WHERE name = {user":       "without }",
		"SELECT password FROM u WHERE name = ? {user}":    "parameter of its own",
	}
	for text, want := range bad {
		if _, err := parseQuery(text, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// database makes an SQLite file and gives its path.
func database(t *testing.T, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users?#%.db")
	s, err := New(Options{Driver: SQLite, DSN: path, Query: "SELECT {user} AS password"})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	db, err := sql.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func login(name string) pop3server.Login {
	return pop3server.Login{Username: name, Remote: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:999"))}
}

func TestLookup(t *testing.T) {
	path := database(t,
		"CREATE TABLE u (name TEXT, password TEXT, maildrop TEXT, nologin INT, nets TEXT)",
		"INSERT INTO u VALUES ('anna', '{PLAIN}pw', 'box-a', 0, ''), ('bert', NULL, NULL, NULL, NULL), ('carl', '{PLAIN}pw', NULL, 1, NULL),"+
			"('dora', '{PLAIN}pw', NULL, 0, '198.51.100.0/24'), ('emil', '{PLAIN}pw', NULL, 0, '198.51.100.0/24, 192.0.2.0/24'), ('fred', '{PLAIN}pw', '../../etc', 0, NULL),"+
			"('gina', '{PLAIN}pw', NULL, 0, 'everywhere'), ('twice', '{PLAIN}a', NULL, 0, NULL), ('twice', '{PLAIN}b', NULL, 0, NULL)")
	s, err := New(Options{Driver: SQLite, DSN: path, Query: "SELECT name AS user, password, maildrop, nologin, nets AS allow_nets FROM u WHERE name = {user}"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cases := []struct {
		name, secret, maildrop string
		found, denied          bool
		err                    string
	}{
		{name: "anna", found: true, secret: "{PLAIN}pw", maildrop: "box-a"},
		{name: "bert", found: true},
		{name: "carl", found: true, secret: "{PLAIN}pw", denied: true},
		{name: "dora", found: true, secret: "{PLAIN}pw", denied: true},
		{name: "emil", found: true, secret: "{PLAIN}pw"},
		{name: "gina", found: true, secret: "{PLAIN}pw", denied: true},
		{name: "fred", err: "cannot be used"},
		{name: "twice", err: "several rows"},
		{name: "nobody"}, {name: "'; DROP TABLE u; --"}, {name: "' OR '1'='1"}, {name: "anna\x00"}, {name: "%"}, {name: "a%"}, {name: "\u202eanna"},
		{name: strings.Repeat("x", 64<<10)},
	}
	for _, c := range cases {
		u, err := s.Lookup(t.Context(), login(c.name))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%.20q: %v, want %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil || (u != nil) != c.found {
			t.Errorf("%.20q: %+v, %v", c.name, u, err)
			continue
		}
		if u != nil && (u.Name != c.name || u.Secret != c.secret || u.Maildrop != c.maildrop || (u.Deny != nil) != c.denied) {
			t.Errorf("%q: %+v", c.name, u)
		}
	}
	if u, err := s.Lookup(t.Context(), login("anna")); err != nil || u == nil {
		t.Errorf("in the end anna is %v, %v", u, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if u, err := s.Lookup(ctx, login("anna")); err == nil {
		t.Errorf("a lookup that was cancelled: %+v", u)
	}
}

func TestQueriesThatDoNotFit(t *testing.T) {
	path := database(t, "CREATE TABLE u (name TEXT, password TEXT)", "INSERT INTO u VALUES ('anna', '{PLAIN}pw')")
	for text, want := range map[string]string{
		"SELECT name AS user FROM u WHERE name = {user}":                "no column password",
		"SELECT name, password FROM u WHERE name = {user}":              `a column "name"`,
		"SELECT password, password FROM u WHERE name = {user}":          `a column "password"`,
		"SELECT password FROM absent WHERE name = {user}":               "no such table",
		"DELETE FROM u WHERE name = {user} RETURNING password":          "readonly",
		"SELECT password FROM u WHERE name = {user} UNION ALL SELECT 1": "several rows",
	} {
		s, err := New(Options{Driver: SQLite, DSN: path, Query: text})
		if err != nil {
			t.Fatal(err)
		}
		if u, err := s.Lookup(t.Context(), login("anna")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", text, u, err, want)
		}
		s.Close()
	}
}

// TestOptions: what is wrong is said without the password in the DSN, and a
// database that is not there keeps nothing from starting.
func TestOptions(t *testing.T) {
	const q = "SELECT password FROM u WHERE name = {user}"
	for _, o := range []Options{
		{Driver: "oracle", DSN: "hush", Query: q},
		{Driver: PostgreSQL, DSN: "postgres://u:hush@[", Query: q},
		{Driver: PostgreSQL, DSN: "host=x password=hush sslmode=perhaps", Query: q},
		{Driver: MySQL, DSN: "u:hush@tcp(x", Query: q},
		{Driver: SQLite, DSN: "file:?hush", Query: q},
		{Driver: SQLite, DSN: "x", Query: "SELECT 1"},
	} {
		if s, err := New(o); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%+v: %v, %v", o, s, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	for driver, dsn := range map[string]string{
		PostgreSQL: "postgres://u:hush@" + closed + "/d?sslmode=disable",
		MySQL:      "u:hush@tcp(" + closed + ")/d",
		SQLite:     filepath.Join(t.TempDir(), "none.db"),
	} {
		var log bytes.Buffer
		s, err := New(Options{Driver: driver, DSN: dsn, Query: q, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Errorf("%s: %v", driver, err)
			continue
		}
		u, err := s.Lookup(t.Context(), login("anna"))
		if u != nil || err == nil || strings.Contains(err.Error()+log.String(), "hush") || !strings.Contains(log.String(), "cannot be reached") {
			t.Errorf("%s: %+v, %v, log %s", driver, u, err, &log)
		}
		s.Close()
	}
}
