package bucket

import (
	"bytes"
	"context"
	"hash/crc32"
	"io"
	"os"

	"github.com/poplin-mail/poplin/internal/wire"
)

// inMemory is how many octets of a message wait for its delivery in memory.
const inMemory = 1 << 20

// spool holds the octets of an object until they are stored: how many there
// are must be known before the first is sent, and a request that fails is made
// again.
type spool struct {
	temp string // folder
	mem  []byte
	file *os.File // nil while all is in mem
	size int64
	sum  uint32
}

// Write implements io.Writer.
func (p *spool) Write(b []byte) (int, error) {
	if p.file == nil && len(p.mem)+len(b) > inMemory {
		if err := p.spill(); err != nil {
			return 0, err
		}
	}
	if p.file == nil {
		p.mem = append(p.mem, b...)
	} else if _, err := p.file.Write(b); err != nil {
		return 0, err
	}
	p.size += int64(len(b))
	p.sum = crc32.Update(p.sum, castagnoli, b)
	return len(b), nil
}

// spill moves what is in memory to a file. It loses its name at once, so
// nothing stays when the process dies.
func (p *spool) spill() error {
	f, err := os.CreateTemp(p.temp, "poplin-")
	if err != nil {
		return err
	}
	p.file = f
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	_, err = f.Write(p.mem)
	p.mem = nil
	return err
}

// reader reads the octets. Readers do not disturb each other.
func (p *spool) reader() *io.SectionReader {
	var at io.ReaderAt = p.file
	if p.file == nil {
		at = bytes.NewReader(p.mem)
	}
	return io.NewSectionReader(at, 0, p.size)
}

func (p *spool) close() {
	if p.file != nil {
		p.file.Close()
	}
	p.mem = nil
}

// fill writes a message into the spool as it is stored, but for encryption,
// and gives its octets in the form of the wire.
func (s *Store) fill(p *spool, r io.Reader) (octets int64, err error) {
	var w io.Writer = p
	finish := func() error { return nil }
	if s.pack {
		e, err := s.zstd.packer(p)
		if err != nil {
			return 0, err
		}
		defer s.zstd.putBack(e)
		w, finish = e, e.Close
	}
	c := wire.NewCRLFWriter(w)
	_, err = io.Copy(c, r)
	if err == nil {
		err = c.Finish()
	}
	if err == nil {
		err = finish()
	}
	return c.Octets(), err
}

// source reads the message that is delivered, and remembers how that failed:
// then nothing was delivered, whereas a full disk here is a matter of this
// node.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (n int, err error) {
	if err = s.ctx.Err(); err == nil {
		n, err = s.r.Read(p)
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
