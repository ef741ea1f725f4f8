package wire

import "io"

// slack is room kept free behind a Writer's buffer for what ends a message,
// CRLF "." CRLF, so that it always leaves in one write: clients exist that
// wait for ever where it is split off.
const slack = 5

// held is how many octets a full buffer keeps back when it is sent for more to
// come: it may be the CR of a line end that a terminator follows.
const held = 1

// Writer gathers output and sends it in large writes. It sends only when more
// comes than fits, and on Flush. After an error it sends no more, and every
// call gives that error.
type Writer struct {
	dst  io.Writer
	buf  []byte // its capacity is 0 while none is borrowed
	size int
	done int // buf[:done] ends in a terminator
	err  error
	sent int64

	lender *Buffers // nil: buf is the Writer's own
	lent   *[]byte  // by lender
}

// NewWriter makes a Writer that gathers up to size octets.
func NewWriter(dst io.Writer, size int) *Writer {
	size = max(size, minBuffer)
	return &Writer{dst: dst, buf: make([]byte, 0, size+slack), size: size}
}

// Reset makes the Writer write to dst. What was gathered must have been flushed.
func (w *Writer) Reset(dst io.Writer) {
	w.dst, w.buf, w.done, w.err = dst, w.buf[:0], 0, nil
}

// Release gives a borrowed buffer back where nothing is in it.
func (w *Writer) Release() {
	if w.lent == nil || len(w.buf) > 0 {
		return
	}
	w.lender.give(w.lent)
	w.buf, w.lent = nil, nil
}

// borrow sees to it that there is a buffer.
func (w *Writer) borrow() {
	if cap(w.buf) == 0 {
		w.lent = w.lender.take()
		w.buf = (*w.lent)[:0]
	}
}

// Buffered gives the number of octets gathered and not sent.
func (w *Writer) Buffered() int { return len(w.buf) }

// Sent gives the number of octets sent, dots and terminators included.
func (w *Writer) Sent() int64 { return w.sent }

// Err gives the first error of the connection.
func (w *Writer) Err() error { return w.err }

// Flush sends what was gathered.
func (w *Writer) Flush() error { return w.send(len(w.buf)) }

// send sends the first n octets of the buffer and keeps the others.
func (w *Writer) send(n int) error {
	if n <= 0 || w.err != nil {
		return w.err
	}
	sent, err := w.dst.Write(w.buf[:n])
	w.sent += int64(sent)
	if err == nil && sent < n {
		err = io.ErrShortWrite
	}
	w.err = err
	w.buf = append(w.buf[:0], w.buf[n:]...)
	w.done = 0
	return err
}

// spill makes room in the buffer. It splits neither a terminator that is in
// it nor a line end from a terminator to come.
func (w *Writer) spill() { w.send(max(w.done, len(w.buf)-held)) }

// Write implements io.Writer: p passes as it is.
func (w *Writer) Write(p []byte) (int, error) {
	total := len(p)
	w.borrow()
	for len(p) > 0 {
		if len(w.buf) >= w.size {
			w.spill()
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
	w.borrow()
	for len(s) > 0 {
		if len(w.buf) >= w.size {
			w.spill()
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
// Writer's size less one octet.
func (w *Writer) Available(n int) []byte {
	w.borrow()
	if w.size-len(w.buf) < n {
		w.spill()
	}
	return w.buf[len(w.buf):]
}

// end writes what ends a message, into the slack if need be, so that it leaves
// in one write with the line end before it.
func (w *Writer) end(tail string) error {
	if w.err != nil {
		return w.err
	}
	w.borrow()
	if len(w.buf)+len(tail) > w.size+slack {
		w.spill()
	}
	w.buf = append(w.buf, tail...)
	w.done = len(w.buf)
	return w.err
}

// EndList writes the terminator of a multi-line reply (RFC 1939 section 3).
func (w *Writer) EndList() error { return w.end(".\r\n") }
