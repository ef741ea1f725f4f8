package directory

import (
	"strings"
	"testing"
)

// vectors are hashes of the password "tanstaaf l" made by other programs:
// doveadm 2.3.19, OpenSSL 3.0, libxcrypt 4.4 and Python's hashlib.
var vectors = []struct{ by, field, scheme string }{
	{"doveadm", "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$g2Z77Jhxz6UzLOjd5tvp8A$hsPzlrX7U5C4C/uiWMCjs4Tb5br0JPS02KwWy/olodY", "ARGON2ID"},
	{"doveadm", "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$HGpUy/46ySAx5/L2bNR3SA$7ylX7cQgMYsJaCVMF+cVt5Gh0bMypWpa8qgkyM6gkG4", "ARGON2I"},
	{"doveadm", "{BLF-CRYPT}$2y$05$sgl8LRn1t7fi59rv2yzgXeWji4lY281DQyot6lSx9CcUjdmUKU2ma", "BLF-CRYPT"},
	{"doveadm", "{SHA512-CRYPT}$6$eBClu3pf1PM7631I$2zxZdMsRX8FMkSNu14tjRsxDVUiZ64Jn2QB4K.qEZBnFFWu/x.wUQ6bJI/W.4Ul4rCyG8ogoR6FhwXjI5Pyu10", "SHA512-CRYPT"},
	{"doveadm", "{SHA256-CRYPT}$5$dgziriazXHcbrCRY$RNPhygdVH3mnA0pbe662AUJVhQJfEOa9cO/4syDnNID", "SHA256-CRYPT"},
	{"doveadm", "{MD5-CRYPT}$1$kCNN/PX6$L.s4CROeP/N1Z9qnhQX1N.", "MD5-CRYPT"},
	{"doveadm", "{CRYPT}$2y$05$gVw.P/9FkIiEMyz12kMY2eD1Va0HXWhwHNUJYvGf7BEhqa4iG.Tze", "CRYPT"},
	{"doveadm", "{PBKDF2}$1$j8Q6jBZJ2t7J.Hx7$5000$c7b336148c302e1b75d906dd8a62aad0bc14b22b", "PBKDF2"},
	{"doveadm", "{PLAIN}tanstaaf l", "PLAIN"},
	{"doveadm", "{CLEARTEXT}tanstaaf l", "CLEARTEXT"},
	{"doveadm", "{PLAIN.HEX}74616e7374616166206c", "PLAIN.HEX"},
	{"doveadm", "{PLAIN.B64}dGFuc3RhYWYgbA==", "PLAIN.B64"},
	{"doveadm", "{PLAIN-MD5}a5d46ffd4b4b5d85521f462fabcc2266", "PLAIN-MD5"},
	{"doveadm", "{PLAIN-MD5.B64}pdRv/UtLXYVSH0Yvq8wiZg==", "PLAIN-MD5.B64"},
	{"doveadm", "{LDAP-MD5}pdRv/UtLXYVSH0Yvq8wiZg==", "LDAP-MD5"},
	{"doveadm", "{LDAP-MD5.HEX}a5d46ffd4b4b5d85521f462fabcc2266", "LDAP-MD5.HEX"},
	{"doveadm", "{SMD5}XFjaTEnK4XYmR8Fo0sa6dYdKXDM=", "SMD5"},
	{"doveadm", "{SMD5.HEX}3e5b5a573776f287f1ae722f57d6b6610148abe6", "SMD5.HEX"},
	{"doveadm", "{SHA}dUo41KXsTAMROWD75D/sLbEJGq0=", "SHA"},
	{"doveadm", "{SHA1}dUo41KXsTAMROWD75D/sLbEJGq0=", "SHA1"},
	{"doveadm", "{SHA1.HEX}754a38d4a5ec4c03113960fbe43fec2db1091aad", "SHA1.HEX"},
	{"doveadm", "{SSHA}hIiApLYzCYV3/pN4IhwDPBr8w+wdHKS4", "SSHA"},
	{"doveadm", "{SSHA.HEX}932c751268fd2d32ee86661871f473802c9612c234878116", "SSHA.HEX"},
	{"doveadm", "{SHA256}YsG2Gha2NeH3g7gGAj05JVwWdxUvOv9bqx+MBqcqnc4=", "SHA256"},
	{"doveadm", "{SHA256.HEX}62c1b61a16b635e1f783b806023d39255c1677152f3aff5bab1f8c06a72a9dce", "SHA256.HEX"},
	{"doveadm", "{SHA256.B64}YsG2Gha2NeH3g7gGAj05JVwWdxUvOv9bqx+MBqcqnc4=", "SHA256.B64"},
	{"doveadm", "{SSHA256}/sLdPWWpIbl+KxgQ+BOk8Ir6YJSivNIv9qjYq8nbOAL1fsq8", "SSHA256"},
	{"doveadm", "{SSHA256.HEX}fab2924f70136bc0f4ef9d6e82c7f9df5bea1b69b910c6f2c61c009e13fd3672f9c19230", "SSHA256.HEX"},
	{"doveadm", "{SHA512}j2QeWBIDFwoCXkRmwMBcCK9beOkP+/vDUuczKiPH46FnVe+kcMtGk3fDY+RBbh4Pm9OhMn9UGSPbCnn9JOpDKQ==", "SHA512"},
	{"doveadm", "{SHA512.HEX}8f641e581203170a025e4466c0c05c08af5b78e90ffbfbc352e7332a23c7e3a16755efa470cb469377c363e4416e1e0f9bd3a1327f541923db0a79fd24ea4329", "SHA512.HEX"},
	{"doveadm", "{SSHA512}NGXn+pmkdkRaVZ3+w2wLh/L/uad8jtSaV8qSc+Yg9y3fUL0HpZ39qP0ccMCjBcU1PacsqsSvhwPiCeo3yxRCFRHJSCY=", "SSHA512"},
	{"doveadm", "{SSHA512.BASE64}bP+Pz5BqtsQAeDQgLjXEIbUQixdFbo3hzpqzCE1Pudv+p/WSQtvTERk0d3NP+HpfO821DCWw5VSc4oXAxVlYEzpdMcU=", "SSHA512.BASE64"},
	{"doveadm", "{SCRAM-SHA-1}4096,qHXc4I2xwhOcmPOKYOzu8g==,0jyN8qMpci99T+KVjE9dOprW5uM=,Cz6SbGBGRBt/yo7PDEtq7F+CsXM=", "SCRAM-SHA-1"},
	{"doveadm", "{SCRAM-SHA-256}4096,M6nHbljgZCLZTRE6CI6gvA==,AnbZUM4O1mbeFimXBllZpx9W9MmoreOO+j1e6XkVjGc=,pqZ5EVX0ElLSexO1aSu9HdCArHPZU6hGfxzlCMgH2fA=", "SCRAM-SHA-256"},
	{"openssl", "$1$saltsalt$4InVDakCZ8LU8H3edxLVE0", "MD5-CRYPT"},
	{"openssl", "$5$saltsalt$rEtgptW1rc.Vk0htaidWDxEGGzWJwjZoRocDOlZ9xL8", "SHA256-CRYPT"},
	{"openssl", "$6$saltsalt$TLMDu7Rz9DETlsHnqd6pCyF6i/ZgYAmIOQjmVLlpUmk9WzGANyS8HObKSJJ9TCM/vF2xc/EVNUASBb.pVLm7R0", "SHA512-CRYPT"},
	{"libxcrypt", "$2a$05$abcdefghijklmnopqrstuulokHjfVe1qQXBqebXRMk8iMK10PddYa", "BLF-CRYPT"},
	{"libxcrypt", "{bcrypt}$2b$04$abcdefghijklmnopqrstuunM/no07yBK6NQGkTIz77ohUJUgAwQQK", "BCRYPT"},
	{"libxcrypt", "{CRYPT}$5$rounds=1000$ab$0Q65/la.EvAMXnv3ILAaUYUT26MnEkmHsgGS8017Gp0", "CRYPT"},
	{"libxcrypt", "$6$rounds=10000$saltsaltsaltsalt$aItvKx7QMWvooy7TfjXHibrQC8UK45OE4QZSJ9VVq9.LHpfMLMTLuK1yXL0zSdMymrUiRHYPGJN34WfbVKMzq.", "SHA512-CRYPT"},
	{"libxcrypt", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$lLyfDLep66.jZpu.bX9eHFwfzlrSeK8F5wxtqXfiF57", "YESCRYPT"},
	{"hashlib", "$pbkdf2-sha256$1000$c2FsdHNhbHQ$4JhDh4yslo/6HKX6TugekfkN23LRD3ABBdCGjufzA/8", "PBKDF2"},
	{"hashlib", "{SCRYPT}$scrypt$ln=10,r=8,p=1$c2FsdHNhbHQ$lJVLctbyS89gWeXRHGNvYSyk8YaNoJMlCK+lW85QO+g", "SCRYPT"},
}

func TestSecretVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.by+"/"+v.scheme, func(t *testing.T) {
			s, err := parseSecret(v.field)
			if err != nil {
				t.Fatal(err)
			}
			if s.scheme != v.scheme {
				t.Errorf("scheme %q, want %q", s.scheme, v.scheme)
			}
			if !s.match("tanstaaf l") {
				t.Error("the right password does not match")
			}
			for _, wrong := range []string{"", "tanstaaf", "tanstaaf L", "tanstaaf l "} {
				if s.match(wrong) {
					t.Errorf("%q matches", wrong)
				}
			}
			if want := strings.HasPrefix(v.scheme, "PLAIN") && !strings.Contains(v.scheme, "MD5") || v.scheme == "CLEARTEXT"; s.plain != want {
				t.Errorf("plain is %v, want %v", s.plain, want)
			}
		})
	}
}

