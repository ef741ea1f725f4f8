package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/mattn/go-runewidth"

	"github.com/poplin-mail/poplin/internal/console"
)

type whoCmd struct {
	configFlag
	User string `arg:"" optional:"" help:"Show this user's sessions only."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (whoCmd) Help() string {
	return `Asks the running server, and the one before an upgrade while it has sessions. IDLE is
the time since the last command, MESSAGES those in the maildrop, SENT the octets without
TLS, DEVICE the label of the app password.

Exit codes: 0 done, also where nobody is connected, 1 failed, 2 wrong command line, 3 no
server is running.

Examples:

  poplin who
  poplin who anna@example.org --json`
}

// Run shows the sessions.
func (c *whoCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	all, err := console.Sessions(ctx, cfg.State)
	if err != nil && len(all) == 0 {
		return asked(cfg.State, err)
	}
	shown := []console.Session{}
	for _, s := range all {
		if c.User == "" || strings.EqualFold(c.User, s.User) {
			shown = append(shown, s)
		}
	}
	if c.JSON {
		return cmp.Or(printJSON(t.out, shown), err)
	}
	if len(shown) == 0 {
		fmt.Fprintln(t.err, "nobody is connected")
		return err
	}
	now := time.Now()
	rows := make([][]string, len(shown))
	for i, s := range shown {
		rows[i] = row(s, now)
	}
	printTable(t, []string{"USER", "ADDRESS", "TLS", "MECHANISM", "DEVICE", "STATE", "SINCE", "IDLE", "MESSAGES", "SENT", "SESSION"}, rows)
	return err
}

// asked says what to do where the server could not be asked.
func asked(state string, err error) error {
	if errors.Is(err, console.ErrNotRunning) {
		return notRun{fmt.Errorf("%w with the state folder %s: `poplin serve` starts one; --config names its configuration", err, state)}
	}
	return err
}

func row(s console.Session, now time.Time) []string {
	tls, messages := "no", "-"
	if s.TLS {
		tls = "yes"
	}
	if s.User != "" {
		messages = grouped(int64(s.Messages))
	}
	last := s.LastCommand
	if last.IsZero() {
		last = s.Started
	}
	return []string{
		orDash(s.User), s.RIP, tls, orDash(s.Mechanism), orDash(s.Device), s.State, since(s.Started, now),
		max(0, now.Sub(last)).Truncate(time.Second).String(), messages, grouped(s.OctetsOut), s.Session,
	}
}

// orDash shows a text that may be empty. What would move a terminal's cursor
// is taken out.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// since gives the time of day, and the date where it was not today.
func since(at, now time.Time) string {
	at = at.Local()
	if now = now.Local(); at.YearDay() == now.YearDay() && at.Year() == now.Year() {
		return at.Format("15:04:05")
	}
	return at.Format("2006-01-02 15:04")
}

// printTable prints rows below a heading, as wide as they are.
func printTable(t *terminal, heading []string, rows [][]string) {
	widths := make([]int, len(heading))
	for _, row := range append(rows, heading) {
		for i, cell := range row {
			widths[i] = max(widths[i], runewidth.StringWidth(cell))
		}
	}
	line := func(row []string) string {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(padTo(cell, widths[i]) + "  ")
		}
		return strings.TrimRight(b.String(), " ")
	}
	p := paletteFor(t.out)
	fmt.Fprintln(t.out, p.bold(line(heading)))
	for _, row := range rows {
		fmt.Fprintln(t.out, line(row))
	}
}
