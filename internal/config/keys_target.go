package config

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Target is a place where retrieved mail goes: a table [target.NAME].
type Target struct {
	Name    string // of the table
	Kind    string // MaildirTarget, MboxTarget, LMTPTarget, SMTPTarget, IMAPTarget or CommandTarget
	Path    string
	Timeout time.Duration

	Server     string // host, host:port, or for LMTP unix: and a path
	Security   string // TLS, STLS, Insecure, or empty: see Connection
	TLSCAFile  string
	Sender     string
	Recipient  string
	Folder     string
	MakeFolder bool
	Flags      []string
	Login

	Command string
}

// Kinds of targets, which are also what stands before the colon in fetch.to.
const (
	MaildirTarget = "maildir"
	MboxTarget    = "mbox"
	LMTPTarget    = "lmtp"
	SMTPTarget    = "smtp"
	IMAPTarget    = "imap"
	CommandTarget = "command"
)

var targetKinds = []string{MaildirTarget, MboxTarget, LMTPTarget, SMTPTarget, IMAPTarget, CommandTarget}

// targetKeys are those of [target], the defaults, and of each [target.NAME].
var targetKeys = slices.Concat([]key{
	{name: "target.kind", field: func(c *Config) any { return &c.Target.Kind }, check: kind,
		doc: "\"maildir\", \"mbox\", \"lmtp\", \"smtp\", \"imap\" or \"command\"."},
	{name: "target.path", field: func(c *Config) any { return &c.Target.Path }, path: true,
		doc: "The Maildir, or the mbox file, which is made where it is missing."},
	{name: "target.server", field: func(c *Config) any { return &c.Target.Server }, check: socketOrServer,
		doc: "LMTP, SMTP, IMAP: the server, such as \"mail.example.org\" or \"mail.example.org:587\"; for LMTP also \"unix:/path\". The usual ports are 24, 25 (587 with a user), and 993."},
	{name: "target.security", field: func(c *Config) any { return &c.Target.Security }, check: oneOf("", TLS, STLS, Insecure),
		doc: "\"tls\": TLS from the first octet. \"stls\": TLS by STARTTLS; without it nothing is sent. \"insecure\": clear text, in which passwords pass within this machine only. Empty: \"tls\" at the ports 465 and 993, else \"insecure\" within this machine, else \"stls\"."},
	{name: "target.tls_ca_file", field: func(c *Config) any { return &c.Target.TLSCAFile }, path: true,
		doc: "PEM file with the authorities to trust, instead of those of the system."},
	{name: "target.sender", field: func(c *Config) any { return &c.Target.Sender },
		doc: "LMTP, SMTP: the envelope sender, \"<>\" for none. Empty: that of the message's Return-Path."},
	{name: "target.recipient", field: func(c *Config) any { return &c.Target.Recipient },
		doc: "LMTP, SMTP: the address that the mail is for."},
	{name: "target.folder", field: func(c *Config) any { return &c.Target.Folder },
		doc: "IMAP: the folder, INBOX if it is empty. With Gmail a folder is a label."},
	{name: "target.make_folder", field: func(c *Config) any { return &c.Target.MakeFolder },
		doc: "IMAP: make the folder where it is missing."},
	{name: "target.flags", field: func(c *Config) any { return &c.Target.Flags },
		doc: "IMAP: flags for each message, such as [\"\\\\Seen\"]. Without them it is new."},
	{name: "target.command", field: func(c *Config) any { return &c.Target.Command },
		doc: "Command that gets each message on its standard input. Exit code 0: it took the message. 75: later. Other codes of sysexits.h: never. See docs/howto/ticket.md."},
	{name: "target.timeout", field: func(c *Config) any { return &c.Target.Timeout }, least: int64(time.Second),
		doc: "How long a server may be silent, a command may take for a message, and other programs may use an mbox."},
}, loginKeys("target", "SMTP, IMAP: the user's name there.", func(c *Config) *Login { return &c.Target.Login }))

// kind takes that of a target; in [target] itself there may be none.
func kind(text string) error {
	if text == "" {
		return nil
	}
	return oneOf(targetKinds...)(text)
}

