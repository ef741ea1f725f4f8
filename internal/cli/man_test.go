package cli

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/poplin-mail/poplin/internal/config"
)

var update = flag.Bool("update", false, "write docs/man")

func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := newParser(new(commands))
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// TestManPages: the pages in docs/man are those of this program.
func TestManPages(t *testing.T) {
	dir := filepath.Join("..", "..", "docs", "man")
	if *update {
		runs(t, 0, "", "man", "--dir", dir)
	}
	want := map[string]string{}
	for _, p := range manPages(model(t)) {
		want[p.file()] = p.text
		if got, err := os.ReadFile(filepath.Join(dir, p.file())); err != nil || string(got) != p.text {
			t.Errorf("docs/man/%s is not what the program says (%v): run `make man`", p.file(), err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, made := want[e.Name()]; !made {
			t.Errorf("docs/man/%s is no page of this program: remove it", e.Name())
		}
	}
}

// TestManPagesAreWhole: every command, flag, key and exit code is in a page.
func TestManPagesAreWhole(t *testing.T) {
	app := model(t)
	pages := map[string]string{}
	for _, p := range manPages(app) {
		pages[p.name] = plain(p.text)
	}
	bare := func(text string) string { return strings.ReplaceAll(text, "`", "") }
	for _, leaf := range app.Leaves(true) {
		command, _, _ := strings.Cut(leaf.Path(), " ")
		page := pages["poplin-"+command]
		for _, want := range []string{"poplin " + leaf.Path(), strings.TrimSuffix(bare(leaf.Help), "."), "EXIT STATUS", "2\nWrong command line."} {
			if !strings.Contains(page, want) {
				t.Errorf("poplin-%s lacks %q", command, want)
			}
		}
		if !strings.Contains(pages["poplin"], "poplin-"+command) {
			t.Errorf("poplin lacks %q", command)
		}
		for _, f := range leaf.Flags {
			if !strings.Contains(page, f.Name) || !strings.Contains(page, bare(f.Help)) {
				t.Errorf("poplin-%s lacks --%s", command, f.Name)
			}
		}
	}
	for _, s := range config.Sections() {
		for _, k := range s.Keys {
			name := k.Name[strings.LastIndexByte(k.Name, '.')+1:]
			if !strings.Contains(pages["poplin.toml"], name+" = "+k.Default) {
				t.Errorf("poplin.toml lacks %s", k.Name)
			}
		}
	}
}

// plain undoes what the pages are written in.
func plain(page string) string {
	page = regexp.MustCompile(`\\f[BIRP]`).ReplaceAllString(page, "")
	return strings.NewReplacer(`\-`, "-", `\(aq`, "'", `\(dq`, `"`, `\(ha`, "^", `\(ti`, "~", `\&`, "", `\e`, `\`).Replace(page)
}

func TestSplitExits(t *testing.T) {
	rest, codes := splitExits("Before.\n\nExit codes: 0 done, also where\nnothing, 3 not run.\n\nExample:\n\n  x")
	if rest != "Before.\n\nExample:\n\n  x" || !slices.Equal(codes, []exitMeaning{{"0", "done, also where nothing"}, {"3", "not run"}}) {
		t.Errorf("%q, %v", rest, codes)
	}
	if rest, codes := splitExits("No codes."); rest != "No codes." || codes != nil {
		t.Errorf("%q, %v", rest, codes)
	}
}

func TestRoffEscapes(t *testing.T) {
	for text, want := range map[string]string{
		".x": `\&.x`, "'x": `\(aqx`, `a\b-c`: `a\eb\-c`, "~^": `\(ti\(ha`, "run `a-b`": `run \fBa\-b\fR`,
	} {
		if got := inline(text); got != want {
			t.Errorf("%q is written %q, want %q", text, got, want)
		}
	}
}

func TestMan(t *testing.T) {
	runs(t, 0, ".TH \"POPLIN\\-SERVE\" 8 ", "man", "serve")
	runs(t, 0, ".TH \"POPLIN\" 1 ", "man")
	runs(t, 0, ".TH \"POPLIN.TOML\" 5 ", "man", "poplin.toml")
	runs(t, 1, `there is no page "nosuch": there are poplin, serve,`, "man", "nosuch")
	dir := filepath.Join(t.TempDir(), "new")
	runs(t, 0, "", "man", "--dir", dir)
	if text, err := os.ReadFile(filepath.Join(dir, "poplin-kick.8")); err != nil || !strings.Contains(string(text), "NAME") {
		t.Errorf("poplin-kick.8: %q, %v", text, err)
	}
	file := filepath.Join(dir, "poplin.1")
	runs(t, 1, "not a directory", "man", "--dir", file)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	runs(t, 1, "is a directory", "man", "--dir", dir)
}
