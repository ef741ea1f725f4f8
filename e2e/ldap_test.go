package e2e

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// slapd is OpenLDAP's server with the users of ldapEntries. It takes no
// password over a connection in clear text.
type slapd struct {
	authority
	dir                string
	plain, tls, socket string
	*database          // start and stop
}

const slapdConf = `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
pidfile %[1]s/pid
TLSCACertificateFile %[1]s/ca.pem
TLSCertificateFile %[1]s/cert.pem
TLSCertificateKeyFile %[1]s/key.pem
localSSF 128
security simple_bind=128
database mdb
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw admin
directory %[1]s/data
overlay ppolicy
ppolicy_default "cn=policy,dc=example,dc=org"
ppolicy_use_lockout
access to attrs=userPassword by dn.exact="cn=poplin,dc=example,dc=org" read by anonymous auth by * none
access to * by dn.exact="cn=poplin,dc=example,dc=org" read by * none
`

// The password of all users is sqlPassword; erna's is stored as slapd stores
// it, anna's in clear text.
const ldapEntries = `dn: dc=example,dc=org
objectClass: domain

dn: cn=policy,dc=example,dc=org
objectClass: device
objectClass: pwdPolicy
pwdAttribute: userPassword
pwdLockout: TRUE

dn: cn=poplin,dc=example,dc=org
objectClass: person
sn: poplin
userPassword: S3cret-of-ldap

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit

dn: uid=anna,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
cn: anna
sn: anna
uid: anna
mail: anna@example.org
userPassword: pass word

dn: uid=bert,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
cn: bert
sn: bert
uid: bert
mail: bert@example.org
mail: info@example.org
employeeNumber: letters
userPassword: {SSHA}%[1]s

dn: uid=carl,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
cn: carl
sn: carl
uid: carl
mail: info@example.org
employeeNumber: ../letters
userPassword: pass word

dn: uid=dora,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
cn: dora
sn: dora
uid: dora
mail: dora@example.org
userPassword: pass word
pwdAccountLockedTime: 000001010000Z

dn: uid=emil,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
cn: emil
sn: emil
uid: emil
mail: emil@example.org
employeeNumber: emil
`

func startSlapd(t *testing.T) slapd {
	t.Helper()
	dir := folder(t)
	s := slapd{dir: dir, authority: newAuthority(t, dir), plain: freeAddr(t), tls: freeAddr(t), socket: filepath.Join(dir, "sock"), database: &database{}}
	conf, data := filepath.Join(dir, "slapd.conf"), filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, fmt.Appendf(nil, slapdConf, dir), 0o644); err != nil {
		t.Fatal(err)
	}
	giveToNobody(t, dir, data, s.key)
	hash := strings.TrimPrefix(strings.TrimSpace(string(run(t, command(t, "slappasswd", "-s", sqlPassword)))), "{SSHA}")
	add := command(t, "slapadd", "-f", conf)
	add.Stdin = strings.NewReader(fmt.Sprintf(ldapEntries, hash))
	asNobody(add)
	run(t, add)
	urls := fmt.Sprintf("ldap://%s/ ldaps://%s/ %s/", s.plain, s.tls, s.ldapi())
	startDatabase(t, s.database, syscall.SIGTERM, func() *exec.Cmd {
		cmd := exec.Command(find(t, "slapd"), "-f", conf, "-h", urls, "-d", "0")
		asNobody(cmd)
		return cmd
	}, func() *exec.Cmd {
		return command(t, "ldapsearch", "-x", "-H", s.ldapi(), "-b", "", "-s", "base")
	})
	return s
}

func (s slapd) ldapi() string { return "ldapi://" + url.PathEscape(s.socket) }

// serve starts `poplin serve` with those keys of [users.ldap].
func (s slapd) serve(t *testing.T, url, keys string) poplinServer {
	t.Helper()
	return startWithUsers(t, "ldap", fmt.Sprintf("[users.ldap]\nurl = %q\nca_file = %q\n%s\n", url, s.ca, keys), "anna", "anna@example.org", "bert", "carl", "emil", "letters")
}

// searching are the keys of who may search.
const searching = `
bind_dn = "cn=poplin,dc=example,dc=org"
bind_password = "S3cret-of-ldap"
base = "dc=example,dc=org"
`

type wanted struct{ user, password, want string }

// ldapStrangers log in nowhere: they would be filters or names of entries.
var ldapStrangers = []wanted{
	{"anna", "hush hush", "-ERR [AUTH]"},
	{"dora", sqlPassword, "-ERR [AUTH]"}, // locked
	{"emil", sqlPassword, "-ERR [AUTH]"}, // without a password
	{"nobody", sqlPassword, "-ERR [AUTH]"},
	{"*", sqlPassword, "-ERR [AUTH]"},
	{"ann*", sqlPassword, "-ERR [AUTH]"},
	{`ann\2a`, sqlPassword, "-ERR [AUTH]"},
	{`ann\61`, sqlPassword, "-ERR [AUTH]"},
	{"anna)(uid=*", sqlPassword, "-ERR [AUTH]"},
	{"x)(|(uid=anna)", sqlPassword, "-ERR [AUTH]"},
	{"x)(uid=anna", sqlPassword, "-ERR [AUTH]"},
	{"anna,ou=people,dc=example,dc=org", sqlPassword, "-ERR [AUTH]"},
	{"anna+cn=anna", sqlPassword, "-ERR [AUTH]"},
	{"uid=anna", sqlPassword, "-ERR [AUTH]"},
	{"{user}", sqlPassword, "-ERR [AUTH]"},
	{"ａｎｎａ", sqlPassword, "-ERR [AUTH]"}, // another spelling, where it is known as one
}