func TestSecretLocked(t *testing.T) {
	for _, field := range []string{"", "!", "*", "!$6$saltsalt$TLMDu7Rz", "{CRYPT}!", "{SHA512-CRYPT}*", "{SHA256}", "{PLAIN}"} {
		s, err := parseSecret(field)
		if err != nil || !s.locked() {
			t.Errorf("%q: locked %v, error %v; want a locked password", field, s.locked(), err)
		}
	}
	s, err := parseSecret("{PLAIN}!really")
	if err != nil || s.locked() || !s.match("!really") {
		t.Errorf("a clear text may begin with an exclamation mark: %v", err)
	}
}

// TestSecretRefused has hashes that ask for too much or are not hashes. None
// of what stands in them may be in the error.
func TestSecretRefused(t *testing.T) {
	const salt, key = "c2FsdHNhbHQ", "hsPzlrX7U5C4C/uiWMCjs4Tb5br0JPS02KwWy/olodY"
	cases := []struct{ field, want string }{
		{"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$" + salt + "$", "not of this scheme"},
		{"$scrypt$ln=10,r=8,p=1$" + salt + "$", "not of this scheme"},
		{"$y$j9T$F5Jx5fExrKuPp53xLKQ..1$", "not of this scheme"},
		{"$5$saltsalt$", "not of this scheme"},
		{"hunter2secret", "no {SCHEME}"},
		{"abJnggxhB/yWI", "no {SCHEME}"},
		{"{CRYPT}abJnggxhB/yWI", "DES"},
		{"{hunter2secret", "no {SCHEME}"},
		{"{CRAM-MD5}9186d855e11eba527a7a52ca82b313e180d62234f0acc9051b527243d41e2740", "{CRAM-MD5} is not supported"},
		{"{hunter2 secret!}x", "the scheme in braces is not supported"},
		{"{SHA256.ROT13}xyz", "{SHA256.ROT13} is not supported"},
		{"{ARGON2ID.HEX}00", "{ARGON2ID.HEX} is not supported"},
		{"{ARGON2ID}$argon2id$v=19$m=4294967295,t=1,p=1$" + salt + "$" + key, "more than 1024 MiB"},
		{"{ARGON2ID}$argon2id$v=19$m=4294967296,t=1,p=1$" + salt + "$" + key, "not of this scheme"},
		{"{ARGON2ID}$argon2id$v=19$m=1048576,t=1000,p=1$" + salt + "$" + key, "1000 passes over 1024 MiB"},
		{"{ARGON2ID}$argon2id$v=19$m=65536,t=1,p=65$" + salt + "$" + key, "p=65"},
		{"{ARGON2ID}$argon2id$v=19$m=65536,t=0,p=1$" + salt + "$" + key, "not of this scheme"},
		{"{ARGON2ID}$argon2id$v=19$m=65536,p=1$" + salt + "$" + key, "not of this scheme"},
		{"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$" + salt, "not of this scheme"},
		{"{ARGON2ID}$argon2i$v=19$m=65536,t=3,p=1$" + salt + "$" + key, "not of this scheme"},
		{"{ARGON2ID}$argon2id$v=18$m=65536,t=3,p=1$" + salt + "$" + key, "not of this scheme"},
		{"$scrypt$ln=40,r=8,p=1$" + salt + "$" + key, "more than 1024 MiB"},
		{"$scrypt$ln=24,r=8,p=1$" + salt + "$" + key, "more than 1024 MiB"},
		{"$scrypt$ln=19,r=8,p=300$" + salt + "$" + key, "300 passes"},
		{"$scrypt$ln=1,r=1,p=8000000$" + salt + "$" + key, "more than 1024 MiB"},
		{"$y$jzz$saltsalt$" + key, "more than 1024 MiB"},
		{"$y$nine$saltsalt$" + key, "not of this scheme"},
		{"$2y$31$sgl8LRn1t7fi59rv2yzgXeWji4lY281DQyot6lSx9CcUjdmUKU2ma", "cost of the hash is not between 4 and 16"},
		{"$2y$05$sgl8LRn1t7fi59rv2yzgXe", "not of this scheme"},
		{"$6$rounds=999999999$saltsalt$" + key, "rounds of the hash is not between 1000 and 5000000"},
		{"$6$rounds=10$saltsalt$" + key, "rounds of the hash is not between"},
		{"$6$round=5000$saltsalt$" + key, "not of this scheme"},
		{"$6$saltsalt$", "not of this scheme"},
		{"$1$saltsaltsalt$" + key, "not of this scheme"},
		{"$pbkdf2-sha256$99999999$" + salt + "$" + key, "rounds of the hash is not between"},
		{"{PBKDF2}$1$salt$99999999$c7b336148c302e1b75d906dd8a62aad0bc14b22b", "rounds is not between"},
		{"$pbkdf2-sha256$2000001$" + salt + "$" + key, "not between 1 and 2000000"},
		{"$pbkdf2-sha256$1000$" + salt + "$", "not of 10 to 32 octets"},
		{"$pbkdf2-sha256$1000$" + salt + "$" + key + "AAAA", "not of 10 to 32 octets"},
		{"$pbkdf2$1000$" + salt + "$" + key, "not of 10 to 20 octets"},
		{"{PBKDF2}$1$salt$5000$c7b336148c", "not of this scheme"},
		{"{SCRAM-SHA-256}4096," + salt, "not of this scheme"},
		{"{SCRAM-SHA-256}0,AAAA," + key + "=," + key + "=", "iterations of the hash is not between"},
		{"{SCRAM-SHA-256}2000001,AAAA," + key + "=," + key + "=", "iterations of the hash is not between"},
		{"{SCRAM-SHA-256}4096,," + key + "=," + key + "=", "not of this scheme"},
		{"{SCRAM-SHA-256}4096,AAAA," + key + "=,AAAA", "not of this scheme"},
		{"{SCRAM-SHA-1}4096,AAAA," + key + "=," + key + "=", "not of this scheme"},
		{"{SCRAM-SHA-256}4096,A%AA," + key + "=," + key + "=", "not of this scheme"},
		{"{PBKDF2}$1$salt$5000", "not of this scheme"},
		{"{SHA256}YsG2Gha2NeH3", "not of this scheme"},
		{"{SHA256}YsG2Gha2NeH3g7gGAj05JVwWdxUvOv9bqx+MBqcqnc4=YsG2", "not of this scheme"},
		{"{SSHA}%%%%", "not of this scheme"},
		{"{PLAIN.HEX}hunter2secret", "not written as the suffix says"},
		{"{SHA512-CRYPT}$6$" + strings.Repeat("a", 2000), "not of this scheme"},
	}
	for _, c := range cases {
		_, err := parseSecret(c.field)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: error %v, want one with %q", c.field, err, c.want)
			continue
		}
		for _, piece := range []string{salt, key, "hunter2", "saltsalt", "yWI", "YsG2", "9186d8", "sgl8"} {
			if strings.Contains(err.Error(), piece) {
				t.Errorf("%.60q: the error tells what stands in the hash: %v", c.field, err)
			}
		}
	}
}

