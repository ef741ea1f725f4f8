package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"text/tabwriter"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/daemon"
	"github.com/poplin-mail/poplin/maildrop"
)

type quotaCmd struct {
	configFlag
	Users []string `arg:"" name:"user" help:"Users, or addresses."`
	JSON  bool     `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (quotaCmd) Help() string {
	return `What a maildrop holds is read from its maildirsize, which delivery, QUIT and other
programs that know Maildir++ keep; without one the messages are counted.

Examples:

  poplin quota anna@example.org bert@example.org
  poplin quota --json anna@example.org`
}

// taken is what --json prints of a user.
type taken struct {
	User        string `json:"user"`
	Octets      int64  `json:"octets"`
	Messages    int64  `json:"messages"`
	MaxOctets   int64  `json:"max_octets"`   // 0: no bound
	MaxMessages int64  `json:"max_messages"` // 0: no bound
}

// Run prints a line for each user.
func (c *quotaCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	agent, done, err := daemon.Agent(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer done()
	all := make([]taken, 0, len(c.Users))
	for _, name := range c.Users {
		to, err := agent.Recipient(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var u maildrop.Usage
		if u, err = agent.Store.Usage(ctx, to.Maildrop()); err != nil {
			return err
		}
		q := to.Quota()
		all = append(all, taken{to.User, u.Octets, u.Messages, q.Octets, q.Messages})
	}
	if c.JSON {
		return printJSON(t.out, all)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "user\toctets\tof\tmessages\tof\t")
	for _, u := range all {
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%s\t\n", u.User, u.Octets, bound(u.MaxOctets, config.Octets(u.MaxOctets).String()),
			u.Messages, bound(u.MaxMessages, strconv.FormatInt(u.MaxMessages, 10)))
	}
	return w.Flush()
}

// bound writes one of a quota.
func bound(n int64, text string) string {
	if n == 0 {
		return "-"
	}
	if unquoted, err := strconv.Unquote(text); err == nil {
		return unquoted
	}
	return text
}
