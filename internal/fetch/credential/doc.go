// Package credential says where the secret of an account comes from: the
// configuration itself, a file, a command, an environment variable or the
// desktop's keyring.
//
// A secret is a password, or a token that a command prints. It is asked for
// when it is needed and not kept. No error of this package holds one.
package credential

import (
	"context"
	"errors"
	"strings"
)

// A Source gives the secret of one account. Secret may wait, for a person who
// unlocks a keyring for instance, and ends when ctx does. It may be called
// from several goroutines at once.
type Source interface {
	Secret(ctx context.Context) (string, error)
}

// ErrMissing is wrapped by the errors of a source that is there and holds
// nothing for this account: a file, a variable or an entry of the keyring that
// does not exist.
var ErrMissing = errors.New("no secret")

// maxSecret bounds a secret, in octets. OAuth tokens of 12 kB exist.
const maxSecret = 64 << 10

// source is a function that is a Source: unlike a struct it shows nothing to
// whoever prints it.
type source func(ctx context.Context) (string, error)

func (s source) Secret(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return s(ctx)
}

// Literal gives a secret that stands in the configuration.
func Literal(secret string) Source {
	return source(func(context.Context) (string, error) {
		return secret, check("the password", secret)
	})
}

// cut cuts one line end off what an editor or echo wrote.
func cut(text string) string {
	text, had := strings.CutSuffix(text, "\n")
	if had {
		text = strings.TrimSuffix(text, "\r")
	}
	return text
}

// check refuses what no command of POP3 can carry, and what is a mistake more
// likely than a secret. What names where it came from.
func check(what, secret string) error {
	switch {
	case secret == "":
		return errors.New(what + " is empty")
	case len(secret) > maxSecret:
		return errors.New(what + " is longer than 64 KiB: it cannot be a password")
	case strings.ContainsAny(secret, "\r\n"):
		return errors.New(what + " has more than one line: the password must stand there alone")
	case strings.ContainsRune(secret, 0):
		return errors.New(what + " holds a NUL octet, which a password cannot")
	}
	return nil
}
