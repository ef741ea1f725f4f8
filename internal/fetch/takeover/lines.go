package takeover

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// maxLine bounds a line, in octets. A unique-id has 70 at most, names of
	// servers and users some hundred.
	maxLine = 2048

	// maxFile bounds a file, in octets: 4 million lines of 64 octets.
	maxFile = 256 << 20
)

// errLongLine says that a line was skipped, since it is longer than maxLine.
var errLongLine = errors.New("the line is too long")

// lines reads lines that end in LF or CRLF, bounded.
type lines struct {
	r      *bufio.Reader
	number int   // of the last line
	octets int64 // read
}

func newLines(r io.Reader) *lines {
	return &lines{r: bufio.NewReaderSize(r, maxLine+2)}
}

// next gives a line without its end. Whole is false where the file ended
// without one. After errLongLine the next line can be read.
func (l *lines) next() (line string, whole bool, err error) {
	b, err := l.r.ReadSlice('\n')
	l.octets += int64(len(b))
	if len(b) > 0 {
		l.number++
	}
	switch {
	case l.octets > maxFile:
		return "", false, fmt.Errorf("the file is longer than %d MiB", maxFile>>20)
	case err == bufio.ErrBufferFull:
		return "", false, l.skip()
	case err == io.EOF && len(b) > 0:
		return string(b), false, nil
	case err != nil:
		return "", false, err
	}
	return string(bytes.TrimSuffix(b[:len(b)-1], []byte("\r"))), true, nil
}

// skip reads to the end of a line that is too long.
func (l *lines) skip() error {
	for {
		b, err := l.r.ReadSlice('\n')
		l.octets += int64(len(b))
		switch {
		case l.octets > maxFile:
			return fmt.Errorf("the file is longer than %d MiB", maxFile>>20)
		case err == nil || err == io.EOF:
			return errLongLine
		case err != bufio.ErrBufferFull:
			return err
		}
	}
}
