package move

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/poplin-mail/poplin/internal/wire"
	"github.com/poplin-mail/poplin/maildrop"
)

// message reads a message, and takes it for whole only where it has the octets
// that the listing says.
type message struct {
	io.ReadCloser
	want  int64
	size  maildrop.SizeCounter
	fault error // what reading came to, but for the end
	watch *Watch
}

// Read implements io.Reader.
func (m *message) Read(p []byte) (int, error) {
	if m.fault != nil {
		return 0, m.fault
	}
	n, err := m.ReadCloser.Read(p)
	m.size.Write(p[:n])
	m.watch.octets.Add(int64(n))
	switch got := m.size.Octets(); {
	case err == io.EOF && got != m.want:
		m.fault = fmt.Errorf("it has %d octets, and the listing says %d", got, m.want)
	case got > m.want+2: // a last line without its end counts as if it had one
		m.fault = fmt.Errorf("it has more than the %d octets of the listing", m.want)
	case err == io.EOF:
		return n, io.EOF
	case err != nil:
		m.fault = err
	}
	return n, m.fault
}

// compareWire tells at which octet two messages differ in the form of the wire,
// below 0 where they do not.
func compareWire(a, b io.Reader) (int64, error) {
	x, y := newWireReader(a), newWireReader(b)
	p, q := make([]byte, 32<<10), make([]byte, 32<<10)
	for at := int64(0); ; {
		n, err := readFull(x, p)
		if err != nil {
			return -1, err
		}
		k, err := readFull(y, q)
		if err != nil {
			return -1, err
		}
		if !bytes.Equal(p[:n], q[:k]) {
			same := 0
			for same < min(n, k) && p[same] == q[same] {
				same++
			}
			return at + int64(same), nil
		}
		if n == 0 {
			return -1, nil
		}
		at += int64(n)
	}
}

// readFull reads until p is full or r ends.
func readFull(r io.Reader, p []byte) (int, error) {
	n, err := io.ReadFull(r, p)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return n, err
}

// wireReader gives a message in the form of the wire.
type wireReader struct {
	r    io.Reader
	buf  []byte
	out  bytes.Buffer
	form *wire.CRLFWriter
	err  error
}

func newWireReader(r io.Reader) *wireReader {
	w := &wireReader{r: r, buf: make([]byte, 32<<10)}
	w.form = wire.NewCRLFWriter(&w.out)
	return w
}

// Read implements io.Reader.
func (w *wireReader) Read(p []byte) (int, error) {
	for w.out.Len() == 0 {
		if w.err != nil {
			return 0, w.err
		}
		var n int
		n, w.err = w.r.Read(w.buf)
		w.form.Write(w.buf[:n]) // a buffer takes all
		if w.err == io.EOF {
			w.form.Finish()
		}
	}
	return w.out.Read(p)
}

// Watch tells how a run goes. Its zero value is ready.
type Watch struct {
	name   atomic.Pointer[string]
	octets atomic.Int64
	whole  atomic.Int64
}

func (w *Watch) stage(name string) { w.name.Store(&name) }

func (w *Watch) expect(octets int64) { w.whole.Add(octets) }

// Stage says in a word what is under way.
func (w *Watch) Stage() string {
	if name := w.name.Load(); name != nil {
		return *name
	}
	return "waiting"
}

// Octets gives how many octets were read, and how many of these are known to
// be needed: each message is read once to be copied and twice to be compared.
func (w *Watch) Octets() (done, whole int64) { return w.octets.Load(), w.whole.Load() }
