package trial

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// asideName is where the server keeps what was removed, for undelete.
const asideName = "poplin.aside"

// readMaildirs reads every message in the Maildirs below a folder, without the
// help of the code under test. A Maildir, or a part of one, may be missing.
func readMaildirs(mail string) (files []found, err error) {
	for user := range users {
		dir := maildropDir(mail, user)
		parts := []string{"new", "cur"}
		batches, err := os.ReadDir(filepath.Join(dir, asideName))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, batch := range batches {
			parts = append(parts, filepath.Join(asideName, batch.Name()))
		}
		for _, part := range parts {
			entries, err := os.ReadDir(filepath.Join(dir, part))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			for _, entry := range entries {
				f := found{user: user, name: filepath.Join(part, entry.Name()), aside: strings.HasPrefix(part, asideName)}
				content, err := os.ReadFile(filepath.Join(dir, f.name))
				if err != nil {
					return nil, err
				}
				f.id, f.whole, f.known = readLetter(content)
				files = append(files, f)
			}
		}
	}
	return files, nil
}
