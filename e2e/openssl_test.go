package e2e

import (
	"strings"
	"testing"
)

// TestOpenSSL: OpenSSL's client gets in by TLS 1.2 and 1.3 and not by 1.1,
// on both ports, and only with the ALPN protocol of POP3 or none.
func TestOpenSSL(t *testing.T) {
	s := startPoplin(t, false)
	for _, port := range [][]string{{"-connect", s.tls}, {"-connect", s.plain, "-starttls", "pop3"}} {
		for _, c := range []struct{ options, want string }{
			{"-tls1_3", "New, TLSv1.3, "},
			{"-tls1_2", "New, TLSv1.2, "},
			{"-tls1_1 -cipher DEFAULT@SECLEVEL=0", ""},
			{"-alpn pop3", "ALPN protocol: pop3"},
			{"-alpn imap", ""},
			{"-alpn imap,pop3", "ALPN protocol: pop3"},
		} {
			args := append([]string{"s_client", "-CAfile", s.authority.ca, "-verify_return_error"}, port...)
			cmd := command(t, "openssl", append(args, strings.Fields(c.options)...)...)
			cmd.Stdin = strings.NewReader("QUIT\r\n")
			out, err := cmd.CombinedOutput()
			text := string(out)
			if c.want == "" && (err == nil || !strings.Contains(text, "alert")) {
				t.Errorf("%v %s: %v, want an alert:\n%s", port, c.options, err, text)
			}
			if c.want != "" && (err != nil || !strings.Contains(text, c.want) || !strings.Contains(text, "Verification: OK")) {
				t.Errorf("%v %s: %v, want %q:\n%s", port, c.options, err, c.want, text)
			}
		}
	}
}
