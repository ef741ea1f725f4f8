package collect

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/fetch/credential"
	"github.com/poplin-mail/poplin/internal/fetch/oauth"
	"github.com/poplin-mail/poplin/internal/fetch/provider"
)

// profileOf gives what is known of the account's provider, nil where it is
// nothing.
func profileOf(a config.Account, host string) (*provider.Profile, error) {
	switch a.Provider {
	case "":
		return provider.ByServer(host), nil
	case "none":
		return nil, nil
	}
	p := provider.ByName(a.Provider)
	if p == nil {
		return nil, fmt.Errorf("provider = %q is not known: leave it out, or write \"none\"", a.Provider)
	}
	return p, nil
}

// secretOf gives where the password, or the token, comes from.
func secretOf(a config.Account, tokens string, opts Options) (credential.Source, error) {
	command := credential.CommandOptions{Terminal: opts.Terminal}
	switch {
	case a.Password != "":
		return credential.Literal(a.Password), nil
	case a.PasswordFile != "":
		return credential.File(a.PasswordFile), nil
	case a.PasswordCommand != "":
		return credential.Command(a.PasswordCommand, command), nil
	case a.PasswordEnv != "":
		return credential.Environment(a.PasswordEnv), nil
	case a.Keyring:
		return credential.Keyring{Account: a.Name}, nil
	case a.OAuthCommand != "":
		return credential.Command(a.OAuthCommand, command), nil
	case a.OAuth != "":
		source, err := tokensOf(a, tokens, opts)
		return tokenSecret{source}, err
	}
	return nil, errors.New("has no password: set one of password_file, password_command, password_env, keyring, oauth or password")
}

// tokensOf gives the source of the account's tokens.
func tokensOf(a config.Account, folder string, opts Options) (*oauth.Source, error) {
	known := provider.ByOAuth(a.OAuth)
	if known == nil {
		return nil, fmt.Errorf("oauth = %q is neither \"google\" nor \"microsoft\": for others use oauth_token_command", a.OAuth)
	}
	c := oauth.Config{Account: a.Name, User: a.User, Endpoints: known.Endpoints, ClientID: a.OAuthClientID, Folder: folder, Logger: opts.Logger}
	if a.OAuthSecretFile != "" {
		c.ClientSecret = credential.File(a.OAuthSecretFile)
	}
	return oauth.New(c)
}

// tokenSecret gives tokens where passwords are asked for.
type tokenSecret struct{ *oauth.Source }

// Secret implements credential.Source.
func (s tokenSecret) Secret(ctx context.Context) (string, error) { return s.Token(ctx) }

// Tokens gives the source of the account's tokens, nil where it logs in with a
// password.
func (j *Job) Tokens() *oauth.Source {
	if s, ok := j.connector.secret.(tokenSecret); ok {
		return s.Source
	}
	return nil
}

// Keyring gives the place of the account's password in the desktop's keyring,
// and whether that is where it is.
func (j *Job) Keyring() (credential.Keyring, bool) {
	k, ok := j.connector.secret.(credential.Keyring)
	return k, ok
}

// tokenFolder gives the folder with the tokens, beside that with the journals.
func tokenFolder(journals string) string { return filepath.Join(filepath.Dir(journals), "oauth") }
