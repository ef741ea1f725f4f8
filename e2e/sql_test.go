package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// database is a real database that holds the users of `poplin serve`.
type database struct {
	driver, dsn string
	secret      string                 // the password within the DSN
	run         func(statement string) // as its administrator
	stop, start func()                 // nil where there is no server
}

// The password of all users, and it as stored by others' programs: each is
// what crypt(3) of glibc makes of it.
const (
	sqlPassword = "pass word"
	sqlBlowfish = "{BLF-CRYPT}$2b$05$abcdefghijklmnopqrstuuIt/9/tGzLcigNq/.RWIDjeEVR30RSf."
	sqlSHA512   = "{SHA512-CRYPT}$6$rounds=5000$saltsalt$cc1KsgmlKYtCcnNH8.sv7Fe8mca8fAso5fHlNrb1VZa5WYQ.L3ChTcx06ID.LoaXZAf9CZNraK43XCp7LxKHl1"
)

// startWithUsers starts `poplin serve` without TLS required, with that source
// of users and further tables, and a maildrop for each name.
func startWithUsers(t *testing.T, source, tables string, names ...string) poplinServer {
	t.Helper()
	s := startPoplin(t, true)
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	for _, name := range names {
		newMaildir(t, filepath.Join(s.dir, "mail", name))
	}
	s.process, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		s.configure(t, true, plain, tls)
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(text), `source = "file"`, fmt.Sprintf("source = %q", source), 1) +
			tables + "\n[limits]\nknown_networks = [\"127.0.0.0/8\"]\n"
		if err := os.WriteFile(s.config, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		return s.command()
	})
	return s
}

// wantLogin checks the reply to USER and PASS.
func (s poplinServer) wantLogin(t *testing.T, user, password, want string) {
	t.Helper()
	if got := passReply(t, s.plain, user, password); !strings.HasPrefix(got, want) {
		t.Errorf("%q with %q: %q, want %s", user, password, got, want)
	}
}

// scramSecret is what `poplin user add` stores for SCRAM.
func scramSecret(t *testing.T) string {
	t.Helper()
	dir := folder(t)
	s := poplinServer{dir: dir, config: filepath.Join(dir, "poplin.toml")}
	newAuthority(t, dir)
	s.configure(t, true, "127.0.0.1:0", "127.0.0.1:0")
	add := command(t, poplin, "user", "add", "--config", s.config, "--scheme", "scram-sha-256", "carl")
	add.Stdin = strings.NewReader(sqlPassword + "\n")
	run(t, add)
	text, err := os.ReadFile(filepath.Join(dir, "users"))
	if err != nil {
		t.Fatal(err)
	}
	_, secret, _ := strings.Cut(strings.TrimSpace(string(text)), ":")
	secret, _, _ = strings.Cut(secret, "::")
	if !strings.HasPrefix(secret, "{SCRAM-SHA-256}") {
		t.Fatalf("the file of users has %q", text)
	}
	return secret
}

// testDatabase fills the database with users and logs them in.
func testDatabase(t *testing.T, db database) {
	t.Helper()
	db.run("CREATE TABLE users (name VARCHAR(200) PRIMARY KEY, password VARCHAR(300), box VARCHAR(200), closed BOOLEAN)")
	for name, secret := range map[string]string{"anna": sqlBlowfish, "bert": sqlSHA512, "carl": scramSecret(t), "dora": sqlSHA512, "emil": "", "fred": sqlSHA512} {
		db.run(fmt.Sprintf("INSERT INTO users VALUES ('%s', '%s', NULL, %t)", name, secret, name == "dora"))
	}
	db.run("UPDATE users SET box = 'letters' WHERE name = 'fred'")
	s := startWithUsers(t, "sql", fmt.Sprintf(`[users.sql]
driver = %q
dsn = %q
query = """
SELECT name AS "user", password, box AS maildrop, closed AS nologin
FROM users WHERE name = {user}"""
`, db.driver, db.dsn), "anna", "bert", "carl", "dora", "emil", "letters")
	s.tryLogins(t)

	s.wantLogin(t, "anna", sqlPassword, "+OK")
	db.run("UPDATE users SET password = '" + sqlSHA512[:len(sqlSHA512)-1] + "2' WHERE name = 'anna'")
	s.wantLogin(t, "anna", sqlPassword, "-ERR [AUTH]") // at once, although it was right a moment ago
	db.run("UPDATE users SET password = '" + sqlSHA512 + "' WHERE name = 'anna'")
	s.wantLogin(t, "anna", sqlPassword, "+OK")
	db.run("UPDATE users SET closed = TRUE WHERE name = 'anna'")
	s.wantLogin(t, "anna", sqlPassword, "-ERR [AUTH]")
	db.run("DELETE FROM users WHERE name = 'bert'")
	s.wantLogin(t, "bert", sqlPassword, "-ERR [AUTH]")

	if db.stop != nil {
		s.wantLogin(t, "carl", sqlPassword, "+OK")
		db.stop()
		s.wantLogin(t, "carl", sqlPassword, "-ERR [SYS/TEMP]")
		s.wantLogin(t, "nobody", "wrong", "-ERR [SYS/TEMP]")
		db.start()
		s.wantLogin(t, "carl", sqlPassword, "+OK")
		db.stop() // with a connection that was used a moment ago
		db.start()
		s.wantLogin(t, "carl", sqlPassword, "+OK")
		s.wantLogin(t, "nobody", "wrong", "-ERR [AUTH]")
	}
	log := s.process.log.String()
	for _, secret := range []string{sqlPassword, "hush hush", db.secret, "$2b$", "$6$"} {
		if secret != "" && strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// tryLogins logs in right and wrong, and as those who would be SQL.
func (s poplinServer) tryLogins(t *testing.T) {
	t.Helper()
	for _, c := range []struct{ user, password, want string }{
		{"anna", sqlPassword, "+OK"},
		{"bert", sqlPassword, "+OK"},
		{"carl", sqlPassword, "+OK"},
		{"fred", sqlPassword, "+OK"},
		{"anna", "hush hush", "-ERR [AUTH]"},
		{"carl", "hush hush", "-ERR [AUTH]"},
		{"dora", sqlPassword, "-ERR [AUTH]"}, // closed
		{"emil", sqlPassword, "-ERR [AUTH]"}, // no password is right
		{"nobody", sqlPassword, "-ERR [AUTH]"},
		{"x' OR '1'='1", sqlPassword, "-ERR [AUTH]"},
		{"anna'--", sqlPassword, "-ERR [AUTH]"},
		{`\' OR 1=1 -- `, sqlPassword, "-ERR [AUTH]"},
		{"'; DELETE FROM users; --", sqlPassword, "-ERR [AUTH]"},
		{"{user}", sqlPassword, "-ERR [AUTH]"},
		{"$1", sqlPassword, "-ERR [AUTH]"},
		{"an%", sqlPassword, "-ERR [AUTH]"},
	} {
		s.wantLogin(t, c.user, c.password, c.want)
	}
}

// TestSQLite: an SQLite file in the mode of a write-ahead log, written by
// Python's module while the server has it open.
func TestSQLite(t *testing.T) {
	dir := folder(t)
	file := filepath.Join(dir, "users.db")
	testDatabase(t, database{driver: "sqlite", dsn: file, run: func(statement string) {
		t.Helper()
		const program = "import sqlite3, sys\nd = sqlite3.connect(sys.argv[1])\nd.execute('PRAGMA journal_mode=WAL')\nd.execute(sys.argv[2])\nd.commit()\n"
		run(t, command(t, "python3", "-c", program, file, statement))
	}})
}
