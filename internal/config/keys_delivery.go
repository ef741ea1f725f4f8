package config

// deliveryKeys are the keys of mail that comes in, and of how long it stays.
var deliveryKeys = []key{
	{name: "lmtp.listen", field: func(c *Config) any { return &c.LMTP.Listen }, check: socket,
		doc: "Addresses to listen on: \"unix:/run/poplin/lmtp.sock\", or \"host:port\". [] for none."},
	{name: "lmtp.socket_mode", field: func(c *Config) any { return &c.LMTP.SocketMode }, check: mode,
		doc: "Who may use the unix sockets, in octal: whoever may write to one may deliver to everybody."},
	{name: "lmtp.socket_group", field: func(c *Config) any { return &c.LMTP.SocketGroup },
		doc: "The group that the unix sockets are given to, that of the MTA, such as \"postfix\". Empty: the server's own."},
	{name: "lmtp.trusted", field: func(c *Config) any { return &c.LMTP.Trusted }, check: network,
		doc: "Networks of the MTAs that may connect over TCP. Connections from anywhere else are closed. STARTTLS is offered, with the certificate of POP3."},
	{name: "lmtp.domains", field: func(c *Config) any { return &c.LMTP.Domains }, check: hostname,
		doc: "Domains in which the local part of an address, before the @, may be the whole name of a user. [] means all that the MTA hands over."},
	{name: "lmtp.separators", field: func(c *Config) any { return &c.LMTP.Separators }, check: separators,
		doc: "Characters that may separate a user's name from what the user adds to it: with \"+\", anna+lists@example.org is for anna@example.org. Empty: none."},
	{name: "lmtp.aliases", field: func(c *Config) any { return &c.LMTP.Aliases }, path: true,
		doc: "File with further addresses of users, a line each: \"address: user\", where the address may be only the local part, or @domain for all that is left in it. It is read again when it changes."},
	{name: "lmtp.catch_all", field: func(c *Config) any { return &c.LMTP.CatchAll },
		doc: "The user who gets mail for addresses that nobody has. Empty: it is refused."},
	{name: "lmtp.max_message", field: func(c *Config) any { return &c.LMTP.MaxMessage }, least: 64 << 10,
		doc: "Octets of a message at most. Larger ones are refused."},
	{name: "lmtp.sessions", field: func(c *Config) any { return &c.LMTP.Sessions }, least: 1,
		doc: "Connections of MTAs at the same time. More wait until one ends."},

	{name: "quota.octets", field: func(c *Config) any { return &c.Quota.Octets },
		doc: "Octets of all messages of a user, such as \"1GiB\". 0: no bound. It is counted in the file maildirsize of each Maildir, in the form of Maildir++."},
	{name: "quota.messages", field: func(c *Config) any { return &c.Quota.Messages },
		doc: "Messages of a user. 0: no bound."},
	{name: "quota.over", field: func(c *Config) any { return &c.Quota.Over }, check: oneOf(Temporary, Permanent),
		doc: "What the MTA hears of a message that has no room: \"temporary\" (452), so that it tries again for some days, or \"permanent\" (552), so that the sender hears of it at once."},

	{name: "retention.expire", field: func(c *Config) any { return &c.Retention.Expire },
		doc: "The age at which messages are removed, whether they were read or not, such as \"365d\", announced to mail programs as EXPIRE (RFC 2449). \"0s\": never."},
}