func (s poplinServer) wantLogins(t *testing.T, logins ...wanted) {
	t.Helper()
	for _, c := range logins {
		s.wantLogin(t, c.user, c.password, c.want)
	}
	for _, secret := range []string{sqlPassword, "hush hush", "S3cret-of-ldap", "{SSHA}"} {
		if strings.Contains(s.process.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// TestLDAP: OpenLDAP's slapd, by each way of finding a user and each kind of
// connection.
func TestLDAP(t *testing.T) {
	d := startSlapd(t)
	t.Run("user_dn", func(t *testing.T) {
		s := d.serve(t, "ldaps://"+d.tls, `user_dn = "uid={user},ou=people,dc=example,dc=org"`)
		s.wantLogins(t, append(ldapStrangers, wanted{"anna", sqlPassword, "+OK"}, wanted{"ANNA", sqlPassword, "+OK"},
			wanted{"bert", sqlPassword, "+OK"})...)
	})
	t.Run("search and bind", func(t *testing.T) {
		s := d.serve(t, "ldap://"+d.plain, searching+"start_tls = true\nfilter = \"(|(uid={user})(mail={user}))\"\nname_attribute = \"uid\"")
		s.wantLogins(t, append(ldapStrangers[:len(ldapStrangers)-1:len(ldapStrangers)-1], // the attribute tells that ａｎｎａ is anna
			wanted{"anna", sqlPassword, "+OK"}, wanted{"anna@example.org", sqlPassword, "+OK"}, wanted{"Anna@Example.org", sqlPassword, "+OK"},
			wanted{"info@example.org", sqlPassword, "-ERR [SYS/TEMP]"})...) // two have it
		if s.hasMaildrop("anna@example.org") {
			t.Error("anna has a maildrop for each of her names")
		}
	})
	t.Run("attributes", func(t *testing.T) {
		s := d.serve(t, d.ldapi(), searching+"filter = \"(&(uid={user})(!(uid=dora)))\"\npassword_attribute = \"userPassword\"\nmaildrop_attribute = \"EmployeeNumber\"")
		s.wantLogins(t, append(ldapStrangers[1:len(ldapStrangers):len(ldapStrangers)],
			wanted{"bert", sqlPassword, "+OK"}, wanted{"BERT", sqlPassword, "+OK"}, wanted{"bert", "hush hush", "-ERR [AUTH]"},
			wanted{"carl", sqlPassword, "-ERR [SYS/TEMP]"}, // whose maildrop is elsewhere
			wanted{"anna", sqlPassword, "-ERR [SYS/TEMP]"})...)
		if !s.hasMaildrop("letters") || s.hasMaildrop("bert") {
			t.Error("bert's mail is not in letters")
		}
	})
}

// hasMaildrop reports whether somebody logged in to the maildrop.
func (s poplinServer) hasMaildrop(name string) bool {
	_, err := os.Stat(filepath.Join(s.dir, "mail", name, "poplin.lock"))
	return err == nil
}

// TestLDAPTrouble: what is wrong on the way to the directory makes logins
// fail for a time, never for good, and never succeed.
func TestLDAPTrouble(t *testing.T) {
	d := startSlapd(t)
	t.Run("authority", func(t *testing.T) {
		other := newAuthority(t, folder(t))
		keys := fmt.Sprintf("[users.ldap]\nuser_dn = \"uid={user},ou=people,dc=example,dc=org\"\nca_file = %q\n", other.ca)
		for _, url := range []string{"url = \"ldaps://" + d.tls + "\"\n", "url = \"ldap://" + d.plain + "\"\nstart_tls = true\n"} {
			s := startWithUsers(t, "ldap", keys+url, "anna")
			s.wantLogins(t, wanted{"anna", sqlPassword, "-ERR [SYS/TEMP]"})
			s.process.waitLog(t, "signed by unknown authority", 1)
		}
	})
	t.Run("clear text", func(t *testing.T) {
		s := d.serve(t, "ldap://"+d.plain, `user_dn = "uid={user},ou=people,dc=example,dc=org"`)
		s.wantLogins(t, wanted{"anna", sqlPassword, "-ERR [SYS/TEMP]"})
	})
	t.Run("searcher", func(t *testing.T) {
		s := d.serve(t, "ldaps://"+d.tls, strings.Replace(searching, "S3cret", "wrong", 1))
		s.wantLogins(t, wanted{"anna@example.org", sqlPassword, "-ERR [SYS/TEMP]"})
	})
	t.Run("away", func(t *testing.T) {
		s := d.serve(t, "ldaps://"+d.tls, searching+"connections = 2")
		anna := wanted{"anna@example.org", sqlPassword, "+OK"}
		s.wantLogins(t, anna, wanted{"nobody", sqlPassword, "-ERR [AUTH]"})
		d.stop()
		s.wantLogins(t, wanted{anna.user, sqlPassword, "-ERR [SYS/TEMP]"}, wanted{"nobody", sqlPassword, "-ERR [SYS/TEMP]"})
		d.start()
		s.wantLogins(t, anna)
		d.stop() // with a connection that was used a moment ago
		d.start()
		s.wantLogins(t, anna, wanted{"nobody", sqlPassword, "-ERR [AUTH]"})
	})
}
