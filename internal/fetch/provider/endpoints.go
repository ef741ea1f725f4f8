package provider

import "github.com/poplin-mail/poplin/internal/fetch/oauth"

// google is for Gmail and Google Workspace (checked 2026-11). The device flow
// that Google has is not for mail: its list of scopes for it does not hold
// this one.
var google = &OAuth{
	Name: "google",
	Endpoints: oauth.Endpoints{
		AuthURL:   "https://accounts.google.com/o/oauth2/v2/auth",
		TokenURL:  "https://oauth2.googleapis.com/token",
		RevokeURL: "https://oauth2.googleapis.com/revoke",
		Scopes:    []string{"https://mail.google.com/"},
		// Without the first Google gives no refresh token, without the second
		// only the first time.
		Params: map[string]string{"access_type": "offline", "prompt": "consent"},
	},
	Note: "Register a desktop app: its client id has a secret, which Google asks for. While the app's publishing status is Testing a login lasts seven days.",
}

// microsoft is for Outlook.com and Microsoft 365 (checked 2026-11), for client
// ids that are registered for accounts of both kinds.
var microsoft = &OAuth{
	Name: "microsoft",
	Endpoints: oauth.Endpoints{
		AuthURL:   "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
		TokenURL:  "https://login.microsoftonline.com/common/oauth2/v2.0/token",
		DeviceURL: "https://login.microsoftonline.com/common/oauth2/v2.0/devicecode",
		Scopes:    []string{"https://outlook.office.com/POP.AccessAsUser.All", "offline_access"},
		// The form for redirects takes http for this name alone.
		Redirect: "localhost",
	},
	Scopes: map[Service][]string{
		IMAP: {"https://outlook.office.com/IMAP.AccessAsUser.All", "offline_access"},
		SMTP: {"https://outlook.office.com/SMTP.Send", "offline_access"},
	},
	Note: "Register a public client with the redirect http://localhost, and allow public client flows for the login by a code. It has no secret.",
}
