package collect

import (
	"slices"
	"testing"

	"github.com/poplin-mail/poplin/internal/config"
)

// TestEnvironment: commands see no password, wherever it is named.
func TestEnvironment(t *testing.T) {
	cfg := new(config.Config)
	cfg.Fetch.PasswordEnv, cfg.Target.PasswordEnv = "TEST_FETCH", "TEST_TARGET"
	cfg.Fetch.Accounts = []config.Account{{Name: "work", Login: config.Login{PasswordEnv: "TEST_WORK"}}}
	cfg.Target.Targets = []config.Target{{Name: "desk", Login: config.Login{PasswordEnv: "TEST_DESK"}}}
	for _, name := range []string{"TEST_FETCH", "TEST_TARGET", "TEST_WORK", "TEST_DESK", "TEST_KEPT"} {
		t.Setenv(name, "s3cret")
	}
	env := environment(cfg)
	for _, name := range []string{"TEST_FETCH", "TEST_TARGET", "TEST_WORK", "TEST_DESK"} {
		if slices.Contains(env, name+"=s3cret") {
			t.Errorf("commands see %s", name)
		}
	}
	if !slices.Contains(env, "TEST_KEPT=s3cret") {
		t.Error("commands do not see what is no password")
	}
}
