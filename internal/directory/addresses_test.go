package directory

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

func TestAddresses(t *testing.T) {
	users := open(t, "anna@example.org:!x\nbert:{PLAIN}b::::::nologin\nCarl+x@example.org:!\nroot:!\n")
	file := filepath.Join(t.TempDir(), "aliases")
	text := "# a comment\n\npostmaster: bert\nInfo@Example.org: anna@example.org\n@left.example: bert\nbroken: nobody\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		opts          AddressOptions
		address, want string
	}{
		{AddressOptions{}, "anna@example.org", "anna@example.org"},
		{AddressOptions{}, "ANNA@Example.ORG", "anna@example.org"},
		{AddressOptions{}, "anna+tag@example.org", ""},
		{AddressOptions{Separators: "+"}, "anna+tag@example.org", "anna@example.org"},
		{AddressOptions{Separators: "-+"}, "anna-a+b@example.org", "anna@example.org"},
		{AddressOptions{Separators: "+"}, "carl+x@example.org", "Carl+x@example.org"},
		{AddressOptions{Separators: "+"}, "+x@example.org", ""},
		{AddressOptions{}, "bert@any.example", "bert"},
		{AddressOptions{Domains: []string{"one.example"}}, "bert@ONE.example", "bert"},
		{AddressOptions{Domains: []string{"one.example"}}, "bert@two.example", ""},
		{AddressOptions{Domains: []string{"one.example"}}, "anna@example.org", "anna@example.org"},
		{AddressOptions{}, "bert", "bert"},
		{AddressOptions{}, "anna", ""},
		{AddressOptions{Aliases: file}, "postmaster@any.example", "bert"},
		{AddressOptions{Aliases: file, Separators: "+"}, "info+x@example.org", "anna@example.org"},
		{AddressOptions{Aliases: file}, "info@other.example", ""},
		{AddressOptions{Aliases: file}, "whoever@left.example", "bert"},
		{AddressOptions{Aliases: file}, "broken@example.org", "!"},
		{AddressOptions{CatchAll: "root"}, "whoever@example.org", "root"},
		{AddressOptions{CatchAll: "nobody"}, "whoever@example.org", "!"},
		{AddressOptions{}, "../../etc/passwd", ""},
		{AddressOptions{}, "\x00", ""},
		{AddressOptions{}, "", ""},
		{AddressOptions{}, "@", ""},
	} {
		a, err := NewAddresses(users, c.opts)
		if err != nil {
			t.Fatal(err)
		}
		u, err := a.User(t.Context(), c.address)
		got := ""
		if u != nil {
			got = u.Name
		}
		if err != nil {
			got = "!"
		}
		if got != c.want {
			t.Errorf("%+v: %q is for %q, error %v, want %q", c.opts, c.address, got, err, c.want)
		}
	}
}

func TestAliasesWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "aliases")
	if err := os.WriteFile(file, []byte("a: b\nno colon\nx: y, z\nA: c\nq:\nr: |/bin/sh\ns: t@example.org\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := NewAddresses(open(t, ""), AddressOptions{Aliases: file})
	var line *LineError
	if !errors.As(err, &line) || strings.Count(err.Error(), "\n") != 4 || !strings.Contains(err.Error(), "aliases:4: a stands in the file twice") {
		t.Errorf("error %v, want one for each of the lines 2 to 6", err)
	}
	if _, err := NewAddresses(open(t, ""), AddressOptions{Aliases: file + ".none"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v for a file that is missing", err)
	}
}

func TestKeeping(t *testing.T) {
	octets, messages, days := int64(2<<30), int64(500), 30*24*time.Hour
	for fields, want := range map[string]Keeping{
		"":                                     {},
		"userdb_quota_rule=*:storage=2G":       {Octets: &octets},
		"userdb_quota_rule=*:storage=2097152":  {Octets: &octets},
		"userdb_quota_rule=*:bytes=2147483648": {Octets: &octets},
		"userdb_quota_rule=Trash:storage=+10%": {},
		"userdb_quota_rule=*:messages=500:storage=2G expire=30d":                   {Octets: &octets, Messages: &messages, Expire: &days},
		"userdb_quota_storage_size=2048M userdb_quota_message_count=500 expire=30": {Octets: &octets, Messages: &messages, Expire: &days},
	} {
		u, err := open(t, "anna:!::::::"+fields+"\n").Recipient(t.Context(), "anna")
		if err != nil || u == nil {
			t.Errorf("%s: user %v, error %v", fields, u, err)
			continue
		}
		others := maildrop.Quota{Octets: 1, Messages: 2}
		if got := u.Keeping.Quota(others); got != want.Quota(others) {
			t.Errorf("%s gives the quota %+v, want %+v", fields, got, want.Quota(others))
		}
		if got := u.Keeping.Expire; (got == nil) != (want.Expire == nil) || got != nil && *got != *want.Expire {
			t.Errorf("%s gives expire %v, want %v", fields, got, want.Expire)
		}
	}
	for _, bad := range []string{"userdb_quota_rule=1G", "userdb_quota_rule=*:storage=+10%", "userdb_quota_rule=*:size=1G", "userdb_quota_message_count=x", "expire=soon", "userdb_quota_storage_size=9999999999T"} {
		if _, err := parseTable("users", []byte("anna:!::::::"+bad+"\n")); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestParseOctets(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1": 1, "1k": 1 << 10, "500MB": 500 << 20, "1 GiB": 1 << 30, "2T": 2 << 40, "8388607T": 8388607 << 40} {
		if got, err := ParseOctets(text); err != nil || got != want {
			t.Errorf("ParseOctets(%q) = %d, error %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "G", "-1", "1.5G", "1X", "1KKB", "8388608T", "1G1", "9223372036854775808"} {
		if got, err := ParseOctets(text); err == nil {
			t.Errorf("ParseOctets(%q) = %d", text, got)
		}
	}
}
