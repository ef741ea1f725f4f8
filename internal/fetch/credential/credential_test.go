package credential

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret stands in every test where none may show.
const secret = "correct horse battery"

// refused checks the error: it says this, and holds no secret.
func refused(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("got error %v, want one that says %q", err, says)
	}
	if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "horse")) {
		t.Errorf("the error holds the secret: %v", err)
	}
}

func TestLiteral(t *testing.T) {
	got, err := Literal(secret).Secret(t.Context())
	if got != secret || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for text, says := range map[string]string{
		"":                                  "is empty",
		secret + "\n":                       "more than one line",
		"a\r" + secret:                      "more than one line",
		secret + "\x00":                     "NUL",
		strings.Repeat(secret, 64<<10/21+1): "longer than 64 KiB",
	} {
		_, err := Literal(text).Secret(t.Context())
		refused(t, err, says)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Literal(secret).Secret(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: %v", err)
	}
}

// Whoever logs a configuration with %v or %+v must not log a password.
func TestPrintingShowsNothing(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if shown := fmt.Sprintf(verb, Literal(secret)); strings.Contains(shown, "horse") {
			t.Errorf("%s shows %s", verb, shown)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("POPLIN_TEST_PASSWORD", secret+"\n")
	got, err := Environment("POPLIN_TEST_PASSWORD").Secret(t.Context())
	if got != secret || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	t.Setenv("POPLIN_TEST_PASSWORD", "")
	_, err = Environment("POPLIN_TEST_PASSWORD").Secret(t.Context())
	refused(t, err, "POPLIN_TEST_PASSWORD is empty")
	_, err = Environment("POPLIN_TEST_UNSET").Secret(t.Context())
	refused(t, err, "POPLIN_TEST_UNSET is not set")
	if !errors.Is(err, ErrMissing) {
		t.Errorf("%v is no ErrMissing", err)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	for _, c := range []struct {
		text string
		mode os.FileMode
		want string
		says string
	}{
		{secret, 0o600, secret, ""},
		{secret + "\n", 0o400, secret, ""},
		{secret + "\r\n", 0o640, secret, ""}, // readable by a group of one's choice
		{" " + secret + " \n", 0o600, " " + secret + " ", ""},
		{secret + "\n", 0o604, "", "chmod o= " + path},
		{secret + "\n", 0o602, "", "chmod o= " + path},
		{secret + "\n", 0o644, "", "mode 0644"},
		{"", 0o600, "", path + " is empty"},
		{"\n", 0o600, "", path + " is empty"},
		{secret + "\n\n", 0o600, "", "more than one line"},
		{"# a note\n" + secret + "\n", 0o600, "", "more than one line"},
		{secret + "\x00", 0o600, "", "NUL"},
		{strings.Repeat("x", maxSecret) + "\r\n", 0o600, strings.Repeat("x", maxSecret), ""},
		{strings.Repeat("x", maxSecret+1), 0o600, "", "longer than 64 KiB"},
		{strings.Repeat(secret, 1<<16), 0o600, "", "longer than 64 KiB"},
	} {
		os.Remove(path)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		got, err := File(path).Secret(t.Context())
		if c.says != "" {
			refused(t, err, c.says)
		} else if got != c.want || err != nil {
			t.Errorf("%.40q, mode %o: got %.40q, %v", c.text, c.mode, got, err)
		}
	}
}

func TestFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	_, err := File(dir).Secret(t.Context())
	refused(t, err, "name a regular file")

	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = File(fifo).Secret(t.Context()) // and does not wait for a writer
	refused(t, err, "name a regular file")

	_, err = File(filepath.Join(dir, "none")).Secret(t.Context())
	refused(t, err, "there is no file")
	if !errors.Is(err, ErrMissing) {
		t.Errorf("%v is no ErrMissing", err)
	}
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "\n", secret, secret + "\n", secret + "\r\nnote\n", "\r", "\x00", "a\rb\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, read := range []func() (string, error){
			func() (string, error) { return firstLine(text) },
			func() (string, error) { s := cut(string(text)); return s, check("it", s) },
		} {
			got, err := read()
			if err == nil && (got == "" || strings.ContainsAny(got, "\r\n\x00") || !strings.HasPrefix(string(text), got)) {
				t.Errorf("%q gave %q", text, got)
			}
		}
	})
}
