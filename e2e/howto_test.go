package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// box gives the n-th box of docs/howto/PAGE that is marked with the word, with
// what is other here than in the document, in pairs.
func box(t *testing.T, page, mark string, n int, other ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "howto", page))
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile("(?ms)^```"+regexp.QuoteMeta(mark)+"\n(.*?)^```$").FindAllSubmatch(text, -1)
	if n >= len(all) {
		t.Fatalf("docs/howto/%s has %d boxes %q", page, len(all), mark)
	}
	made := string(all[n][1])
	for i := 0; i < len(other); i += 2 {
		if !strings.Contains(made, other[i]) {
			t.Fatalf("box %d %q of docs/howto/%s does not hold %q:\n%s", n, mark, page, other[i], made)
		}
		made = strings.ReplaceAll(made, other[i], other[i+1])
	}
	return made
}

// sharedFolder makes the folder of a socket, as the pages say: the program's
// user, here root, may write to it and the MTA may enter it.
func sharedFolder(t *testing.T, path, group string) {
	t.Helper()
	run(t, command(t, "install", "-d", "-g", group, "-m", "0750", path))
}
