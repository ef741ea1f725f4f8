package rounds

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// newMail makes that many messages of about so many octets, no two alike, with
// lines that begin with dots.
func newMail(messages, octets int) [][]byte {
	all := make([][]byte, messages)
	for i := range all {
		b := fmt.Appendf(nil, "Return-Path: <sender@example.org>\nMessage-ID: <%d@bench.example.org>\nDate: Fri, 27 Nov 2026 10:%02d:%02d +0000\n"+
			"From: A Sender <sender@example.org>\nTo: A Reader <reader@example.org>\nSubject: message %d\nMIME-Version: 1.0\n"+
			"Content-Type: text/plain; charset=utf-8\n\nThis is message %d.\n", i, i/60%60, i%60, i, i)
		for n := 0; len(b) < octets-80; n++ {
			if n%20 == 0 {
				b = append(b, ".A line with a dot at its beginning.\n"...)
				continue
			}
			b = fmt.Appendf(b, "Line %d of message %d, as long as lines of mail often are.\n", n, i)
		}
		all[i] = b
	}
	return all
}

// arrived compares what came with the mail that there was, each message by its
// body, since many programs add lines to the header. It gives how many came
// whole, and an error where one came twice, or in part, or another.
func arrived(mail, came [][]byte) (int, error) {
	open := make(map[[sha256.Size]byte]bool, len(mail))
	for _, m := range mail {
		open[sha256.Sum256(body(m))] = true
	}
	whole := 0
	for _, m := range came {
		sum := sha256.Sum256(body(m))
		left, known := open[sum]
		switch {
		case !known:
			return whole, fmt.Errorf("a message came that is none of those sent, of %d octets", len(m))
		case !left:
			return whole, fmt.Errorf("a message came twice")
		}
		open[sum] = false
		whole++
	}
	return whole, nil
}

// body gives what follows the header, with LF for line ends, and without empty
// lines at the end.
func body(m []byte) []byte {
	m = bytes.ReplaceAll(m, []byte("\r\n"), []byte("\n"))
	_, b, _ := bytes.Cut(m, []byte("\n\n"))
	return bytes.TrimRight(b, "\n")
}

// readMaildir gives the messages in new/ and cur/.
func readMaildir(dir string) (all [][]byte, err error) {
	for _, sub := range []string{"new", "cur"} {
		err := filepath.WalkDir(filepath.Join(dir, sub), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			m, err := os.ReadFile(name)
			all = append(all, m)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// readBSMTP gives the messages in a file of SMTP commands: what is between DATA
// and a dot.
func readBSMTP(name string) (all [][]byte, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var m []byte
	within := false
	for line := range bytes.Lines(text) {
		end := strings.TrimRight(string(line), "\r\n")
		switch {
		case !within:
			within = end == "DATA"
		case end == ".":
			all, m, within = append(all, m), nil, false
		default:
			m = append(m, bytes.TrimPrefix(line, []byte("."))...)
		}
	}
	if within {
		return nil, fmt.Errorf("%s ends within a message", name)
	}
	return all, nil
}
