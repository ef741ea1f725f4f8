package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestMariaDB: over a unix socket.
func TestMariaDB(t *testing.T) {
	dir := folder(t)
	giveToNobody(t, dir)
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "sock")
	install := command(t, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	asNobody(install)
	run(t, install)
	client := func(statement string) *exec.Cmd {
		return command(t, "mariadb", "--no-defaults", "--socket="+socket, "--user=root", "--execute="+statement, "mysql")
	}
	db := database{driver: "mysql", dsn: fmt.Sprintf("poplin:S3cret-of-db@unix(%s)/mail", socket), secret: "S3cret-of-db"}
	startDatabase(t, &db, syscall.SIGTERM, func() *exec.Cmd {
		cmd := exec.Command(find(t, "mariadbd"), "--no-defaults", "--datadir="+data, "--socket="+socket, "--skip-networking",
			"--tmpdir="+dir, "--innodb-flush-log-at-trx-commit=0")
		asNobody(cmd)
		return cmd
	}, func() *exec.Cmd { return client("SELECT 1") })
	run(t, client("CREATE DATABASE mail; CREATE USER poplin@localhost IDENTIFIED BY 'S3cret-of-db'; GRANT SELECT ON mail.* TO poplin@localhost"))
	db.run = func(statement string) {
		t.Helper()
		run(t, client("USE mail; SET sql_mode='ANSI_QUOTES'; "+statement))
	}
	testDatabase(t, db)
}

// TestPostgreSQL: over TCP.
func TestPostgreSQL(t *testing.T) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		t.Fatal("PostgreSQL is not installed: `make e2e` as root installs it on Debian")
	}
	bin, dir, addr := found[len(found)-1], folder(t), freeAddr(t)
	giveToNobody(t, dir)
	data := filepath.Join(dir, "data")
	initdb := command(t, filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=admin", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync", "--locale=C", "--encoding=UTF8")
	initdb.Dir = dir
	asNobody(initdb)
	run(t, initdb)
	client := func(statement string) *exec.Cmd {
		return command(t, filepath.Join(bin, "psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--host="+dir, "--port="+port(addr), "--username=admin", "--dbname=postgres", "--command="+statement)
	}
	db := database{driver: "postgres", dsn: fmt.Sprintf("postgres://poplin:S3cret-of-db@%s/postgres?sslmode=disable", addr), secret: "S3cret-of-db"}
	startDatabase(t, &db, syscall.SIGINT, func() *exec.Cmd { // SIGINT cuts sessions off
		cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-p", port(addr), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
		cmd.Dir = dir
		asNobody(cmd)
		return cmd
	}, func() *exec.Cmd { return client("SELECT 1") })
	db.run = func(statement string) {
		t.Helper()
		run(t, client(statement))
	}
	db.run("CREATE USER poplin PASSWORD 'S3cret-of-db'")
	db.run("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO poplin")
	testDatabase(t, db)
}

// startDatabase starts a server, again at each call of db.start, and waits
// until ready succeeds. db.stop ends it by the signal.
func startDatabase(t *testing.T, db *database, end syscall.Signal, server, ready func() *exec.Cmd) {
	t.Helper()
	var p *process
	db.start = func() {
		t.Helper()
		p = start(t, server())
		for last := time.Now().Add(patience); ready().Run() != nil; time.Sleep(20 * time.Millisecond) {
			select {
			case <-p.done:
				t.Fatalf("the database does not start:\n%s", p.log)
			default:
			}
			if time.Now().After(last) {
				t.Fatalf("the database is not ready:\n%s", p.log)
			}
		}
	}
	db.stop = func() {
		t.Helper()
		p.signal(end)
		p.wait(t)
	}
	db.start()
}
