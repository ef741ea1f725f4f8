package config

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

func TestReferenceIsFresh(t *testing.T) {
	const path = "../../docs/configuration.md"
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != Reference() {
		t.Errorf("docs/configuration.md is out of date (error %v): run `go test ./internal/config -update`", err)
	}
}

// TestEveryFieldHasAKey: a field without a key could not be set.
func TestEveryFieldHasAKey(t *testing.T) {
	c := new(Config)
	reached := map[any]bool{&c.File: true, // names of tables, and the tables
		&c.Fetch.Name: true, &c.Fetch.Accounts: true, &c.Target.Name: true, &c.Target.Targets: true}
	for _, k := range keys {
		reached[k.field(c)] = true
		if k.doc == "" || !strings.HasSuffix(k.doc, ".") {
			t.Errorf("%s: what it means is not said in sentences: %q", k.name, k.doc)
		}
	}
	var walk func(v reflect.Value, name string)
	walk = func(v reflect.Value, name string) {
		for i := range v.NumField() {
			f, name := v.Field(i), name+"."+v.Type().Field(i).Name
			if f.Kind() == reflect.Struct {
				walk(f, name)
			} else if !reached[f.Addr().Interface()] {
				t.Errorf("no key sets Config%s", name)
			}
		}
	}
	walk(reflect.ValueOf(c).Elem(), "")
}

func TestEmptyFileIsTheDefault(t *testing.T) {
	c, err := parse("poplin.toml", "/etc/poplin", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.File, want.Users.File, want.Users.AppPasswords = "poplin.toml", "/etc/poplin/users", "/etc/poplin/app-passwords"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("%+v\nwant\n%+v", c, want)
	}
	if !c.POP3.RequireTLS || c.Maildrops.Create || len(c.Warnings()) != 0 {
		t.Errorf("the default is not the safe one: %v", c.Warnings())
	}
}

