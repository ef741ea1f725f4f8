package target

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// TestRefusedLogin: what a server says of a login holds the secret in no form.
func TestRefusedLogin(t *testing.T) {
	const secret = `bela"s\pass word, which is long`
	plain := base64.StdEncoding.EncodeToString([]byte("\x00bela\x00" + secret))
	alone := base64.StdEncoding.EncodeToString([]byte(secret))
	url := base64.RawURLEncoding.EncodeToString([]byte("\x00\xff\xfe?" + secret))
	for _, reply := range []string{
		"535 " + plain,
		"535 you sent (" + plain + ")",
		`535 "` + alone + `" is wrong`,
		"535 AUTH=" + alone,
		"535 auth:x" + alone + "y",
		"535 " + strings.TrimRight(plain, "="),
		"535 " + url,
		"535 " + plain[:20] + " " + plain[20:],
		"535 " + plain[:32] + "...",
		"535 wrong: " + secret,
		"535 wrong: " + secret[:20],
		`NO LOGIN bela "bela\"s\\pass word, which is long"`,
	} {
		got := refusedLogin("anna", secret, errors.New("the server says: "+reply)).Error()
		if reveals(got, secret) || strings.Contains(got, "pass") && !strings.Contains(got, "the password or token") || !strings.HasPrefix(got, "login as anna: ") {
			t.Errorf("%q becomes %q", reply, got)
		}
		for i := range len(plain) - 10 {
			if strings.Contains(got, plain[i:i+10]) {
				t.Errorf("%q becomes %q", reply, got)
				break
			}
		}
	}
	for _, reply := range []string{"535 5.7.8 Authentication credentials invalid", "535 [...]", "NO [AUTHENTICATIONFAILED] x?[1m", ""} {
		if got := refusedLogin("anna", secret, errors.New(reply)).Error(); got != "login as anna: "+reply {
			t.Errorf("%q becomes %q", reply, got)
		}
	}
}
