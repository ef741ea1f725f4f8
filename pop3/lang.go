package pop3

import "strings"

// Language is a line of the reply to LANG without arguments: a language tag
// (RFC 5646) and its description in that language (RFC 6856 section 3).
type Language struct {
	Tag         string
	Description string
}

// ParseLanguage reads a line of the reply to LANG without arguments.
func ParseLanguage(line string) Language {
	tag, description, _ := strings.Cut(line, " ")
	return Language{Tag: tag, Description: description}
}
