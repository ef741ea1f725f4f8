package config

// serverKeys are the keys of the server and of its storage.
var serverKeys = []key{
	{name: "state", field: func(c *Config) any { return &c.State }, check: notEmpty, path: true,
		doc: "Folder for what the server makes itself: the self-signed certificate, ACME's certificates, the socket of `poplin who`. It is made if it is missing."},
	{name: "hostname", field: func(c *Config) any { return &c.Hostname }, check: hostname,
		doc: "Name of this server, in APOP's timestamp and in the self-signed certificate. Empty: the machine's name."},
	{name: "user", field: func(c *Config) any { return &c.User },
		doc: "The user that the server becomes, once its ports are bound, where it is started as root. It must own the Maildirs. Empty: it stays who it is."},
	{name: "group", field: func(c *Config) any { return &c.Group },
		doc: "The group that goes with user. Empty: the user's own."},
	{name: "sandbox", field: func(c *Config) any { return &c.Sandbox },
		doc: "Have the kernel keep the server to the files that this configuration names, with no_new_privs and, where the kernel has it, Landlock. What is enforced is logged at start."},

	{name: "pop3.listen", field: func(c *Config) any { return &c.POP3.Listen }, check: address,
		doc: "Addresses to listen on, \"host:port\" or \":port\" for all addresses. [] for none."},
	{name: "pop3.require_tls", field: func(c *Config) any { return &c.POP3.RequireTLS },
		doc: "Take passwords after STLS only. false: passwords are taken in clear text too, and anybody on the way can read them."},
	{name: "pop3.apop", field: func(c *Config) any { return &c.POP3.APOP },
		doc: "Offer APOP, for users whose password is stored as {PLAIN}. It rests on MD5: prefer TLS."},

	{name: "pop3s.listen", field: func(c *Config) any { return &c.POP3S.Listen }, check: address,
		doc: "Addresses to listen on, \"host:port\" or \":port\" for all addresses. [] for none."},

	{name: "proxy.trusted", field: func(c *Config) any { return &c.Proxy.Trusted }, check: network,
		doc: "Networks of balancers. A connection from there must begin with a PROXY header, and counts as one of the address in it; from anywhere else such a header is refused. This holds for [pop3] and [pop3s]: LMTP and the console take no header, and a balancer before them must send none."},

	{name: "console.listen", field: func(c *Config) any { return &c.Console.Listen }, check: address,
		doc: "Addresses to listen on. [] for none."},

	{name: "maildrops.store", field: func(c *Config) any { return &c.Maildrops.Store }, check: oneOf(Maildir, Bucket, Memory),
		doc: "\"maildir\", which Postfix, Exim, Dovecot and mutt share; \"bucket\", an object store that any number of servers share; or \"memory\", for trying things out: it is empty at each start. `poplin move` brings mail from Maildirs into buckets, and back."},
	{name: "maildrops.path", field: func(c *Config) any { return &c.Maildrops.Path }, check: notEmpty, path: true,
		doc: "The Maildir of a user: the folder that holds new/, cur/ and tmp/. {user} is the user's name, {local} what stands before the last @, {domain} what stands behind it."},
	{name: "maildrops.create", field: func(c *Config) any { return &c.Maildrops.Create },
		doc: "Make a Maildir that is missing at login. false: such a login is refused, so that a disk that is not mounted does not look like an empty maildrop, after which mail programs download everything again. `poplin user add` makes the Maildir of a new user."},
	{name: "maildrops.uidl", field: func(c *Config) any { return &c.Maildrops.UIDL }, check: oneOf("", "dovecot", "courier"),
		doc: "Take over the unique-ids of another server, so that no mail program downloads a message twice: \"dovecot\" or \"courier\". Empty: Poplin's own."},
	{name: "maildrops.uidl_format", field: func(c *Config) any { return &c.Maildrops.UIDLFormat },
		doc: "Dovecot's pop3_uidl_format, where uidl is \"dovecot\" and that setting was changed. Empty: Dovecot's default."},
	{name: "maildrops.index_cache", field: func(c *Config) any { return &c.Maildrops.IndexCache },
		doc: "Memory for what is known of the Maildirs that were opened last, so that a login to one in which nothing changed reads neither its folders nor poplin.index: about 64 octets a message and 1 KiB a Maildir. 0: none."},

	{name: "log.format", field: func(c *Config) any { return &c.Log.Format }, check: oneOf(Text, JSON),
		doc: "\"text\" or \"json\"."},
	{name: "log.level", field: func(c *Config) any { return &c.Log.Level }, check: oneOf("debug", "info", "warn", "error"),
		doc: "The least level that is logged: \"debug\", \"info\", \"warn\" or \"error\". \"warn\" leaves out the line of each session."},
}

// tlsKeys are the keys of certificates.
var tlsKeys = []key{
	{name: "tls.certificate", field: func(c *Config) any { return &c.TLS.Certificate }, path: true,
		doc: "File with the certificate and its chain, PEM, or a list of such files: each client gets the one for the name that it asks for, and the first where none fits. Empty: a self-signed one is made below state, which mail programs warn of."},
	{name: "tls.key", field: func(c *Config) any { return &c.TLS.Key }, path: true,
		doc: "File with the private key, PEM, or a list, in the order of the certificates. Only the server should be able to read it."},
	{name: "tls.client_ca", field: func(c *Config) any { return &c.TLS.ClientCA }, path: true,
		doc: "File with the authorities, PEM, whose certificates clients may log in with, by EXTERNAL. Empty: no certificate is asked of a client. Clients without one can still log in with a password."},
	{name: "tls.client_name", field: func(c *Config) any { return &c.TLS.ClientName }, check: oneOf(Email, CommonName, UID),
		doc: "What of a client's certificate is the user: \"email\" for the e-mail address among its alternative names, \"cn\" for the common name, \"uid\" for the user id of its subject."},
	{name: "tls.ticket_keys", field: func(c *Config) any { return &c.TLS.TicketKeys }, path: true,
		doc: "File with keys of TLS session tickets, 64 hexadecimal digits a line, which servers share so that a client can resume at one what it began at another. The first key makes tickets, those of all are taken. It is read again when it changes. Empty: keys that the server makes itself, a new one each day."},

	{name: "acme.domains", field: func(c *Config) any { return &c.ACME.Domains }, check: hostname,
		doc: "Names to have certificates for. [] turns ACME off. Not to be used together with tls.certificate."},
	{name: "acme.email", field: func(c *Config) any { return &c.ACME.Email },
		doc: "Address at which the authority can reach you."},
	{name: "acme.server", field: func(c *Config) any { return &c.ACME.Server },
		doc: "The authority's ACME directory, a URL. Empty: Let's Encrypt."},
	{name: "acme.server_ca", field: func(c *Config) any { return &c.ACME.ServerCA }, path: true,
		doc: "File with the authorities, PEM, that vouch for acme.server itself. Empty: those of this machine."},
	{name: "acme.http_listen", field: func(c *Config) any { return &c.ACME.HTTPListen }, check: address,
		doc: "Where the authority's question is answered (HTTP-01). It asks at port 80 of each domain."},
	{name: "acme.agree", field: func(c *Config) any { return &c.ACME.Agree },
		doc: "Whether you agree to the authority's terms of service."},
}
