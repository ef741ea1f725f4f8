package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// AddressOptions say which addresses users have.
type AddressOptions struct {
	// Domains are those in which a local part may be the whole name of a user.
	// None means all.
	Domains []string

	// Separators are the characters that may stand between a user's name and
	// what the user added to it (RFC 5233 section 1). Empty: there are none.
	Separators string

	// Aliases is a file with further addresses, empty: there is none. It has a
	// line for each, "address: user". The address may be a local part, for all
	// Domains, or "@" and a domain, for what is left in it.
	Aliases string

	// CatchAll is the user who gets what nobody has the address of. Empty: it
	// is refused.
	CatchAll string

	Logger *slog.Logger // nil discards
}

// Addresses finds the user that mail for an address is for. It is used by
// many deliveries at once.
type Addresses struct {
	users   *Directory
	opts    AddressOptions
	aliases *watched[aliases] // nil: there are none
}

// NewAddresses reads the file with aliases.
func NewAddresses(users *Directory, opts AddressOptions) (*Addresses, error) {
	a := &Addresses{users: users, opts: opts}
	if a.opts.Logger == nil {
		a.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Aliases == "" {
		return a, nil
	}
	a.aliases = &watched[aliases]{path: opts.Aliases, what: "aliases file", open: true, every: statEvery, logger: a.opts.Logger}
	a.aliases.parse = func(data []byte) (*aliases, error) { return parseAliases(opts.Aliases, data) }
	return a, a.aliases.reload()
}

// Reload reads the file with aliases now. With an error, what was read before
// stays good.
func (a *Addresses) Reload() error {
	if a.aliases == nil {
		return nil
	}
	return a.aliases.reload()
}

// User finds the user of an address, nil where there is none. The whole
// address is looked for first, then its local part alone, where the domain is
// one of those, each first with what the user added and then without it;
// first among the aliases, and then among the users.
func (a *Addresses) User(ctx context.Context, address string) (*User, error) {
	local, domain := address, ""
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		local, domain = address[:at], address[at+1:]
	}
	ours := domain == "" || len(a.opts.Domains) == 0 ||
		slices.ContainsFunc(a.opts.Domains, func(d string) bool { return strings.EqualFold(d, domain) })
	var names []string
	for _, whole := range []bool{true, false} {
		for _, part := range []string{local, a.cutTag(local)} {
			name := part
			if whole && domain != "" {
				name += "@" + domain
			} else if !ours {
				continue
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		if target := a.alias(name); target != "" {
			return a.mustExist(ctx, name, target)
		}
		if u, err := a.users.Recipient(ctx, name); u != nil || err != nil {
			return u, err
		}
	}
	if target := a.alias("@" + domain); target != "" && domain != "" {
		return a.mustExist(ctx, "@"+domain, target)
	}
	if a.opts.CatchAll != "" {
		return a.mustExist(ctx, "catch_all", a.opts.CatchAll)
	}
	return nil, nil
}

// cutTag gives the local part without what the user added to it.
func (a *Addresses) cutTag(local string) string {
	if i := strings.IndexAny(local, a.opts.Separators); i > 0 {
		return local[:i]
	}
	return local
}

func (a *Addresses) alias(name string) string {
	if a.aliases == nil {
		return ""
	}
	return (*a.aliases.current())[fold(name)]
}

// mustExist gives the user that an alias names. One who does not exist is an
// operator's mistake, for which no mail must be lost.
func (a *Addresses) mustExist(ctx context.Context, alias, name string) (*User, error) {
	u, err := a.users.Recipient(ctx, name)
	if u == nil && err == nil {
		err = fmt.Errorf("%s is for the user %s, whom no source knows: add the user, or name another", alias, name)
	}
	return u, err
}

// aliases are users by folded address.
type aliases map[string]string

// parseAliases reads a file with aliases. All lines that are wrong are in the
// error, each a *LineError, up to ten.
func parseAliases(file string, data []byte) (*aliases, error) {
	all := make(aliases)
	var errs []error
	number := 0
	for line := range bytes.Lines(data) {
		number++
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			continue
		}
		if err := all.add(text); err != nil && len(errs) < 10 {
			errs = append(errs, &LineError{File: file, Line: number, Err: err})
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &all, nil
}

func (all aliases) add(line string) error {
	address, user, found := strings.Cut(line, ":")
	address, user = fold(strings.TrimSpace(address)), strings.TrimSpace(user)
	switch {
	case !found || address == "" || user == "":
		return errors.New(`the line is not "address: user"`)
	case strings.ContainsAny(user, ", \t") || CheckName(user) != nil:
		return errors.New("an alias is for one user of this server: lists and addresses elsewhere belong in the MTA, which tries again for each")
	case all[address] != "":
		return fmt.Errorf("%s stands in the file twice", address)
	}
	all[address] = user
	return nil
}