const full = `
state = "st"
hostname = "mail.example.org"
user = "mail"
group = "mail"
sandbox = false
tls = { certificate = "cert.pem", key = "/secret/key.pem", client_ca = "ca.pem", client_name = "cn", ticket_keys = "tickets" }
log.format = "json"
log.level = "debug"
[pop3]
listen = ["[::1]:1110", "localhost:0"]
require_tls = false
apop = true
[pop3s]
listen = []
[maildrops]
store = "maildir"
path = "mail/{domain}/{local}"
create = true
uidl = "dovecot"
uidl_format = "%08Xu%08Xv"
index_cache = "1MiB"
[proxy]
trusted = ["192.0.2.1", "2001:db8::/32"]
[console]
listen = []
[lmtp]
listen = ["unix:/run/poplin/lmtp.sock", "127.0.0.1:24"]
socket_mode = "0600"
socket_group = "mail"
trusted = "192.0.2.1"
domains = "example.org"
separators = "-"
aliases = "aliases"
catch_all = "anna"
max_message = 1_000_000
sessions = 9
[quota]
octets = "1GiB"
messages = 1000
over = "permanent"
[retention]
expire = "365d"
[fetch]
parallel = 2
disabled = true
server = "pop.example.org:995"
security = "stls"
user = "anna"
provider = "gmail"
mechanisms = "PLAIN"
tls_pin_sha256 = "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"
tls_ca_file = "ca.pem"
timeout = "3m"
password = "fetch secret"
password_file = "p"
password_command = "pass"
password_env = "P"
keyring = true
oauth = "google"
oauth_client_id = "id"
oauth_client_secret_file = "cs"
oauth_auth_url = "https://127.0.0.1/a"
oauth_device_url = "https://127.0.0.1/d"
oauth_token_url = "https://127.0.0.1/t"
oauth_scopes = "mail"
oauth_token_command = "token"
rate = "1MiB"
to = "maildir:/m"
keep = "14d or newest 5"
max_message = "1MiB"
large = "header"
brake = 5
interval = "1h"
on_new = "beep"
on_error = "beep beep"
[fetch.home]
password = "home secret"
password_file = ""
password_command = ""
password_env = ""
keyring = false
oauth = ""
oauth_auth_url = ""
oauth_device_url = ""
oauth_token_url = ""
oauth_scopes = []
oauth_token_command = ""
to = ["far", "mbox:/m"]
[target]
kind = "mbox"
path = "m"
timeout = "4m"
server = "unix:/run/lmtp"
security = "stls"
tls_ca_file = "ca.pem"
sender = "<>"
recipient = "anna@example.org"
folder = "Mail"
make_folder = true
flags = "\\Seen"
command = "cat"
user = "anna"
password = "target secret"
password_file = "p"
password_command = "pass"
password_env = "P"
keyring = true
oauth = "google"
oauth_client_id = "id"
oauth_client_secret_file = "cs"
oauth_auth_url = "https://127.0.0.1/a"
oauth_device_url = "https://127.0.0.1/d"
oauth_token_url = "https://127.0.0.1/t"
oauth_scopes = "mail"
oauth_token_command = "token"
[target.far]
kind = "lmtp"
path = "far"
password_file = ""
password_command = ""
password_env = ""
keyring = false
oauth = ""
oauth_auth_url = ""
oauth_device_url = ""
oauth_token_url = ""
oauth_scopes = []
oauth_token_command = ""
[acme]
domains = ["mail.example.org"]
email = "anna@example.org"
server = "https://127.0.0.1:14000/dir"
server_ca = "acme-ca.pem"
http_listen = ":8080"
agree = true
[users]
source = ["file", "sql", "ldap", "oauth"]
file = "../users"
app_passwords = ""
secret_file = "shared"
mechanisms = "PLAIN"
cache_time = "0s"
master_file = "masters"
master_mark = "+"
[users.sql]
driver = "sqlite"
dsn = "hush-1"
dsn_file = ""
query = "SELECT 1"
connections = 2
[users.ldap]
url = "ldap://127.0.0.1"
start_tls = true
ca_file = "ldap-ca.pem"
bind_dn = "cn=poplin"
bind_password = "hush-2"
base = "dc=example"
filter = "(uid={user})"
name_attribute = "uid"
password_attribute = "userPassword"
maildrop_attribute = "maildrop"
quota_attribute = "quota"
connections = 2
[users.pam]
service = "pop"
[users.oauth]
issuer = "https://127.0.0.1"
audience = "mail"
scopes = ["pop"]
user_claim = "sub"
jwks_url = "https://127.0.0.1/jwks"
introspection_url = "https://127.0.0.1/introspect"
client_id = "poplin"
client_secret = "hush-3"
ca_file = "oauth-ca.pem"
[maildrops.bucket]
endpoints = ["https://s3.example.org", "http://127.0.0.1:7070"]
insecure_http = true
ca_file = "s3-ca.pem"
region = "eu"
path_style = true
access_key = "ak"
secret_key = "hush-4"
secret_key_file = "sk"
credentials_file = "aws"
bucket = "post"
buckets = 16
economy = true
cache_messages = 5
lease = "5m"
compress = true
key_files = ["k2", "k1"]
[views]
read_only = true
keep = true
recent = "30d"
undo = "14d"
[limits]
upgrade_grace = "1m"
handshake_timeout = "5s"
login_delay = "1s"
sessions_per_network = 5
sessions_per_user = 5
handshakes = 5
known_networks = "10.0.0.0/8"
idle_timeout = "1h30m"
login_timeout = "90s"
write_timeout = "2m"
shutdown_delay = "10s"
shutdown_grace = "0s"
sessions = 5
sessions_per_address = 2
`

// unset keys cannot be set to something else together with the others.
var unset = map[string]bool{"maildrops.store": true, "users.sql.dsn_file": true, "users.ldap.user_dn": true,
	"users.ldap.bind_password_file": true, "users.oauth.client_secret_file": true}

