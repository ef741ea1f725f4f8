package pop3server_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Clock set forward or back a day: a time.Time from time.Now holds the time
// since the machine started too, which no setting of the clock changes, and
// Add, Sub, Before, After and deadlines go by it. So no deadline moves as long
// as no time is used that has lost it: one that was stored, or went through
// the methods below.
func TestDeadlinesKeepTheMonotonicClock(t *testing.T) {
	strips := []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "Date", "Parse", "UTC", "Local", "In", "AddDate", "Truncate", "Round"}
	for _, pattern := range []string{"*.go", "../internal/guard/*.go", "../internal/directory/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) < 2 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.SelectorExpr)
				if ok && slices.Contains(strips, call.Sel.Name) && !onTheCalendar[filepath.Base(name)+" "+call.Sel.Name] {
					t.Errorf("%s: %s: a time that loses the monotonic clock", set.Position(call.Pos()), call.Sel.Name)
				}
				return true
			})
		}
	}
}

// onTheCalendar are the uses that decide on no deadline of a session.
var onTheCalendar = map[string]bool{
	"session.go Round":              true, // of a Duration, for the log
	"known.go Unix":                 true, // the day of a login, which is kept for 90 days
	"apppasswords.go Parse":         true, // when one was made, for people
	"apppasswords_edit.go UTC":      true,
	"apppasswords_edit.go Truncate": true,
}
