package provider

import (
	"strings"
	"time"
)

// profiles is the table. A new row says when it was checked, and holds only
// what its provider or a measurement has said.
var profiles = []*Profile{
	{
		Name: "gmail", Title: "Gmail and Google Workspace", Checked: "2026-11",
		Domains: strings.Fields("gmail.com googlemail.com"),
		MX:      strings.Fields("google.com googlemail.com"),
		Server:  "pop.gmail.com", Aliases: strings.Fields("pop.googlemail.com"), Port: 995, Security: TLS, UserForm: WholeAddress,
		OAuth:       google,
		AppPassword: "an app password: Google Account > Security > 2-Step Verification > App passwords (myaccount.google.com/apppasswords); 2-Step Verification must be on, and the administrator of a Google Workspace may have forbidden it",
		NeedsSwitch: "POP: Gmail on the web > Settings > See all settings > Forwarding and POP/IMAP > Enable POP for all mail; the administrator of a Google Workspace may have forbidden it",

		PoppedAtQuit: true, SessionMessages: 250, MinInterval: 5 * time.Minute, // its CAPA says LOGIN-DELAY 300
		Note: "What one program has fetched is listed for no other. With recent: before the user name the mail of the last 30 days is listed, whoever has fetched it. " +
			"What becomes of a fetched message in Gmail is chosen there, beside the switch for POP. Mail in Spam and Trash is not listed.",
	},
	{
		Name: "outlook", Title: "Outlook.com, Hotmail and Microsoft 365", Checked: "2026-11",
		Domains: strings.Fields("outlook.com hotmail.com live.com msn.com windowslive.com " +
			"outlook.at outlook.be outlook.cz outlook.de outlook.dk outlook.es outlook.fr outlook.ie outlook.in outlook.it outlook.jp outlook.pt outlook.sk outlook.com.au outlook.com.br " +
			"hotmail.be hotmail.ca hotmail.de hotmail.dk hotmail.es hotmail.fi hotmail.fr hotmail.gr hotmail.it hotmail.nl hotmail.no hotmail.se hotmail.co.jp hotmail.co.uk hotmail.com.ar hotmail.com.br " +
			"live.at live.be live.ca live.cn live.de live.dk live.fi live.fr live.ie live.it live.jp live.nl live.no live.se live.co.uk live.com.ar live.com.au live.com.mx live.com.pt"),
		MX:     strings.Fields("protection.outlook.com mx.microsoft"),
		Server: "outlook.office365.com", Aliases: strings.Fields("pop-mail.outlook.com"), Port: 995, Security: TLS, UserForm: WholeAddress,
		OAuth: microsoft, OAuthOnly: true,
		NeedsSwitch: "POP: Outlook on the web > Settings > Mail > Forwarding and IMAP > Let devices and apps use POP; in a Microsoft 365 organisation the administrator allows it for the mailbox, and the client id for the organisation",
		IdleCut:     time.Minute,
		Note:        "The mailbox's setting for POP says whether a message that a program deletes is deleted, or moved to a folder.",
	},
	{
		Name: "yahoo", Title: "Yahoo Mail", Checked: "2026-11",
		Domains: strings.Fields("yahoo.com ymail.com rocketmail.com myyahoo.com yahoo.ca yahoo.de yahoo.es yahoo.fr yahoo.gr yahoo.ie yahoo.in yahoo.it yahoo.no yahoo.pl yahoo.ro yahoo.se " +
			"yahoo.co.id yahoo.co.in yahoo.co.nz yahoo.co.th yahoo.co.uk yahoo.co.za yahoo.com.ar yahoo.com.au yahoo.com.br yahoo.com.hk yahoo.com.mx yahoo.com.ph yahoo.com.sg yahoo.com.tr yahoo.com.tw yahoo.com.vn"), // not yahoo.co.jp: another company
		MX:     strings.Fields("am0.yahoodns.net"),
		Server: "pop.mail.yahoo.com", Port: 995, Security: TLS, UserForm: WholeAddress,
		AppPassword: "an app password: Yahoo account > Security > App passwords (login.yahoo.com/account/security)",
		Note:        "Yahoo lets only programs that it has approved log in by OAuth, so that it is not offered here.",
	},
	{
		Name: "aol", Title: "AOL Mail", Checked: "2026-11",
		Domains: strings.Fields("aol.com aim.com aol.co.uk aol.de aol.es aol.fr aol.it aol.se aol.co.nz aol.com.ar aol.com.au aol.com.br aol.com.mx"),
		MX:      strings.Fields("mail.gm0.yahoodns.net"),
		Server:  "pop.aol.com", Port: 995, Security: TLS, UserForm: WholeAddress,
		AppPassword: "an app password: AOL account > Security > App passwords (login.aol.com/account/security)",
	},
	{
		Name: "gmx", Title: "GMX (gmx.net)", Checked: "2026-11",
		Domains: strings.Fields("gmx.net gmx.de gmx.at gmx.ch gmx.eu gmx.org gmx.biz gmx.info"),
		MX:      strings.Fields("gmx.net"),
		Server:  "pop.gmx.net", Port: 995, Security: TLS, UserForm: WholeAddress,
		AppPassword: "an application-specific password, where two-factor authentication is on: Mein Account > Sicherheit > Anwendungsspezifische Passwörter; otherwise the account's own password",
		NeedsSwitch: "POP3: E-Mail > Einstellungen > POP3/IMAP Abruf; it must be switched on again once two-factor authentication was",
	},
	{
		Name: "gmx.com", Title: "GMX (gmx.com)", Checked: "2026-11",
		Domains: strings.Fields("gmx.com gmx.us gmx.co.uk gmx.es gmx.fr gmx.it gmx.ca gmx.ie gmx.pt gmx.se"),
		Server:  "pop.gmx.com", Port: 995, Security: TLS, UserForm: WholeAddress,
		AppPassword: "an app-specific password, where two-factor authentication is on: My Account > Security; otherwise the account's own password",
		NeedsSwitch: "POP3: E-mail > Settings > POP3 & IMAP; it must be switched on again once two-factor authentication was",
	},
	{
		Name: "web.de", Title: "WEB.DE", Checked: "2026-11",
		Domains: strings.Fields("web.de"),
		MX:      strings.Fields("web.de"),
		Server:  "pop3.web.de", Port: 995, Security: TLS, UserForm: LocalPart,
		AppPassword: "an application-specific password, where two-factor authentication is on: Mein Account > Sicherheit > Anwendungsspezifische Passwörter; otherwise the account's own password",
		NeedsSwitch: "POP3: E-Mail > Einstellungen > POP3/IMAP Abruf; it must be switched on again once two-factor authentication was",
		MinInterval: 15 * time.Minute,
	},
	{
		Name: "fastmail", Title: "Fastmail", Checked: "2026-11",
		Domains: strings.Fields("fastmail.com fastmail.fm"),
		MX:      strings.Fields("messagingengine.com"),
		Server:  "pop.fastmail.com", Aliases: strings.Fields("pop.messagingengine.com"), Port: 995, Security: TLS, UserForm: WholeAddress,
		AppPassword: "an app password: Settings > Privacy & Security > Manage app passwords and access; the Basic plan has none",
		Note:        "Only the inbox is listed. For another folder put its name into the user name: name+folder@fastmail.com.",
	},
	{
		Name: "posteo", Title: "Posteo", Checked: "2026-11",
		Domains: strings.Fields("posteo.de posteo.net posteo.org posteo.eu posteo.at posteo.ch"),
		MX:      strings.Fields("posteo.de"),
		Server:  "posteo.de", Port: 995, Security: TLS, UserForm: WholeAddress,
	},
	{
		Name: "t-online", Title: "T-Online", Checked: "2026-11",
		Domains: strings.Fields("t-online.de magenta.de"),
		Server:  "securepop.t-online.de", Port: 995, Security: TLS, UserForm: WholeAddress,
		AppPassword: "the password for e-mail programs (E-Mail-Passwort), which is set in Telekom's settings for e-mail; the password for the web is refused",
	},
	{
		Name: "mail.ru", Title: "Mail.ru", Checked: "2026-11",
		Domains: strings.Fields("mail.ru inbox.ru list.ru bk.ru internet.ru"),
		Server:  "pop.mail.ru", Port: 995, Security: TLS, UserForm: WholeAddress,
		AppPassword: "a password for external applications, which is made in the account's settings for security; the account's own password is refused",
	},
	{
		Name: "yandex", Title: "Yandex Mail", Checked: "2026-11",
		Domains: strings.Fields("yandex.ru yandex.com yandex.by yandex.kz ya.ru"),
		MX:      strings.Fields("mx.yandex.net"),
		Server:  "pop.yandex.com", Aliases: strings.Fields("pop.yandex.ru"), Port: 995, Security: TLS, UserForm: WholeAddress,
		AppPassword: "an app password for mail, which is made in the settings of the Yandex ID for security",
		NeedsSwitch: "POP3: Mail > All settings > Email clients",
	},
	{
		Name: "icloud", Title: "iCloud Mail", Checked: "2026-11",
		Domains: strings.Fields("icloud.com me.com mac.com"),
		MX:      strings.Fields("mail.icloud.com"),
		NoPOP3:  "Apple's iCloud Mail can be read by IMAP alone: have it forward mail to another account, or use a program for IMAP",
	},
	{
		Name: "proton", Title: "Proton Mail", Checked: "2026-11",
		Domains: strings.Fields("proton.me protonmail.com protonmail.ch pm.me"),
		MX:      strings.Fields("protonmail.ch"),
		NoPOP3:  "Proton Mail is encrypted for the reader: Proton's own Bridge offers it to this machine, by IMAP alone",
	},
	{
		Name: "tuta", Title: "Tuta Mail", Checked: "2026-11",
		Domains: strings.Fields("tuta.com tuta.io tutanota.com tutanota.de tutamail.com keemail.me"),
		MX:      strings.Fields("tutanota.de"),
		NoPOP3:  "Tuta Mail is encrypted for the reader, and its own programs alone can read it",
	},
}
