package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/poplin-mail/poplin/internal/config"
)

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}

// TestWhatRootMakesIsGivenAway: to the server's user where root makes it, and
// what was there stays whose it was. Who is not root owns what he makes.
func TestWhatRootMakesIsGivenAway(t *testing.T) {
	const nobody = 65534
	me := uint32(os.Geteuid())
	want := me
	if isRoot() {
		want = nobody
	}
	dir := t.TempDir()
	cfg := config.Default()
	cfg.User = "nobody"
	cfg.Maildrops.Path = filepath.Join(dir, "mail/{domain}/{local}")
	if err := os.Mkdir(filepath.Join(dir, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	path, err := makeMaildir(t.Context(), cfg, "anna@example.org")
	if err != nil {
		t.Fatal(err)
	}
	for name, uid := range map[string]uint32{"mail": me, "mail/example.org": want, "mail/example.org/anna": want, "mail/example.org/anna/new": want,
		"mail/example.org/anna/cur": want, "mail/example.org/anna/tmp": want} {
		if got := ownerOf(t, filepath.Join(dir, name)); got != uid {
			t.Errorf("%s belongs to %d, want %d", name, got, uid)
		}
	}
	if path != filepath.Join(dir, "mail/example.org/anna") {
		t.Errorf("made %s", path)
	}
	file := filepath.Join(dir, "users")
	for _, name := range []string{file, filepath.Join(dir, "other")} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := giveFile(cfg, file); err != nil || ownerOf(t, file) != want {
		t.Errorf("the users file belongs to %d, error %v", ownerOf(t, file), err)
	}
}

// TestOnlyWhatWasMadeIsGivenAway: not what somebody put in its place.
func TestOnlyWhatWasMadeIsGivenAway(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Default()
	cfg.User = "nobody"
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link, hard := filepath.Join(dir, "link"), filepath.Join(dir, "hard")
	if err := os.Symlink(victim, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(victim, hard); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, hard} {
		if err := giveFile(cfg, path); (err == nil) == isRoot() {
			t.Errorf("%s: %v", path, err)
		}
	}
	missing := folders{base: dir, missing: []string{"link"}}
	if err := missing.give(cfg); (err == nil) == isRoot() {
		t.Errorf("a link in the place of a folder: %v", err)
	}
	if got := ownerOf(t, victim); got != uint32(os.Geteuid()) {
		t.Errorf("the file behind the links was given to %d", got)
	}
}

// TestRootMakesNothingInMaildirs: in those of somebody else, whom the
// configuration does not name, nothing is made by root.
func TestRootMakesNothingInMaildirs(t *testing.T) {
	const nobody, unnamed = 65534, 3_999_999_999
	b := newMoveBed(t)
	mail := filepath.Join(b.dir, "mail")
	commands := [][]string{
		{"move", "--from", "maildir", "--to", "bucket", "--all"}, {"move", "--from", "bucket", "--to", "maildir", "--dry-run", "Anna"},
		{"expire"}, {"expire", "--dry-run", "Anna"}, {"undelete", "Anna"},
	}
	before := tree(t, mail)
	for uid, who := range map[int]string{nobody: "nobody: runuser -u nobody -- poplin ", unnamed: "user 3999999999: setpriv --reuid 3999999999 --regid 0 --clear-groups -- poplin "} {
		if isRoot() {
			if err := os.Chown(mail, uid, 0); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range commands {
			args = append([]string{args[0], "--config", b.file}, args[1:]...)
			if !isRoot() {
				if err := notRoots(config.Default(), args[0]); err != nil {
					t.Errorf("who is not root gets %v", err)
				}
				continue
			}
			_, errs := printed(t, exitUsage, args...)
			if !strings.Contains(errs, mail+" belongs to ") || !strings.Contains(errs, "run it as "+who+args[0]+" ...") {
				t.Errorf("%s: %s", args[0], errs)
			}
		}
	}
	if after := tree(t, mail); !slices.Equal(before, after) {
		t.Errorf("there was %q, and is %q", before, after)
	}
	// Maildirs in root's own folder, or of whoever runs it.
	if err := os.Chown(mail, os.Geteuid(), -1); err != nil {
		t.Fatal(err)
	}
	runs(t, exitOK, "", "expire", "--config", b.file)
}

// TestRootLooksAtNamedMaildirs: where all stand in a folder of root's, as in
// /home, the Maildirs themselves say whose they are, by the name that the
// source of users has.
func TestRootLooksAtNamedMaildirs(t *testing.T) {
	b := newMoveBed(t)
	mail := filepath.Join(b.dir, "mail")
	b.chown(filepath.Join(mail, "Anna"), 65534)
	before := tree(t, mail)
	for _, args := range [][]string{
		{"move", "--from", "maildir", "--to", "bucket", "--all"}, {"move", "--from", "maildir", "--to", "bucket", "--dry-run", "bert", "anna"},
		{"move", "--from", "bucket", "--to", "maildir", "anna"}, {"expire"}, {"expire", "bert", "Anna"}, {"undelete", "anna"},
	} {
		code, want := exitOK, ""
		if isRoot() {
			code, want = exitUsage, mail+"/Anna belongs to nobody, and this is root: run it as nobody: runuser -u nobody -- poplin "+args[0]+" ..."
		}
		if _, errs := printed(t, code, append([]string{args[0], "--config", b.file}, args[1:]...)...); !strings.Contains(errs, want) {
			t.Errorf("%q: %s", args, errs)
		}
	}
	if after := tree(t, mail); isRoot() && !slices.Equal(before, after) {
		t.Errorf("there was %q, and is %q", before, after)
	}
	runs(t, exitOK, "", "expire", "--config", b.file, "bert")
	runs(t, exitOK, "", "move", "--config", b.file, "--from", "maildir", "--to", "bucket", "bert")
}

// TestRootDelivers into its own Maildirs, wherever they stand, and into those
// of nobody else. The MTA is to try again when that is mended.
func TestRootDelivers(t *testing.T) {
	b := newMoveBed(t)
	mail := filepath.Join(b.dir, "mail")
	b.chown(mail, 65534)
	b.chown(filepath.Join(mail, "Anna"), 65534)
	before := tree(t, mail)
	stopped := exitOK
	if isRoot() {
		stopped = exitTryAgain
	}
	for _, create := range []string{"", "create = true\n"} {
		config, err := os.ReadFile(b.file)
		if err != nil {
			t.Fatal(err)
		}
		b.write("poplin.toml", strings.Replace(string(config), "[maildrops]\n", "[maildrops]\n"+create, 1))
		user, path := "anna", mail+"/Anna"
		if create != "" {
			user, path = "carl", mail // it would be made
		}
		_, errs := printed(t, stopped, "deliver", "--config", b.file, user)
		if isRoot() && !strings.Contains(errs, path+" belongs to nobody, and this is root: run it as nobody: runuser -u nobody -- poplin deliver ...") {
			t.Errorf("%s: %s", user, errs)
		}
	}
	if after := tree(t, mail); isRoot() && !slices.Equal(before, after) {
		t.Errorf("there was %q, and is %q", before, after)
	}
	runs(t, exitOK, "", "deliver", "--config", b.file, "bert")
	if all := b.uids(b.maildirs, "bert"); len(all) != 1 {
		t.Errorf("in root's own Maildir there are %d messages", len(all))
	}
}

// chown gives a folder away, where that can be done.
func (b *moveBed) chown(path string, uid int) {
	b.Helper()
	if !isRoot() {
		return
	}
	if err := os.Chown(path, uid, 65534); err != nil {
		b.Fatal(err)
	}
}

// tree gives all that is below a folder.
func tree(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestServerIDs(t *testing.T) {
	cfg := config.Default()
	if _, _, ok, err := serverIDs(cfg); ok || err != nil {
		t.Errorf("without a user: %v, %v", ok, err)
	}
	for _, c := range []struct{ user, group, wrong string }{
		{"nobody", "", ""}, {"65534", "0", ""}, {"nobody", "root", ""}, {"no-such-user", "", `user "no-such-user"`}, {"nobody", "no-such-group", `group "no-such-group"`},
	} {
		cfg.User, cfg.Group = c.user, c.group
		uid, gid, ok, err := serverIDs(cfg)
		switch {
		case !isRoot():
			if ok || err != nil {
				t.Errorf("%+v: %v, %v by who is not root", c, ok, err)
			}
		case c.wrong != "":
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%+v: %v", c, err)
			}
		case !ok || err != nil || uid != 65534 || (c.group != "") != (gid == 0):
			t.Errorf("%+v: %d, %d, %v, %v", c, uid, gid, ok, err)
		}
	}
}
