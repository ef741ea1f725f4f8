package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// explained says why a finding of testssl.sh above LOW is none of Poplin's, by
// its id.
var explained = map[string]string{
	"cert_revocation": "the certificate is made by the test, and names no place to ask about it",
	"engine_problem":  "Debian's OpenSSL has no ciphers of GOST to test with",
}

// TestTestSSL: testssl.sh finds nothing above LOW, on either port.
func TestTestSSL(t *testing.T) {
	s := startPoplin(t, false)
	for name, args := range map[string][]string{
		"POP3 over TLS": {"localhost:" + port(s.tls)},
		"STLS":          {"--starttls", "pop3", "localhost:" + port(s.plain)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "findings.json")
			common := []string{"--quiet", "--warnings", "off", "--color", "0", "--nodns", "none", "--ip", "127.0.0.1",
				"--add-ca", s.authority.ca, "--jsonfile", out}
			cmd := command(t, "testssl", append(common, args...)...)
			cmd.Dir = filepath.Dir(out)
			text, _ := cmd.CombinedOutput() // its status counts findings of any level
			data, err := os.ReadFile(out)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			var findings []struct{ ID, Severity, Finding string }
			if err := json.Unmarshal(data, &findings); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			seen := map[string]bool{}
			for _, f := range findings {
				seen[f.ID] = true
				switch f.Severity {
				case "OK", "INFO", "LOW", "DEBUG":
					continue
				}
				if explained[f.ID] == "" {
					t.Errorf("%s %s: %s", f.Severity, f.ID, f.Finding)
				}
			}
			for _, id := range []string{"SSLv3", "TLS1_3", "cert_chain_of_trust", "heartbleed", "secure_client_renego", "LUCKY13", "RC4"} {
				if !seen[id] {
					t.Errorf("testssl.sh did not come to %s:\n%s", id, text)
				}
			}
		})
	}
}
