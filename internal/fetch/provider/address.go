package provider

import (
	"errors"
	"net"
	"strings"

	"golang.org/x/net/idna"
)

// ParseAddress splits a mail address into what stands before the @ and the
// domain, in lower case and in the form of the DNS (RFC 5891).
func ParseAddress(address string) (local, domain string, err error) {
	at := strings.LastIndexByte(address, '@')
	if at <= 0 || at == len(address)-1 || len(address) > 320 {
		return "", "", errors.New("this is no mail address: it needs a name, an @ and a domain")
	}
	local, domain = address[:at], address[at+1:]
	if strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || r == 0x7F || r == '@' }) {
		return "", "", errors.New("the name before the @ holds a character that it cannot")
	}
	domain, err = idna.Lookup.ToASCII(domain)
	domain = strings.TrimSuffix(domain, ".")
	if err != nil || !hostname(domain) {
		return "", "", errors.New("the domain behind the @ is none")
	}
	return local, domain, nil
}

// hostname tells whether a name may be that of a host, and is no address of
// IP.
func hostname(name string) bool {
	if name == "" || len(name) > 253 || net.ParseIP(name) != nil {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	return true
}
