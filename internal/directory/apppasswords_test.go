package directory

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
)

// addApp makes an app password whose view is written as in the file.
func addApp(t *testing.T, path, user, label, view string) (AppPassword, string) {
	t.Helper()
	o, err := ParseOverrides(view)
	if err != nil {
		t.Fatal(err)
	}
	app, password, err := AddAppPassword(t.Context(), path, AppPassword{User: user, Label: label, View: o})
	if err != nil {
		t.Fatal(err)
	}
	return app, password
}

func TestAppPassword(t *testing.T) {
	path := filepath.Join(t.TempDir(), "apps")
	file := source(t, "Anna:{PLAIN}own\nnone:\nbert:{PLAIN}own\nkept:{PLAIN}own::::::nologin\nlocked:!\n")
	d := over(t, Options{AppPasswords: path, View: maildrop.View{Keep: true, Undo: time.Hour}, Master: newFile(t, "root:{PLAIN}m\n")},
		file, &book{users: map[string]User{"dora": {Name: "dora", Secret: "{PLAIN}own"}}})
	phone, password := addApp(t, path, "anna", "phone", "read_only recent=30d")
	laptop, second := addApp(t, path, "Anna", "laptop", "keep=no undo=0s")
	others := map[string]string{}
	for _, user := range []string{"none", "kept", "locked", "dora", "root", "nobody"} {
		_, others[user] = addApp(t, path, user, "phone", "")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	if strings.Contains(read(t, path), plainApp(password)) || password == second {
		t.Error("the file holds the password, or two are the same")
	}
	month := 30 * 24 * time.Hour
	for _, c := range []struct {
		user, password string
		ok             bool
		view           maildrop.View
	}{
		{"anna", password, true, maildrop.View{Device: phone.ID, ReadOnly: true, Keep: true, Recent: month, Undo: time.Hour}},
		{"ANNA", strings.ToUpper(password), true, maildrop.View{Device: phone.ID, ReadOnly: true, Keep: true, Recent: month, Undo: time.Hour}},
		{"anna", " " + strings.ReplaceAll(password, "-", " "), true, maildrop.View{Device: phone.ID, ReadOnly: true, Keep: true, Recent: month, Undo: time.Hour}},
		{"anna", strings.ReplaceAll(password, "-", ""), true, maildrop.View{Device: phone.ID, ReadOnly: true, Keep: true, Recent: month, Undo: time.Hour}},
		{"anna", second, true, maildrop.View{Device: laptop.ID}},
		{"anna", "own", true, maildrop.View{Device: "main", Keep: true, Undo: time.Hour}},
		{"none", others["none"], true, maildrop.View{Keep: true, Undo: time.Hour}},
		{"dora", others["dora"], true, maildrop.View{Keep: true, Undo: time.Hour}},
		{"anna", password[:22], false, maildrop.View{}}, {"anna", password + "a", false, maildrop.View{}}, {"anna", "OWN", false, maildrop.View{}},
		{"anna", "", false, maildrop.View{}}, {"none", "", false, maildrop.View{}}, {"none", "---", false, maildrop.View{}},
		{"bert", password, false, maildrop.View{}}, {"anna", others["none"], false, maildrop.View{}}, // of another user
		{"kept", others["kept"], false, maildrop.View{}}, {"locked", others["locked"], false, maildrop.View{}},
		{"nobody", others["nobody"], false, maildrop.View{}}, {"root", others["root"], false, maildrop.View{}},
	} {
		for _, mechanism := range []string{"USER", "PLAIN", "LOGIN"} {
			account, err := d.Password(t.Context(), by(mechanism, c.user, c.password))
			if (err == nil) != c.ok || !c.ok && !refused(err) {
				t.Errorf("%s by %s with %q: %+v, %v", c.user, mechanism, c.password, account, err)
				continue
			}
			if c.user != "anna" && c.user != "ANNA" {
				account.View.Device = ""
			}
			if account.View != c.view {
				t.Errorf("%s with %q sees %+v, want %+v", c.user, c.password, account.View, c.view)
			}
		}
	}
	if _, err := d.ActFor(t.Context(), by("PLAIN", "anna", password), pop3server.Account{Name: "Anna", Maildrop: "Anna"}, "bert"); !refused(err) {
		t.Errorf("an app password acts for another: %v", err)
	}

	// What is removed counts at once.
	if err := RemoveAppPassword(t.Context(), path, "ANNA", "phone"); err != nil {
		t.Fatal(err)
	}
	if _, err := login(t, d, "anna", password); !refused(err) {
		t.Errorf("a removed app password: %v", err)
	}
	if _, err := login(t, d, "anna", second); err != nil {
		t.Errorf("the other one: %v", err)
	}
	if err := RemoveAppPassword(t.Context(), path, "anna", laptop.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := login(t, d, "anna", second); !refused(err) {
		t.Errorf("an app password removed by its id: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := login(t, d, "none", others["none"]); !refused(err) {
		t.Errorf("an app password of a file that is gone: %v", err)
	}
}

// TestBrokenAppFile: what was read before stays good.
func TestBrokenAppFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "apps")
	_, password := addApp(t, path, "anna", "phone", "")
	d := over(t, Options{AppPasswords: path}, source(t, "anna:\n"))
	write(t, path, read(t, path)+"anna:broken\n")
	if _, err := login(t, d, "anna", password); err != nil {
		t.Errorf("with a broken line behind: %v", err)
	}
	if err := d.Reload(); err == nil || !strings.Contains(err.Error(), "apps:4: a line is user:id") {
		t.Errorf("Reload: %v", err)
	}
	if _, _, err := AddAppPassword(t.Context(), path, AppPassword{User: "anna", Label: "tv"}); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("an edit: %v", err)
	}
}