func TestEveryKey(t *testing.T) {
	c, err := parse("f", "/etc/poplin", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	d := Default()
	for _, k := range keys {
		got := reflect.ValueOf(k.field(c)).Elem().Interface()
		if def := reflect.ValueOf(k.field(d)).Elem().Interface(); reflect.DeepEqual(got, def) && !unset[k.name] {
			t.Errorf("%s was not set: %v", k.name, got)
		}
	}
	for what, got := range map[string]string{
		"/etc/poplin/st":                    c.State,
		"/etc/poplin/cert.pem":              c.TLS.Certificate[0],
		"/secret/key.pem":                   c.TLS.Key[0],
		"/etc/users":                        c.Users.File,
		"/etc/poplin/mail/{domain}/{local}": c.Maildrops.Path,
	} {
		if got != what {
			t.Errorf("path %q, want %q", got, what)
		}
	}
	if c.Limits.IdleTimeout != 90*time.Minute || c.Limits.ShutdownGrace != 0 {
		t.Errorf("limits %+v", c.Limits)
	}
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0], "apop") {
		t.Errorf("warnings on loopback: %q", w)
	}
}

// secrets gives the keys that are not printed.
func secrets(c *Config) []*string {
	var all []*string
	for _, k := range keys {
		if k.secret {
			all = append(all, k.field(c).(*string))
		}
	}
	return all
}

