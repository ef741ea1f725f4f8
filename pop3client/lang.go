package pop3client

import (
	"context"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

// maxLanguages bounds the reply to LANG, in lines.
const maxLanguages = 1000

// Lang asks for the texts of replies in a language (RFC 6856 section 3), by its
// tag (RFC 5646), or "*" for the server's own choice. It gives the language
// that the server has chosen.
func (c *Client) Lang(ctx context.Context, tag string) (pop3.Language, error) {
	if tag == "" || strings.ContainsAny(tag, " \t") {
		return pop3.Language{}, argumentError("LANG", "the language tag is empty or holds blanks")
	}
	cmd, err := newCommand("LANG", tag)
	if err != nil {
		return pop3.Language{}, err
	}
	text, err := c.exec(ctx, cmd)
	if err != nil {
		return pop3.Language{}, err
	}
	return language(text), nil
}

// Langs asks which languages the server has (RFC 6856 section 3).
func (c *Client) Langs(ctx context.Context) ([]pop3.Language, error) {
	var languages []pop3.Language
	cmd := command{name: "LANG", line: "LANG", shown: "LANG"}
	err := c.execList(ctx, cmd, maxLanguages, func(line string) error {
		languages = append(languages, language(line))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return languages, nil
}

func language(line string) pop3.Language { return pop3.ParseLanguage(pop3.Sanitize(line)) }
