package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/poplin-mail/poplin/internal/collect"
	"github.com/poplin-mail/poplin/internal/fetch/oauth"
)

type fetchLoginCmd struct {
	fetchConfigFlag
	Account string `arg:"" name:"name" help:"The NAME of a [fetch.NAME] or a [target.NAME] with oauth or keyring."`
	Device  bool   `help:"With oauth: by a code that is entered on another device, instead of a browser on this one."`
	Forget  bool   `help:"Forget the token or password that is stored."`
}

// Help shows below the flags.
func (fetchLoginCmd) Help() string {
	return `With oauth a browser asks for consent, once; the token is kept, closed to others, below
state, and renewed when it is used. With keyring the password is asked for and put into the
desktop's keyring.

Examples:

  poplin fetch login gmail
  poplin fetch login work --device`
}

// Run logs in.
func (c *fetchLoginCmd) Run(ctx context.Context, t *terminal) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := c.load()
	if err != nil {
		return err
	}
	login, err := collect.LoginOf(cfg, c.Account, collect.Options{})
	if err != nil {
		return err
	}
	if tokens := login.Tokens(); tokens != nil {
		return c.token(ctx, t, tokens)
	}
	ring, ok := login.Keyring()
	switch {
	case !ok:
		return fmt.Errorf("%s has neither oauth nor keyring: there is nothing to log in to beforehand", c.Account)
	case c.Forget:
		return ring.Delete(ctx)
	}
	password, err := askOrRead(t, "Password for "+login.User+": ")
	if err != nil {
		return err
	}
	return ring.Set(ctx, password)
}

// token gets a token, or forgets it.
func (c *fetchLoginCmd) token(ctx context.Context, t *terminal, tokens *oauth.Source) error {
	switch {
	case c.Forget:
		return tokens.Forget(ctx)
	case c.Device:
		err := tokens.LoginDevice(ctx, func(p oauth.Prompt) {
			fmt.Fprintf(t.err, "On any device open %s and enter the code %s, within %v.\n", p.URL, p.Code, time.Until(p.Expires).Round(time.Minute))
		})
		if err != nil {
			return err
		}
	default:
		other := ""
		if tokens.Devices() {
			other = " (or use --device)"
		}
		if err := tokens.LoginBrowser(ctx, func(url string) {
			fmt.Fprintf(t.err, "Open this in a browser on this machine%s:\n\n%s\n\n", other, url)
		}); err != nil {
			return err
		}
	}
	fmt.Fprintf(t.out, "%s: logged in; `poplin doctor` tries it\n", c.Account)
	return nil
}