func TestHash(t *testing.T) {
	field, err := Hash("grüße, Anna")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(field, "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("a new password is stored as %q", field)
	}
	s, err := parseSecret(field)
	if err != nil || !s.match("grüße, Anna") || s.match("gruesse, Anna") {
		t.Errorf("the hash does not match its password alone (error %v)", err)
	}
	again, err := Hash("grüße, Anna")
	if err != nil || again == field {
		t.Errorf("two hashes of one password are the same: no salt (error %v)", err)
	}
}

func TestHashAs(t *testing.T) {
	for _, scheme := range Schemes {
		field, err := HashAs(scheme, "grüße, Anna")
		if err != nil || !strings.HasPrefix(field, "{"+strings.ToUpper(scheme)+"}") {
			t.Errorf("%s: %q, %v", scheme, field, err)
			continue
		}
		if s, err := parseSecret(field); err != nil || !s.match("grüße, Anna") || s.match("gruesse, Anna") {
			t.Errorf("%s: the hash does not match its password alone (error %v)", scheme, err)
		}
		if again, err := HashAs(scheme, "grüße, Anna"); err != nil || again == field {
			t.Errorf("%s: no salt (error %v)", scheme, err)
		}
	}
	if _, err := HashAs("crypt", "x"); err == nil || !strings.Contains(err.Error(), "choose one of argon2id, scram-sha-256, scram-sha-1") {
		t.Errorf("HashAs of an unknown scheme: %v", err)
	}
}

func TestCheckPassword(t *testing.T) {
	for password, want := range map[string]string{
		"":                       "empty",
		"a\nb":                   "control character",
		"\xff":                   "not UTF-8",
		strings.Repeat("x", 249): "longer than 248",
	} {
		if _, err := Hash(password); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Hash(%.10q): error %v, want one with %q", password, err, want)
		}
	}
	if err := CheckPassword(strings.Repeat("x", 248)); err != nil {
		t.Error(err)
	}
}

func TestGenerate(t *testing.T) {
	a, b := Generate(), Generate()
	if a == b || len(a) != 20 || strings.Trim(a, "abcdefghijkmnpqrstuvwxyz23456789") != "" {
		t.Errorf("generated %q and %q", a, b)
	}
	if err := CheckPassword(a); err != nil {
		t.Error(err)
	}
}