func TestAppPasswordEdits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "apps")
	if err := RemoveAppPassword(t.Context(), path, "anna", "x"); !errors.Is(err, ErrNoAppPassword) {
		t.Errorf("removed from no file: %v", err)
	}
	if n, err := RemoveAppPasswords(t.Context(), path, "anna"); n != 0 || err != nil {
		t.Errorf("removed all from no file: %d, %v", n, err)
	}
	if list, err := ListAppPasswords(path); len(list) != 0 || err != nil {
		t.Errorf("listed of no file: %v, %v", list, err)
	}
	before := time.Now().Truncate(time.Second)
	app, _ := addApp(t, path, "anna", "grüne Kiste", "read_only=no keep recent=36h undo=14d")
	list, err := ListAppPasswords(path)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	got := list[0]
	if got.User != "anna" || got.ID != app.ID || got.Label != "grüne Kiste" || got.View.String() != "read_only=no keep recent=36h0m0s undo=14d" ||
		got.Created.Before(before) || !got.Created.Equal(app.Created) {
		t.Errorf("%+v of %+v", got, app)
	}
	for label, want := range map[string]string{"grüne Kiste": "exists", "": "is empty", " x": "blank", "a:b": "a colon", "a\nb": "control",
		"a\u202eb": "control", "\xff": "UTF-8", strings.Repeat("x", 65): "longer than 64"} {
		if _, _, err := AddAppPassword(t.Context(), path, AppPassword{User: "ANNA", Label: label}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("label %q: %v, want %q", label, err, want)
		}
	}
	if _, _, err := AddAppPassword(t.Context(), path, AppPassword{User: "../x", Label: "x"}); err == nil {
		t.Error("a name that cannot be one was taken")
	}
	for i := 1; i < maxAppPasswords; i++ {
		addApp(t, path, "anna", fmt.Sprint("device ", i), "")
	}
	if _, _, err := AddAppPassword(t.Context(), path, AppPassword{User: "anna", Label: "one more"}); err == nil || !strings.Contains(err.Error(), "remove one") {
		t.Errorf("one more than there can be: %v", err)
	}
	addApp(t, path, "bert", "phone", "")
	if n, err := RemoveAppPasswords(t.Context(), path, "Anna"); n != maxAppPasswords || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	if list, err := ListAppPasswords(path); err != nil || len(list) != 1 || list[0].User != "bert" || !strings.HasPrefix(read(t, path), appHeader) {
		t.Errorf("what is left: %v, %v", list, err)
	}
}

func TestAppPasswordsEditedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "apps")
	d := over(t, Options{AppPasswords: path}, source(t, "anna:\nbert:\n"))
	var wg sync.WaitGroup
	for i := range 10 {
		for _, user := range []string{"anna", "bert"} {
			wg.Go(func() {
				app, password, err := AddAppPassword(t.Context(), path, AppPassword{User: user, Label: fmt.Sprint(i)})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := d.Password(t.Context(), by("USER", user, password)); err != nil && !refused(err) { // another may be reading the file
					t.Error(err)
				}
				if i%2 == 0 {
					if err := RemoveAppPassword(t.Context(), path, user, app.ID); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	if list, err := ListAppPasswords(path); err != nil || len(list) != 10 {
		t.Errorf("%d app passwords of 10, error %v", len(list), err)
	}
}

// FuzzAppPasswords: whatever the file holds, what is accepted can be written
// again, and no password is right that is not in it.
func FuzzAppPasswords(f *testing.F) {
	const hash = "{SSHA256}/sLdPWWpIbl+KxgQ+BOk8Ir6YJSivNIv9qjYq8nbOAL1fsq8"
	for _, seed := range []string{"", "#x\n\n", appHeader, "anna:abc123:phone:" + hash + ":20261124T034500Z:read_only recent=30d\n",
		"anna:a:b:" + hash + ":20261124T034500Z:keep=no undo=0s\r\nbert:a:b:" + hash + ":20261124T034500Z:", "a:a:b:{PLAIN}x:20261124T034500Z:",
		"a:a:b:!:20261124T034500Z:", "a:a:b:" + hash + ":yesterday:", "a:a:b:" + hash + ":20261124T034500Z:recent=-1h", "a:A:b:::", ":::::", "a:a:b:" + hash + ":20261124T034500Z:hide"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		apps, err := parseAppPasswords("apps", data)
		if err != nil {
			for _, field := range strings.FieldsFunc(string(data), func(r rune) bool { return strings.ContainsRune(":\n", r) }) {
				if len(field) > 40 && strings.Contains(err.Error(), field) {
					t.Errorf("the error quotes %q: %v", field, err)
				}
			}
			return
		}
		n := 0
		for user, list := range apps.byUser {
			for _, app := range list {
				n++
				if fold(app.User) != user || CheckName(app.User) != nil || CheckLabel(app.Label) != nil || checkID(app.ID) != nil {
					t.Errorf("%+v of %q", app, user)
				}
				if app.secret.match("") {
					t.Error("no password is right")
				}
				again, err := ParseOverrides(app.View.String())
				if err != nil || again.String() != app.View.String() || again.over(maildrop.View{}) != app.View.over(maildrop.View{}) {
					t.Errorf("view %q became %q, error %v", app.View, again, err)
				}
			}
		}
		if n != apps.entries {
			t.Errorf("%d entries are counted as %d", n, apps.entries)
		}
	})
}
