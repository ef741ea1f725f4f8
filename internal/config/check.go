package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"

	"github.com/poplin-mail/poplin/internal/directory"
)

// checkUsers finds what a source of users still needs.
func (c *Config) checkUsers() error {
	u := &c.Users
	if len(u.Source) == 0 {
		return errors.New("users.source is empty: nobody could log in")
	}
	for i, source := range u.Source {
		if slices.Contains(u.Source[:i], source) {
			return fmt.Errorf("%q stands twice in users.source", source)
		}
	}
	uses := func(source string) bool { return slices.Contains(u.Source, source) }
	switch {
	case uses(SQL) && u.SQL.Query == "":
		return errors.New("users.sql.query is empty: set the query that finds a user")
	case uses(SQL) && (u.SQL.DSN == "") == (u.SQL.DSNFile == ""):
		return errors.New("set one of users.sql.dsn and users.sql.dsn_file")
	case uses(LDAP) && u.LDAP.URL == "":
		return errors.New("users.ldap.url is empty: set it to ldap://HOST or ldaps://HOST")
	case uses(LDAP) && (u.LDAP.Base == "") == (u.LDAP.UserDN == ""):
		return errors.New("set users.ldap.base, to search for users, or users.ldap.user_dn, to bind with their names, and not both")
	case u.LDAP.BindPassword != "" && u.LDAP.BindPasswordFile != "":
		return errors.New("set only one of users.ldap.bind_password and users.ldap.bind_password_file")
	case uses(OAuth) && u.OAuth.Issuer == "" && u.OAuth.IntrospectionURL == "":
		return errors.New("set users.oauth.issuer, to check signed tokens, or users.oauth.introspection_url, to ask about tokens")
	case uses(OAuth) && u.OAuth.Audience == "":
		return errors.New("users.oauth.audience is empty: tokens made for other services would be taken; set what the authorization server calls this one")
	case u.OAuth.ClientSecret != "" && u.OAuth.ClientSecretFile != "":
		return errors.New("set only one of users.oauth.client_secret and users.oauth.client_secret_file")
	}
	return nil
}

// checkDelivery finds what delivery still needs.
func (c *Config) checkDelivery() error {
	if len(c.LMTP.Listen) > 0 && slices.Equal(c.Users.Source, []string{OAuth}) {
		return errors.New("lmtp.listen is set and users.source is \"oauth\" alone, which cannot say who gets mail: name another source behind it")
	}
	if c.LMTP.CatchAll != "" {
		if err := directory.CheckName(c.LMTP.CatchAll); err != nil {
			return fmt.Errorf("lmtp.catch_all: %w", err)
		}
	}
	return nil
}

// Warnings says what is allowed and deserves a second look.
func (c *Config) Warnings() []string {
	var warnings []string
	if !c.POP3.RequireTLS {
		for _, addr := range c.POP3.Listen {
			if !loopback(addr) {
				warnings = append(warnings, fmt.Sprintf("pop3.require_tls is false and %s can be reached from other machines: passwords cross the network in clear text", addr))
			}
		}
	}
	if c.POP3.APOP {
		warnings = append(warnings, "pop3.apop rests on MD5 and needs passwords stored in clear text")
	}
	if c.Maildrops.Store == Memory {
		warnings = append(warnings, "maildrops.store is \"memory\": every message is lost when the server ends")
	}
	if c.Maildrops.Store == Bucket && c.Users.SecretFile == "" {
		warnings = append(warnings, "users.secret_file is empty: if other servers serve these maildrops too, strangers can tell by the difference which users there are")
	}
	if slices.Contains(c.Users.Mechanisms, "CRAM-MD5") {
		warnings = append(warnings, "CRAM-MD5 rests on MD5 and needs passwords stored in clear text")
	}
	for _, addr := range c.Console.Listen {
		if !loopback(addr) {
			warnings = append(warnings, fmt.Sprintf("console.listen: %s can be reached from other machines: whoever does sees the metrics", addr))
		}
	}
	for _, network := range c.LMTP.Trusted {
		if prefix, err := netip.ParsePrefix(network); err == nil && prefix.Bits() == 0 {
			warnings = append(warnings, "lmtp.trusted holds every address: whoever can connect can put mail into every maildrop")
		}
	}
	if u, err := url.Parse(c.Users.LDAP.URL); err == nil && u.Scheme == "ldap" && !c.Users.LDAP.StartTLS && !loopbackHost(u.Hostname()) {
		warnings = append(warnings, "users.ldap.start_tls is false: passwords cross the network to the LDAP server in clear text")
	}
	return warnings
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	return loopbackHost(host)
}

func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkOthers refuses secrets in a file that others may read.
func (c *Config) checkOthers() error {
	var err error
	c.views(func(name string, view *Config) {
		for _, k := range keys {
			if text, ok := k.field(view).(*string); err == nil && ok && k.secret && *text != "" {
				err = fmt.Errorf("%s holds %s and others may read it: `chmod o-rwx %[1]s`, or use %[2]s_file", c.File, k.of(name))
			}
		}
	})
	return err
}