func socketOrServer(text string) error {
	if strings.HasPrefix(text, "unix:") {
		return socket(text)
	}
	return server(text)
}

// Shorthand gives the target of an entry of to such as "lmtp:unix:/run/lmtp",
// with what [target] says for all.
func (c *Config) Shorthand(to string) (t Target, err error) {
	kind, rest, _ := strings.Cut(to, ":")
	t = c.Target.Target
	t.Name, t.Kind = "", kind
	switch kind {
	case MaildirTarget, MboxTarget:
		t.Path = below(c.folder(), rest)
		if strings.HasPrefix(rest, "~") && !strings.HasPrefix(rest, "~/") {
			return t, errors.New("only ~/ stands for a home folder, your own")
		}
	case LMTPTarget, SMTPTarget:
		t.Server = rest
		if err := socketOrServer(rest); err != nil {
			return t, err
		}
	case IMAPTarget:
		t.Server = rest
		if err := server(rest); err != nil {
			return t, err
		}
	case CommandTarget:
		t.Command = rest
	}
	if rest == "" || !slices.Contains(targetKinds, kind) {
		return t, errors.New(`it is neither the name of a [target.NAME], nor "maildir:PATH", "mbox:PATH", "lmtp:unix:PATH", "lmtp:HOST:PORT", "smtp:HOST:PORT", "imap:HOST" nor "command:TEXT"`)
	}
	return t, t.check()
}

// folder gives the folder of the file, to which paths are relative.
func (c *Config) folder() string {
	abs, err := filepath.Abs(c.File)
	if err != nil || c.File == "" {
		return "."
	}
	return filepath.Dir(abs)
}

// TargetNamed gives the table of a target.
func (c *Config) TargetNamed(name string) (Target, bool) {
	i := slices.IndexFunc(c.Target.Targets, func(t Target) bool { return t.Name == name })
	if i < 0 {
		return Target{}, false
	}
	return c.Target.Targets[i], true
}

// check finds what is missing, or of no use.
func (t *Target) check() error {
	needs := map[string][]struct{ name, value string }{
		MaildirTarget: {{"path", t.Path}},
		MboxTarget:    {{"path", t.Path}},
		LMTPTarget:    {{"server", t.Server}, {"recipient", t.Recipient}},
		SMTPTarget:    {{"server", t.Server}, {"recipient", t.Recipient}},
		IMAPTarget:    {{"server", t.Server}, {"user", t.User}},
		CommandTarget: {{"command", t.Command}},
	}
	if t.Kind == "" {
		return errors.New("kind is missing")
	}
	for _, n := range needs[t.Kind] {
		if n.value == "" {
			return fmt.Errorf("is of the kind %q and wants %s", t.Kind, n.name)
		}
	}
	if strings.HasPrefix(t.Server, "unix:") && (t.Kind == SMTPTarget || t.Kind == IMAPTarget) {
		return fmt.Errorf("server = %q: only LMTP is spoken over a unix socket", t.Server)
	}
	if t.Kind == SMTPTarget || t.Kind == IMAPTarget {
		return t.Login.check()
	}
	return nil
}

// Connection gives the address of the server, with its port, and how the
// connection is protected.
func (t *Target) Connection() (address, security string) {
	address, security = t.Server, t.Security
	if strings.HasPrefix(address, "unix:") {
		return address, Insecure
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, map[string]string{LMTPTarget: "24", SMTPTarget: "25", IMAPTarget: "993"}[t.Kind]
		switch {
		case t.Kind == SMTPTarget && t.User != "":
			port = "587"
		case t.Kind == IMAPTarget && (security == STLS || security == Insecure):
			port = "143"
		case t.Kind == SMTPTarget && security == TLS:
			port = "465"
		}
	}
	ip := net.ParseIP(host)
	switch {
	case security != "":
	case port == "465" || port == "993":
		security = TLS
	case host == "localhost" || ip != nil && ip.IsLoopback():
		security = Insecure
	default:
		security = STLS
	}
	return net.JoinHostPort(host, port), security
}
