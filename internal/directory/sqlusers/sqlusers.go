// Package sqlusers finds users in an SQL database: PostgreSQL, MySQL or
// MariaDB, or SQLite, by a query of the operator's.
package sqlusers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/pop3server"
)

// Drivers.
const (
	PostgreSQL = "postgres"
	MySQL      = "mysql"
	SQLite     = "sqlite"
)

const (
	timeout  = 10 * time.Second // of a lookup
	lifetime = 30 * time.Minute // of a connection: servers and firewalls drop old ones
)

// Options say where the database is and what to ask it.
type Options struct {
	Driver string
	DSN    string // postgres://..., USER:PASSWORD@tcp(HOST)/DATABASE, or a file

	// Query finds a user. {user}, {local}, {domain} and {ip} become bound
	// parameters. Columns are known by their names: password, and if need be
	// user, maildrop, nologin, allow_nets, quota_octets,
	// quota_messages and expire_days.
	Query string

	Connections int // at most; 0: 8
	Logger      *slog.Logger
}

// Source is a directory.Source over a database.
type Source struct {
	db    *sql.DB
	query query
}

// New opens the database. One that cannot be reached is no error, but logged:
// it may come later.
func New(opts Options) (*Source, error) {
	q, err := parseQuery(opts.Query, opts.Driver == PostgreSQL)
	if err != nil {
		return nil, err
	}
	db, err := open(opts)
	if err != nil {
		return nil, err
	}
	connections := opts.Connections
	if connections <= 0 {
		connections = 8
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxLifetime(lifetime)
	if opts.Logger != nil {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := db.PingContext(ctx); err != nil {
			opts.Logger.Warn("the database of users cannot be reached: nobody in it can log in until it can", "error", err)
		}
	}
	return &Source{db: db, query: q}, nil
}

// open makes the pool. Errors of the drivers' parsers hold the DSN, and the
// password in it: they are not handed on.
func open(opts Options) (*sql.DB, error) {
	switch opts.Driver {
	case PostgreSQL:
		config, err := pgx.ParseConfig(opts.DSN)
		if err != nil {
			return nil, errors.New("the dsn is not one of PostgreSQL, such as postgres://USER:PASSWORD@HOST/DATABASE")
		}
		if config.ConnectTimeout == 0 {
			config.ConnectTimeout = timeout
		}
		return stdlib.OpenDB(*config), nil
	case MySQL:
		config, err := mysql.ParseDSN(opts.DSN)
		if err != nil {
			return nil, errors.New("the dsn is not one of MySQL, such as USER:PASSWORD@tcp(HOST)/DATABASE")
		}
		if config.Timeout == 0 {
			config.Timeout = timeout
		}
		config.Logger = &mysql.NopLogger{} // it writes to standard error
		connector, err := mysql.NewConnector(config)
		if err != nil {
			return nil, errors.New("the dsn is not one that MySQL can be reached with")
		}
		return sql.OpenDB(connector), nil
	case SQLite:
		if opts.DSN == "" || strings.HasPrefix(opts.DSN, "file:") {
			return nil, errors.New("the dsn is not the path of an SQLite file")
		}
		return sql.Open("sqlite", "file:"+(&url.URL{Path: opts.DSN}).EscapedPath()+"?mode=ro&_pragma=busy_timeout(5000)")
	}
	return nil, fmt.Errorf("%q is none of the drivers %q, %q and %q", opts.Driver, PostgreSQL, MySQL, SQLite)
}

// Close closes the connections.
func (s *Source) Close() error { return s.db.Close() }

// Lookup implements directory.Source.
func (s *Source) Lookup(ctx context.Context, login pop3server.Login) (*directory.User, error) {
	if strings.ContainsRune(login.Username, 0) {
		return nil, nil // PostgreSQL has no such text
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, s.query.text, s.query.arguments(login)...)
	if err != nil {
		return nil, fmt.Errorf("database of users: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, failed(rows.Err())
	}
	row, err := scan(rows)
	if err != nil {
		return nil, failed(err)
	}
	if rows.Next() {
		return nil, errors.New("database of users: the query gives several rows for one name: it must give one")
	}
	if err := rows.Err(); err != nil {
		return nil, failed(err)
	}
	return row.asUser(login)
}

func failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("database of users: %w", err)
}

// row is the columns that are known.
type row struct {
	password, user, maildrop, noLogin, allowNets sql.NullString
	quotaOctets, quotaMessages, expireDays       sql.NullString
}

func scan(rows *sql.Rows) (row, error) {
	var r row
	columns, err := rows.Columns()
	if err != nil {
		return r, err
	}
	into := map[string]*sql.NullString{"password": &r.password, "user": &r.user, "maildrop": &r.maildrop,
		"nologin": &r.noLogin, "allow_nets": &r.allowNets,
		"quota_octets": &r.quotaOctets, "quota_messages": &r.quotaMessages, "expire_days": &r.expireDays}
	targets := make([]any, len(columns))
	for i, name := range columns {
		name = strings.ToLower(name)
		if into[name] == nil {
			return r, fmt.Errorf("the query gives a column %q, which is none of password, user, maildrop, nologin, allow_nets, quota_octets, quota_messages and expire_days: rename it with AS", name)
		}
		targets[i] = into[name]
		delete(into, name)
	}
	if into["password"] != nil {
		return r, errors.New("the query gives no column password: name one with AS")
	}
	return r, rows.Scan(targets...)
}

// asUser makes of a row what a source knows of a user.
func (r row) asUser(login pop3server.Login) (*directory.User, error) {
	u := &directory.User{Name: r.user.String, Maildrop: r.maildrop.String, Secret: r.password.String}
	if u.Name == "" {
		u.Name = login.Username
	}
	for _, name := range []string{u.Name, u.Maildrop} {
		if name == "" {
			continue
		}
		if err := directory.CheckName(name); err != nil {
			return nil, fmt.Errorf("database of users: a name in it cannot be used: %w", err)
		}
	}
	for _, bound := range []struct {
		column sql.NullString
		set    func(string) error
	}{{r.quotaOctets, u.Keeping.SetOctets}, {r.quotaMessages, u.Keeping.SetMessages}, {r.expireDays, u.Keeping.SetExpire}} {
		if bound.column.Valid {
			if err := bound.set(bound.column.String); err != nil {
				return nil, fmt.Errorf("database of users: %w", err)
			}
		}
	}
	u.Deny = directory.Deny(truth(r.noLogin), r.allowNets.String, login)
	return u, nil
}

// truth reads what databases have for a boolean. What is not known keeps out.
func truth(s sql.NullString) bool {
	switch strings.ToLower(strings.TrimSpace(s.String)) {
	case "", "0", "f", "false", "n", "no", "\x00":
		return false
	}
	return true
}

// query is a query with places for parameters.
type query struct {
	text string
	args []string // what stands in each place: "user", "local", "domain" or "ip"
}

// parseQuery puts bound parameters in place of {user} and the like. Within
// quotation marks a parameter would be text, so it is refused there.
func parseQuery(text string, numbered bool) (query, error) {
	var q query
	var b strings.Builder
	var quote byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"' || c == '`'):
			quote = c
		case c == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return q, errors.New("the query has a { without }")
			}
			name := text[i+1 : i+end]
			switch {
			case name != "user" && name != "local" && name != "domain" && name != "ip":
				return q, fmt.Errorf("the query has {%s}: it knows {user}, {local}, {domain} and {ip}", name)
			case quote != 0:
				return q, fmt.Errorf("the query has {%s} within %c: take the quotation marks away, the value is bound and needs none", name, quote)
			}
			q.args = append(q.args, name)
			if numbered {
				fmt.Fprintf(&b, "$%d", len(q.args))
			} else {
				b.WriteByte('?')
			}
			i += end
			continue
		case quote == 0 && !numbered && c == '?', quote == 0 && numbered && c == '$':
			return q, fmt.Errorf("the query has a parameter of its own (%c): write {user}, {local}, {domain} or {ip}", c)
		}
		b.WriteByte(c)
	}
	if len(q.args) == 0 {
		return q, errors.New("the query does not say whom to find: it must have {user}, or {local} and {domain}")
	}
	q.text = b.String()
	return q, nil
}

// arguments are the values of the places.
func (q query) arguments(login pop3server.Login) []any {
	local, domain := login.Username, ""
	if at := strings.LastIndexByte(login.Username, '@'); at >= 0 {
		local, domain = login.Username[:at], login.Username[at+1:]
	}
	ip := ""
	if login.Remote != nil {
		if host, _, err := net.SplitHostPort(login.Remote.String()); err == nil {
			ip = host
		}
	}
	args := make([]any, len(q.args))
	for i, name := range q.args {
		args[i] = map[string]string{"user": login.Username, "local": local, "domain": domain, "ip": ip}[name]
	}
	return args
}
