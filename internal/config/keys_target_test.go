package config

import "testing"

// TestConnection: ports and protection that need not be written.
func TestConnection(t *testing.T) {
	for _, c := range []struct {
		target        Target
		addr, protect string
	}{
		{Target{Kind: LMTPTarget, Server: "unix:/run/lmtp", Security: TLS}, "unix:/run/lmtp", Insecure},
		{Target{Kind: LMTPTarget, Server: "127.0.0.1"}, "127.0.0.1:24", Insecure},
		{Target{Kind: LMTPTarget, Server: "mail.example.org"}, "mail.example.org:24", STLS},
		{Target{Kind: SMTPTarget, Server: "localhost"}, "localhost:25", Insecure},
		{Target{Kind: SMTPTarget, Server: "::1"}, "[::1]:25", Insecure},
		{Target{Kind: SMTPTarget, Server: "mail.example.org", Login: Login{User: "anna"}}, "mail.example.org:587", STLS},
		{Target{Kind: SMTPTarget, Server: "mail.example.org", Security: TLS}, "mail.example.org:465", TLS},
		{Target{Kind: SMTPTarget, Server: "mail.example.org:465"}, "mail.example.org:465", TLS},
		{Target{Kind: IMAPTarget, Server: "imap.example.org"}, "imap.example.org:993", TLS},
		{Target{Kind: IMAPTarget, Server: "127.0.0.1"}, "127.0.0.1:993", TLS},
		{Target{Kind: IMAPTarget, Server: "127.0.0.1:143"}, "127.0.0.1:143", Insecure},
		{Target{Kind: IMAPTarget, Server: "imap.example.org", Security: STLS}, "imap.example.org:143", STLS},
	} {
		if addr, protect := c.target.Connection(); addr != c.addr || protect != c.protect {
			t.Errorf("%+v: %s %s, want %s %s", c.target, addr, protect, c.addr, c.protect)
		}
	}
}

// TestHomeFolder: ~/ is the user's home folder, in paths and in entries of to.
func TestHomeFolder(t *testing.T) {
	t.Setenv("HOME", "/home/anna")
	c, err := parse("/etc/poplin/f", "/etc/poplin", []byte("[fetch]\npassword_file = \"~/p\""))
	if err != nil || c.Fetch.PasswordFile != "/home/anna/p" {
		t.Errorf("password_file is %q, error %v", c.Fetch.PasswordFile, err)
	}
	for to, want := range map[string]string{"maildir:~/Mail": "/home/anna/Mail", "mbox:x": "/etc/poplin/x", "mbox:/m/x": "/m/x"} {
		if got, err := c.Shorthand(to); err != nil || got.Path != want {
			t.Errorf("%s: %q, error %v", to, got.Path, err)
		}
	}
}
