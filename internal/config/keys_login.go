package config

import "errors"

// Login is how an account logs in at its server, or a target at its own.
type Login struct {
	User string

	Password        string
	PasswordFile    string
	PasswordCommand string
	PasswordEnv     string
	Keyring         bool

	OAuth           string // Google, Microsoft or Custom
	OAuthClientID   string
	OAuthSecretFile string
	OAuthAuthURL    string
	OAuthDeviceURL  string
	OAuthTokenURL   string
	OAuthScopes     []string
	OAuthCommand    string
}

// Values of oauth.
const (
	Google    = "google"
	Microsoft = "microsoft"
	Custom    = "custom"
)

// loginKeys are the keys of a login in a section.
func loginKeys(section, user string, of func(c *Config) *Login) []key {
	name := func(last string) string { return section + "." + last }
	return []key{
		{name: name("user"), field: func(c *Config) any { return &of(c).User }, doc: user},
		{name: name("password"), field: func(c *Config) any { return &of(c).Password }, secret: true,
			doc: "The password. The file must be closed to others then; better is one of the next four."},
		{name: name("password_file"), field: func(c *Config) any { return &of(c).PasswordFile }, path: true,
			doc: "File that holds the password, closed to others."},
		{name: name("password_command"), field: func(c *Config) any { return &of(c).PasswordCommand },
			doc: "Command that prints the password, such as \"pass show mail/work\"."},
		{name: name("password_env"), field: func(c *Config) any { return &of(c).PasswordEnv },
			doc: "Environment variable that holds the password. Commands that Poplin runs do not get it."},
		{name: name("keyring"), field: func(c *Config) any { return &of(c).Keyring },
			doc: "The password is in the desktop's keyring, where `poplin fetch login NAME` puts it."},
		{name: name("oauth"), field: func(c *Config) any { return &of(c).OAuth }, check: oneOf("", Google, Microsoft, Custom),
			doc: "Log in with OAuth 2.0 at \"google\", \"microsoft\", or by oauth_auth_url, oauth_device_url, oauth_token_url and oauth_scopes at a \"custom\" provider; `poplin fetch login NAME` asks for the consent, once."},
		{name: name("oauth_client_id"), field: func(c *Config) any { return &of(c).OAuthClientID },
			doc: "The client id that you registered there: see docs/howto/oauth.md."},
		{name: name("oauth_client_secret_file"), field: func(c *Config) any { return &of(c).OAuthSecretFile }, path: true,
			doc: "File that holds the client secret, where there is one."},
		{name: name("oauth_auth_url"), field: func(c *Config) any { return &of(c).OAuthAuthURL },
			doc: "Custom provider: the authorization endpoint, for a login by a browser."},
		{name: name("oauth_device_url"), field: func(c *Config) any { return &of(c).OAuthDeviceURL },
			doc: "Custom provider: the device authorization endpoint (RFC 8628), for a login by a code."},
		{name: name("oauth_token_url"), field: func(c *Config) any { return &of(c).OAuthTokenURL },
			doc: "Custom provider: the token endpoint."},
		{name: name("oauth_scopes"), field: func(c *Config) any { return &of(c).OAuthScopes },
			doc: "Custom provider: the scopes to ask for, as its manual names them; often \"offline_access\" is one that is needed for tokens that can be renewed."},
		{name: name("oauth_token_command"), field: func(c *Config) any { return &of(c).OAuthCommand },
			doc: "Command that prints an access token, instead of the keys above."},
	}
}

// check finds what does not go together.
func (l *Login) check() error {
	n := 0
	for _, set := range []bool{l.Password != "", l.PasswordFile != "", l.PasswordCommand != "", l.PasswordEnv != "", l.OAuth != "", l.OAuthCommand != "", l.Keyring} {
		if set {
			n++
		}
	}
	custom := l.OAuthAuthURL != "" || l.OAuthDeviceURL != "" || l.OAuthTokenURL != "" || len(l.OAuthScopes) > 0
	switch {
	case n > 1:
		return errors.New("sets more than one of password, password_file, password_command, password_env, keyring, oauth and oauth_token_command: keep one")
	case l.OAuth != Custom && custom:
		return errors.New(`sets oauth_auth_url, oauth_device_url, oauth_token_url or oauth_scopes, which are for oauth = "custom"`)
	case l.OAuth == Custom && l.OAuthTokenURL == "":
		return errors.New(`has oauth = "custom" and wants oauth_token_url`)
	case l.OAuth == Custom && l.OAuthAuthURL == "" && l.OAuthDeviceURL == "":
		return errors.New(`has oauth = "custom" and wants oauth_auth_url or oauth_device_url`)
	}
	return nil
}
