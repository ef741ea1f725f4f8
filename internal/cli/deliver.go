package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/daemon"
	"github.com/poplin-mail/poplin/internal/delivery"
	"github.com/poplin-mail/poplin/internal/process"
	"github.com/poplin-mail/poplin/maildrop"
)

type deliverCmd struct {
	configFlag
	User   string `arg:"" help:"Whom the message is for: a user, or an address."`
	Sender string `short:"f" placeholder:"ADDRESS" help:"The envelope sender, for Return-Path."`
}

// Help shows below the flags.
func (deliverCmd) Help() string {
	return `The message on standard input is stored in the user's maildrop. When the exit code is 0
it survives the loss of power. A line "From " before the message is left out. Addresses,
aliases and quotas are as for LMTP. Started as root it becomes the user of the
configuration first; where that names none, it stores nothing in somebody else's Maildir.

Exit codes, as MTAs know them from sysexits.h: 0 stored, 67 no such user, 77 over quota
(where quota.over is "permanent") or larger than lmtp.max_message, 75 anything else: try
again later.

Examples:

  poplin deliver anna@example.org < message
  |"/usr/local/bin/poplin deliver anna"                                   # a .forward
  argv=/usr/local/bin/poplin deliver --sender=${sender} -- ${recipient}  # Postfix, master.cf`
}

// deliverCommand is the name that MTAs call.
const deliverCommand = "deliver"

// Exit codes of sysexits.h.
const (
	exitNoUser   = 67
	exitTryAgain = 75
	exitNoPerm   = 77
)

// Run stores the message. Whatever is wrong but the address and the quota is
// for the operator to mend, and the MTA to try again.
func (c *deliverCmd) Run(ctx context.Context, t *terminal) error {
	if err := c.deliver(ctx, t); err != nil {
		code := exitTryAgain
		var known *exitError
		if errors.As(err, &known) {
			code = known.code
		}
		return &exitError{code, err}
	}
	return nil
}

func (c *deliverCmd) deliver(ctx context.Context, t *terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if err := becomeUser(cfg); err != nil {
		return err
	}
	agent, done, err := daemon.Agent(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer done()
	to, err := agent.Recipient(ctx, c.User)
	if errors.Is(err, delivery.ErrNoUser) {
		return &exitError{exitNoUser, fmt.Errorf("%s: %w", c.User, err)}
	} else if err != nil {
		return err
	}
	if err := notRootsMaildir(cfg, deliverCommand, to.Maildrop()); err != nil {
		return err
	}
	in := bufio.NewReaderSize(t.in, 64<<10)
	if err := skipFromLine(in); err != nil {
		return err
	}
	env := delivery.Envelope{Sender: c.Sender, Protocol: "local", Max: int64(cfg.LMTP.MaxMessage)}
	errs, err := agent.Deliver(ctx, env, []delivery.Recipient{to}, in)
	if err == nil {
		err = errs[0]
	}
	if errors.Is(err, maildrop.ErrOverQuota) && cfg.Quota.Over == config.Permanent || errors.Is(err, delivery.ErrTooLarge) {
		err = &exitError{exitNoPerm, err}
	}
	return err
}

// becomeUser gives up being root where the configuration names a user.
func becomeUser(cfg *config.Config) error {
	if cfg.User == "" || os.Geteuid() != 0 {
		return nil
	}
	id, err := process.Lookup(cfg.User, cfg.Group)
	if err != nil {
		return err
	}
	return process.Drop(id)
}

// skipFromLine leaves out the line with which mbox files, and some who pipe
// messages, begin.
func skipFromLine(in *bufio.Reader) error {
	begin, err := in.Peek(5)
	if err != nil && err != io.EOF {
		return err
	}
	if !bytes.Equal(begin, []byte("From ")) {
		return nil
	}
	for {
		_, err := in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == io.EOF {
			return nil
		}
		return err
	}
}
