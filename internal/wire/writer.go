package wire

import "io"

// slack is room kept free behind a Writer's buffer for what ends a message,
// CRLF "." CRLF, so that it always leaves in one write with what precedes it:
// clients exist that wait for ever where it is split off.
const slack = 5

// Writer gathers output and sends it in large writes. It sends only when more
// comes than fits, and on Flush. After an error it sends no more, and every
// call gives that error.
type Writer struct {
	dst  io.Writer
	buf  []byte
	size int
	err  error
	sent int64
}

// NewWriter makes a Writer that gathers up to size octets.
func NewWriter(dst io.Writer, size int) *Writer {
	size = max(size, minBuffer)
	return &Writer{dst: dst, buf: make([]byte, 0, size+slack), size: size}
}

// Reset makes the Writer write to dst. What was gathered must have been flushed.
func (w *Writer) Reset(dst io.Writer) {
	w.dst, w.buf, w.err = dst, w.buf[:0], nil
}

// Buffered gives the number of octets gathered and not sent.
func (w *Writer) Buffered() int { return len(w.buf) }

// Sent gives the number of octets sent, dots and terminators included.
func (w *Writer) Sent() int64 { return w.sent }

// Err gives the first error of the connection.
func (w *Writer) Err() error { return w.err }

// Flush sends what was gathered.
func (w *Writer) Flush() error {
	if len(w.buf) == 0 || w.err != nil {
		return w.err
	}
	n, err := w.dst.Write(w.buf)
	w.sent += int64(n)
	if err == nil && n < len(w.buf) {
		err = io.ErrShortWrite
	}
	w.err = err
	w.buf = w.buf[:0]
	return err
}

// Write implements io.Writer: p passes as it is.
func (w *Writer) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if len(w.buf) >= w.size {
			w.Flush()
		}
		if w.err != nil {
			return total - len(p), w.err
		}
		n := min(len(p), w.size-len(w.buf))
		w.buf = append(w.buf, p[:n]...)
		p = p[n:]
	}
	return total, w.err
}

// WriteString is Write for a string.
func (w *Writer) WriteString(s string) (int, error) {
	total := len(s)
	for len(s) > 0 {
		if len(w.buf) >= w.size {
			w.Flush()
		}
		if w.err != nil {
			return total - len(s), w.err
		}
		n := min(len(s), w.size-len(w.buf))
		w.buf = append(w.buf, s[:n]...)
		s = s[n:]
	}
	return total, w.err
}

// Line writes the parts and a CRLF behind them.
func (w *Writer) Line(parts ...string) {
	for _, part := range parts {
		w.WriteString(part)
	}
	w.WriteString("\r\n")
}

// Available gives an empty slice of the buffer with room for at least n
// octets, to be filled with append and passed to Write. N is at most the
// Writer's size.
func (w *Writer) Available(n int) []byte {
	if w.size-len(w.buf) < n {
		w.Flush()
	}
	return w.buf[len(w.buf):]
}

// end writes what ends a message, into the slack if need be, so that it never
// leaves alone.
func (w *Writer) end(tail string) error {
	if w.err != nil {
		return w.err
	}
	if len(w.buf)+len(tail) > w.size+slack {
		w.Flush()
	}
	w.buf = append(w.buf, tail...)
	return w.err
}

// EndList writes the terminator of a multi-line reply (RFC 1939 section 3).
func (w *Writer) EndList() error { return w.end(".\r\n") }
