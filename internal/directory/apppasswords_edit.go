package directory

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// maxAppPasswords bounds those of one user: each is compared at a login.
const maxAppPasswords = 100

// ErrNoAppPassword says that the user has no such app password.
var ErrNoAppPassword = errors.New("there is no such app password")

const appHeader = "# App passwords of Poplin: user:id:label:hash:created:view\n# Edit with `poplin user app-password`.\n"

// AddAppPassword makes an app password for app.User, with app.Label and
// app.View, and gives it with its id and its time set. The password is known
// to nobody else. A file that does not exist is made, readable by its owner
// only.
func AddAppPassword(ctx context.Context, path string, app AppPassword) (AppPassword, string, error) {
	if err := errors.Join(CheckName(app.User), CheckLabel(app.Label)); err != nil {
		return AppPassword{}, "", err
	}
	app.ID = strings.ToLower(rand.Text()[:10])
	app.Created = time.Now().UTC().Truncate(time.Second)
	shown, stored := generateApp()
	err := editApps(ctx, path, true, func(lines [][]byte) ([][]byte, error) {
		if len(lines) == 0 {
			lines = append(lines, []byte(appHeader))
		}
		count := 0
		for _, line := range lines {
			fields := appOf(line, app.User)
			if fields == nil {
				continue
			}
			if count++; fields[2] == app.Label {
				return nil, fmt.Errorf("an app password with the label %q %w", app.Label, fs.ErrExist)
			}
		}
		if count >= maxAppPasswords {
			return nil, fmt.Errorf("the user has %d app passwords, and that is the most there can be: remove one", count)
		}
		endLine(lines)
		return append(lines, []byte(strings.Join([]string{app.User, app.ID, app.Label, stored, app.Created.Format(timeForm), app.View.String()}, ":")+"\n")), nil
	})
	if err != nil {
		return AppPassword{}, "", err
	}
	return app, shown, nil
}

// ListAppPasswords gives all app passwords in the order of the file, none
// where there is no file.
func ListAppPasswords(path string) ([]AppPassword, error) {
	data, _, err := readFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if _, err := parseAppPasswords(path, data); err != nil {
		return nil, err
	}
	var list []AppPassword
	for line := range bytes.Lines(data) {
		if _, ok := nameOf(string(line)); !ok {
			continue
		}
		app, err := parseApp(strings.TrimRight(string(line), "\r\n"))
		if err != nil {
			return nil, err
		}
		list = append(list, *app)
	}
	return list, nil
}

// RemoveAppPassword removes the app password of a user with that id or, where
// none has it as its id, that label.
func RemoveAppPassword(ctx context.Context, path, user, which string) error {
	err := editApps(ctx, path, false, func(lines [][]byte) ([][]byte, error) {
		for _, field := range []int{1, 2} {
			for i, line := range lines {
				if fields := appOf(line, user); fields != nil && fields[field] == which {
					return append(lines[:i], lines[i+1:]...), nil
				}
			}
		}
		return nil, ErrNoAppPassword
	})
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoAppPassword
	}
	return err
}

// RemoveAppPasswords removes all app passwords of a user and gives their
// number.
func RemoveAppPasswords(ctx context.Context, path, user string) (int, error) {
	n := 0
	err := editApps(ctx, path, false, func(lines [][]byte) ([][]byte, error) {
		var kept [][]byte
		for _, line := range lines {
			if appOf(line, user) != nil {
				n++
			} else {
				kept = append(kept, line)
			}
		}
		if n == 0 {
			return nil, ErrNoAppPassword
		}
		return kept, nil
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNoAppPassword) {
		return 0, nil
	}
	return n, err
}

func editApps(ctx context.Context, path string, create bool, change func([][]byte) ([][]byte, error)) error {
	return edit(ctx, path, create, func(data []byte) error {
		_, err := parseAppPasswords(path, data)
		return err
	}, change)
}

// appOf gives the fields of a line where it is an app password of the user,
// and nil otherwise.
func appOf(line []byte, user string) []string {
	name, ok := nameOf(string(line))
	if !ok || fold(name) != fold(user) {
		return nil
	}
	fields := strings.Split(strings.TrimRight(string(line), "\r\n"), ":")
	if len(fields) != 6 {
		return nil
	}
	return fields
}
