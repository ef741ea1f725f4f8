package wire

import (
	"io"
	"sync"
)

// Buffers lends buffers of one size to Readers and Writers, which hold one
// only while there is something in it: of the many connections that a server
// has open, nearly all wait for their client.
type Buffers struct {
	size int
	pool sync.Pool // of *[]byte, size+slack octets each
}

// NewBuffers makes Buffers of size octets each.
func NewBuffers(size int) *Buffers { return &Buffers{size: max(size, minBuffer)} }

// Reader makes a Reader that borrows its buffer, and gives it back in Release.
func (b *Buffers) Reader(src io.Reader) *Reader {
	r := &Reader{src: src, lender: b}
	r.buf = r.small[:]
	return r
}

// Writer makes a Writer that borrows its buffer, and gives it back in Release.
func (b *Buffers) Writer(dst io.Writer) *Writer { return &Writer{dst: dst, size: b.size, lender: b} }

// take lends a buffer.
func (b *Buffers) take() *[]byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return buf
	}
	return new(make([]byte, b.size+slack))
}

// give takes a buffer back.
func (b *Buffers) give(buf *[]byte) { b.pool.Put(buf) }
