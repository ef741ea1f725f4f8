package delivery

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/poplin-mail/poplin/maildrop/maildir"
)

// asNobody runs f without root's rights to other people's files.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		const nobody = 65534
		if err := syscall.Setresuid(-1, nobody, -1); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := syscall.Setresuid(-1, 0, -1); err != nil {
				t.Fatal(err)
			}
		}()
	}
	f()
}

// TestBrokenMaildir: "Maildir missing, new/ a file, tmp/ a symlink, wrong owner
// -> 4xx, logged", and the other recipients have the message.
func TestBrokenMaildir(t *testing.T) {
	for name, c := range map[string]struct {
		breakIt func(maildir, elsewhere string) error
		log     string // what it must say beside the path
	}{
		"Maildir missing":      {func(dir, _ string) error { return os.RemoveAll(dir) }, "no Maildir at"},
		"Maildir a file":       {func(dir, _ string) error { return replace(dir, "") }, "not files or symbolic links"},
		"Maildir a symlink":    {replace, "not files or symbolic links"},
		"new/ missing":         {func(dir, _ string) error { return os.Remove(dir + "/new") }, "no Maildir at"},
		"new/ a file":          {func(dir, _ string) error { return replace(dir+"/new", "") }, "not files or symbolic links"},
		"new/ a symlink":       {func(dir, elsewhere string) error { return replace(dir+"/new", elsewhere+"/new") }, "not files or symbolic links"},
		"tmp/ missing":         {func(dir, _ string) error { return os.Remove(dir + "/tmp") }, "no Maildir at"},
		"tmp/ a file":          {func(dir, _ string) error { return replace(dir+"/tmp", "") }, "not files or symbolic links"},
		"tmp/ a symlink":       {func(dir, elsewhere string) error { return replace(dir+"/tmp", elsewhere+"/tmp") }, "not files or symbolic links"},
		"wrong owner":          {func(dir, _ string) error { return os.Chmod(dir, 0) }, "permission denied"},
		"wrong owner of new/":  {func(dir, _ string) error { return os.Chmod(dir+"/new", 0o500) }, "permission denied"},
		"wrong owner of tmp/":  {func(dir, _ string) error { return os.Chmod(dir+"/tmp", 0o500) }, "permission denied"},
		"root of all missing":  {func(dir, _ string) error { return os.RemoveAll(filepath.Dir(dir)) }, "mount its disk"},
		"folder of all locked": {func(dir, _ string) error { return os.Chmod(filepath.Dir(dir), 0) }, "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			asNobody(t, func() {
				root := t.TempDir()
				store, err := maildir.New(maildir.Options{Path: root + "/{domain}/{user}"})
				if err != nil {
					t.Fatal(err)
				}
				p := newPost(t, "bert@broken.org:!\nanna@example.org:!\n", Options{Agent: &Agent{Store: store}})
				for _, name := range []string{"bert@broken.org", "anna@example.org", "other@example.org"} {
					if err := store.Create(t.Context(), name); err != nil {
						t.Fatal(err)
					}
				}
				broken, elsewhere := root+"/broken.org/bert@broken.org", root+"/example.org/other@example.org"
				if err := c.breakIt(broken, elsewhere); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { // or the folder cannot be removed
					for _, dir := range []string{filepath.Dir(broken), broken, broken + "/new", broken + "/tmp"} {
						os.Chmod(dir, 0o700)
					}
				})
				client := p.dial()
				client.send("LHLO x\r\n")
				client.expect("250")
				for range 4 { // whose tmp/ the message is written in is left to chance
					client.send("MAIL FROM:<>\r\nRCPT TO:<bert@broken.org>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\nx\r\n.\r\n")
					client.expect("250", "250", "250", "354")
					// A message that was written elsewhere needs no tmp/ here.
					bert, err := client.r.ReadString('\n')
					if linked := strings.Contains(name, "tmp/") && strings.HasPrefix(bert, "250 "); err != nil || !linked && !strings.HasPrefix(bert, "451 4.3.0 <bert@broken.org>") {
						t.Errorf("reply %q, error %v", bert, err)
					}
					client.expect("250 2.0.0 <anna@example.org>")
					client.send("MAIL FROM:<>\r\nRCPT TO:<bert@broken.org>\r\nDATA\r\nx\r\n.\r\n")
					client.expect("250", "250", "354", "451 4.3.0 <bert@broken.org>")
				}
				if said := p.said(); !strings.Contains(said, c.log) || !strings.Contains(said, "broken.org") || !strings.Contains(said, "user=bert@broken.org") {
					t.Errorf("log is %s, want %q in it", said, c.log)
				}
				if files, err := os.ReadDir(root + "/example.org/anna@example.org/new"); len(files) != 4 {
					t.Errorf("the other recipient has %d messages, error %v", len(files), err)
				}
				for _, sub := range []string{"new", "tmp"} {
					if files, err := os.ReadDir(elsewhere + "/" + sub); len(files) != 0 {
						t.Errorf("behind the link there are %v, error %v", files, err)
					}
				}
				if files, err := os.ReadDir(root + "/example.org/anna@example.org/tmp"); len(files) != 0 {
					t.Errorf("left in tmp/ are %v, error %v", files, err)
				}
			})
		})
	}
}

// replace puts a symbolic link in the place of a folder, or an empty file.
func replace(dir, target string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if target == "" {
		return os.WriteFile(dir, nil, 0o600)
	}
	return os.Symlink(target, dir)
}
