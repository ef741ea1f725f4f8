package config

import (
	"math"
	"testing"
)

// The default of the library is that of the file, and 0 is none, which the
// library says otherwise.
func TestIndexCache(t *testing.T) {
	for text, want := range map[string]int{
		"":                                64 << 20,
		"index_cache = 0":                 -1,
		"index_cache = \"0\"":             -1,
		"index_cache = 1000":              1000,
		"index_cache = \"1GiB\"":          1 << 30,
		"index_cache = 9_000_000_000_000": int(min(int64(9_000_000_000_000), math.MaxInt)),
	} {
		c, err := parse("f", "/etc/poplin", []byte("[maildrops]\n"+text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := c.MaildirOptions().IndexCache; got != want {
			t.Errorf("%q gives %d, want %d", text, got, want)
		}
	}
	if _, err := parse("f", "/etc/poplin", []byte("[maildrops]\nindex_cache = -1")); err == nil {
		t.Error("-1 is taken")
	}
}