// TestPrintReadsBack: what is printed is a file that means the same, but for
// the secrets, which are not in it.
func TestPrintReadsBack(t *testing.T) {
	c, err := parse("f", "/etc/poplin", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets(c) {
		if *secret == "" {
			t.Fatal("a secret is not set in the test's file")
		}
		if strings.Contains(c.TOML(), *secret) || strings.Contains(string(asJSON), *secret) {
			t.Errorf("secret %q is printed", *secret)
		}
	}
	for _, secret := range secrets(c) {
		*secret = ""
	}
	c.Users.SQL.DSNFile = "/etc/poplin/dsn"
	c.Fetch.Accounts[0].Password, c.Target.Targets[0].Password = "", ""
	again, err := parse("f", "/elsewhere", []byte(c.TOML()))
	if err != nil || !reflect.DeepEqual(c, again) {
		t.Errorf("error %v\n%+v\n%+v", err, c, again)
	}
	for line := range strings.Lines(c.TOML()) {
		if len(line) > 79 && strings.HasPrefix(line, "#") {
			t.Errorf("long line %q", line)
		}
	}
	data, err := json.Marshal(c)
	if err != nil || !strings.Contains(string(data), `"idle_timeout":"1h30m"`) || !strings.Contains(string(data), `"state":"/etc/poplin/st"`) {
		t.Errorf("JSON %s, error %v", data, err)
	}
}

// account begins a table that has what it needs but to.
const account = "[fetch.work]\nserver = \"x\"\nuser = \"y\"\n"

// TestInheritance: what stands in [fetch] is for all accounts, wherever it
// stands in the file.
func TestInheritance(t *testing.T) {
	c, err := parse("f", "/etc/poplin", []byte(account+"keep = \"all\"\n[fetch.home]\nuser = \"z\"\n"+
		"[fetch]\nto = [\"maildir:Mail\", \"far\"]\nserver = \"pop.example.org\"\npassword_file = \"p\"\n[target.far]\nkind = \"mbox\"\npath = \"m\""))
	if err != nil {
		t.Fatal(err)
	}
	home, work := c.Fetch.Accounts[0], c.Fetch.Accounts[1]
	if home.Name != "home" || home.Server != "pop.example.org" || home.Keep != "none" || home.PasswordFile != "/etc/poplin/p" || len(home.To) != 2 {
		t.Errorf("home is %+v", home)
	}
	if work.Name != "work" || work.Server != "x" || work.Keep != "all" || len(work.To) != 2 {
		t.Errorf("work is %+v", work)
	}
	if far, ok := c.TargetNamed("far"); !ok || far.Path != "/etc/poplin/m" || far.Timeout != 2*time.Minute {
		t.Errorf("far is %+v", far)
	}
}

func TestErrors(t *testing.T) {
	cases := []struct{ text, want string }{
		{"state = ", "f:1:8: "},
		{"[pop3]\nlisten = [\"a\"", "f:2:"},
		{"stat = \"x\"", "f:1:1: unknown key stat; did you mean state?"},
		{"[pop3]\n  lisen = []", "f:2:3: unknown key pop3.lisen; did you mean pop3.listen?"},
		{"[pop]\nlisten = []", "f:1:2: unknown section [pop]; did you mean pop3?"},
		{"[pop3s]\nrequire_tls = true", "f:2:1: unknown key pop3s.require_tls; did you mean pop3.require_tls?"},
		{"certificate = \"x\"", "f:1:1: unknown key certificate; did you mean tls.certificate?"},
		{"frobnicate = 1", "f:1:1: unknown key frobnicate; `poplin config print` shows all there are"},
		{"[a.b]\nc = 1", "unknown section [a]"},
		{"[tls.more]\nc = 1", "unknown section [tls.more]"},
		{"tls = { cert = \"x\" }", "f:1:9: unknown key tls.cert"},
		{"tls.kee = \"x\"", "f:1:1: unknown key tls.kee; did you mean tls.key?"},
		{"pop3 = 1", "f:1:1: unknown key pop3"},
		{"lmtp.listen = \"unix:lmtp.sock\"", "f:1:1: lmtp.listen: \"unix:lmtp.sock\" is not unix: and the whole path"},
		{"lmtp.max_message = 1", "f:1:1: lmtp.max_message: it must be at least \"64KiB\""},
		{"lmtp.separators = \"/\"", "f:1:1: lmtp.separators: \"/\" is none of"},
		{"lmtp.catch_all = \"../x\"", "f: lmtp.catch_all: the user's name begins with"},
		{"quota.octets = \"1 mile\"", "f:1:1: quota.octets: \"1 mile\" is no size"},
		{"quota.octets = -1", "f:1:1: quota.octets: it must be a number of octets"},
		{"lmtp.listen = \":24\"\nusers.source = \"oauth\"\nusers.oauth = {issuer=\"x\", audience=\"y\"}", "f: lmtp.listen is set and users.source is \"oauth\" alone"},
		{"[fetch.work]\nserver = \"x\"", "f: [fetch.work] user is missing"},
		{"[fetch.work]\nserver = \"x:y\"", "f:2:1: fetch.work.server: the port of"},
		{"[fetch.work]\nservre = \"x\"", "f:2:1: unknown key fetch.servre; did you mean fetch.server?"},
		{"[fetch.work]\nparallel = 2", "f:2:1: parallel stands in [fetch]"},
		{"[fetch.\"../x\"]\nuser = \"x\"", "f:1:2: [fetch.NAME]: \"../x\": a name is of letters"},
		{"[fetch.login]\nuser = \"x\"", "f:1:2: [fetch.NAME]: \"login\": a name is of letters"},
		{"[fetch]\nkeep = \"most\"", "f:2:1: fetch.keep: \"most\" is none of"},
		{account + "to = \"gmail\"", "f: [fetch.work] to names \"gmail\", and there is no [target.gmail]"},
		{account + "to = \"imap:x\"", "f: [fetch.work] to = \"imap:x\": is of the kind \"imap\" and wants user"},
		{account + "to = \"maildir:\"", "f: [fetch.work] to = \"maildir:\": it is neither"},
		{account + "to = \"maildir:~root/x\"", "f: [fetch.work] to = \"maildir:~root/x\": only ~/"},
		{account + "to = \"maildir:a\"\nkeyring = true\npassword_env = \"X\"", "f: [fetch.work] sets more than one of"},
		{"[target.x]\npath = \"y\"", "f: [target.x] kind is missing"},
		{"[target.x]\nkind = \"mbox\"", "f: [target.x] is of the kind \"mbox\" and wants path"},
		{"[target.x]\nkind = \"lmpt\"", "f:2:1: target.x.kind: \"lmpt\" is not known; did you mean \"lmtp\"?"},
		{"[target.x]\nkind = \"lmtp\"", "f: [target.x] is of the kind \"lmtp\" and wants server"},
		{"[target.x]\nkind = \"smtp\"\nserver = \"unix:/x\"\nrecipient = \"a\"", "only LMTP is spoken over a unix socket"},
		{"[target.x]\nkind = \"imap\"\nserver = \"x\"\nuser = \"a\"\noauth = \"custom\"", "f: [target.x] has oauth = \"custom\" and wants oauth_token_url"},
		{"[target.x]\nkind = \"imap\"\nserver = \"x\"\nuser = \"a\"\noauth = \"google\"\noauth_scopes = \"b\"", "which are for oauth = \"custom\""},
		{account + "to = \"command:\"", "f: [fetch.work] to = \"command:\": it is neither"},
		{account + "to = \"lmtp:unix:x\"", "is not unix: and the whole path"},
		{"state = 1", "f:1:1: state: it must be a string"},
		{"state = \"\"", "state: it must not be empty"},
		{"hostname = \"a b\"", "is not the name of a host"},
		{"hostname = \"-a\"", "is not the name of a host"},
		{"[pop3]\nlisten = 110", "f:2:1: pop3.listen: it must be a string or a list of strings"},
		{"[pop3]\nlisten = [110]", "pop3.listen: it must be a string or a list of strings"},
		{"[pop3]\nlisten = [\"110\"]", "is not host:port or :port"},
		{"[pop3]\nlisten = [\"::1:110\"]", "square brackets"},
		{"[pop3]\nlisten = [\":65536\"]", "is not a number from 0 to 65535"},
		{"[pop3]\nlisten = [\":pop3\"]", "is not a number from 0 to 65535"},
		{"[pop3]\nlisten = [\"a_b:110\"]", "is not the name of a host"},
		{"[pop3]\nlisten = [\"unix:/run/x\"]", "TCP addresses only"},
		{"[pop3]\nrequire_tls = \"no\"", "it must be true or false, without quotes"},
		{"[limits]\nsessions = \"5\"", "it must be a whole number, at least 1"},
		{"[limits]\nsessions = 0", "at least 1"},
		{"[limits]\nsessions = 9999999999", "whole number"},
		{"[limits]\nidle_timeout = 600", "it must be a duration in quotes"},
		{"[limits]\nidle_timeout = \"10\"", "it must be a duration in quotes"},
		{"[limits]\nidle_timeout = \"9m59s\"", `limits.idle_timeout: it must be at least "10m"`},
		{"[limits]\nshutdown_grace = \"-1s\"", "it must be a duration in quotes"},
		{"[maildrops]\nstore = \"mailder\"", `f:2:1: maildrops.store: "mailder" is not known; did you mean "maildir"?`},
		{"[maildrops]\nstore = \"imap\"", `it is one of "maildir", "bucket", "memory"`},
		{"[maildrops]\nstore = \"bucket\"", "maildrops.bucket.endpoints is empty"},
		{"[maildrops]\nstore = \"bucket\"\nbucket.endpoints = \"s3\"", "not of the form https://HOST"},
		{"[maildrops]\nstore = \"bucket\"\nbucket.endpoints = \"http://s3.example.org\"", "without TLS"},
		{"[maildrops]\nstore = \"bucket\"\nbucket.endpoints = \"https://s3.example.org\"\nbucket.buckets = 300", "there can be 1 to 256"},
		{"[maildrops]\nstore = \"bucket\"\nbucket.endpoints = \"https://s3.example.org\"\nbucket.lease = \"1s\"", "a lease of 1s"},
		{"[maildrops]\nstore = \"bucket\"\nbucket.endpoints = \"https://s3.example.org\"\nbucket.access_key = \"a\"", "set one of maildrops.bucket.secret_key"},
		{"[maildrops.bucket]\nbuckets = 0", "a whole number, at least 1"},
		{"[users]\nsource = \"lpad\"", `did you mean "ldap"?`},
		{"[users]\nsource = \"ldap\"", "users.ldap.url is empty"},
		{"[users]\nsource = []", "users.source is empty"},
		{"[users]\nsource = [\"file\", \"file\"]", `"file" stands twice`},
		{"[users]\nsource = \"sql\"", "users.sql.query is empty"},
		{"[users]\nsource = \"sql\"\nsql.query = \"q\"", "set one of users.sql.dsn and users.sql.dsn_file"},
		{"[users]\nsource = \"oauth\"", "set users.oauth.issuer"},
		{"[users]\nsource = \"oauth\"\noauth.issuer = \"https://127.0.0.1\"", "users.oauth.audience is empty"},
		{"[users.sql]\nqueri = \"q\"", "did you mean users.sql.query?"},
		{"[acme]\ndomains = \"mail.example.org\"", "set acme.agree = true"},
		{"[proxy]\ntrusted = \"10.0.0.0/33\"", "is not an address or a network"},
		{"[views]\nrecent = \"30x\"", "it must be a duration in quotes"},
		{"[tls]\ncertificate = [\"a\", \"b\"]\nkey = \"a\"", "one key for each certificate"},
		{"[maildrops]\npath = \"/var/mail\"", "f: maildrops: "},
		{"[maildrops]\nuidl_format = \"%u\"", `only used with uidl = "dovecot"`},
		{"[tls]\nkey = \"k\"", "f: tls.certificate and tls.key belong together"},
		{"[pop3]\nlisten = []\n[pop3s]\nlisten = []", "nothing to serve"},
		{"[pop3]\nlisten = [\":995\"]", ":995 stands twice"},
	}
	for _, c := range cases {
		_, err := parse("f", "/etc/poplin", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q:\n\t%v\nwant %q", c.text, err, c.want)
		}
	}
	_, err := parse("f", "/", []byte("stat = 1\n[pop3]\nlisten = 1\n[limits]\nx = 1"))
	if err == nil || len(strings.Split(err.Error(), "\n")) != 3 || !strings.HasPrefix(err.Error(), "f:1:1: ") {
		t.Errorf("three errors in the order of the file: %v", err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.toml")); !os.IsNotExist(err) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestLoadIsRelativeToTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "poplin.toml")
	if err := os.WriteFile(path, []byte("[users]\nfile = \"people\""), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil || c.Users.File != filepath.Join(dir, "people") || c.File != path {
		t.Errorf("%+v, error %v", c, err)
	}
}

func TestWarnings(t *testing.T) {
	c, err := parse("f", "/", []byte("[pop3]\nlisten=[\":110\", \"127.0.0.1:111\"]\nrequire_tls=false\n[maildrops]\nstore=\"memory\""))
	if err != nil {
		t.Fatal(err)
	}
	w := strings.Join(c.Warnings(), "\n")
	if len(c.Warnings()) != 2 || !strings.Contains(w, ":110 can be reached") || !strings.Contains(w, "lost when the server ends") {
		t.Errorf("warnings: %s", w)
	}
}

// TestSecretsAreForNobodyElse: a file with a password in it that others may
// read is refused, and the error does not hold the password.
func TestSecretsAreForNobodyElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "poplin.toml")
	text := "[users]\nldap.bind_password = \"hush\""
	for mode, refused := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true, 0o602: true} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if (err != nil) != refused || refused && (!strings.Contains(err.Error(), "users.ldap.bind_password and others") || strings.Contains(err.Error(), "hush")) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func TestWarningsOfNetworks(t *testing.T) {
	for text, want := range map[string]string{
		"[console]\nlisten = \":8110\"":                                                                      ":8110 can be reached",
		"[users]\nldap.url = \"ldap://192.0.2.1\"":                                                           "clear text",
		"[users]\nmechanisms = \"CRAM-MD5\"":                                                                 "MD5",
		"[users]\nldap.url = \"ldap://127.0.0.1:389\"":                                                       "",
		"maildrops={store = \"bucket\", bucket.endpoints = \"http://127.0.0.1\"}":                            "users.secret_file is empty",
		"users.secret_file = \"s\"\nmaildrops={store = \"bucket\", bucket.endpoints = \"http://127.0.0.1\"}": "",
	} {
		c, err := parse("f", "/", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if w := strings.Join(c.Warnings(), "\n"); (w != "") != (want != "") || !strings.Contains(w, want) {
			t.Errorf("%q: warnings %q", text, w)
		}
	}
}

// FuzzParse: no file makes the reader panic, and what it accepts, printed, is
// accepted again and means the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(Default().TOML()))
	f.Add([]byte(" ")) // all defaults
	f.Add([]byte("[a.\"b c\"]\nx={y=[1,{z=2}]}\n[[q]]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parse("f", "/etc/poplin", data)
		if err != nil || slices.ContainsFunc(secrets(c), func(s *string) bool { return *s != "" }) {
			return
		}
		again, err := parse("f", "/etc/poplin", []byte(c.TOML()))
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("read again: %v\n%s", err, c.TOML())
		}
	})
}
