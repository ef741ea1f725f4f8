package pop3server

import (
	"context"
	"strings"
)

// langCmd lists the languages of the replies' texts, or chooses one (RFC 6856
// section 3). The argument is a language range: "de-AT" finds "de", and "*"
// is the server's choice, which is English.
func (s *session) langCmd(_ context.Context, arg argument) error {
	if arg.text == "" {
		s.ok(textLanguages)
		for _, l := range languages {
			s.w.Line(l.Tag, " ", l.Description)
		}
		return s.w.EndList()
	}
	for wanted := strings.ToLower(strings.Trim(arg.text, " \t")); wanted != ""; wanted = parentRange(wanted) {
		for _, l := range languages {
			if wanted == l.Tag || wanted == "*" {
				s.lang = l.Tag
				s.w.Line("+OK ", l.Tag, " ", s.say(textLanguageSet))
				return nil
			}
		}
	}
	return errNoLanguage
}

// parentRange takes the last subtag off a language range: the lookup of RFC
// 4647 section 3.4.
func parentRange(tag string) string {
	cut := strings.LastIndexByte(tag, '-')
	if cut < 0 {
		return ""
	}
	return tag[:cut]
}

// say gives a text in the session's language, or as it is where that language
// lacks it.
func (s *session) say(text string) string {
	if translated, ok := translations[s.lang][text]; ok {
		return translated
	}
	return text
}
