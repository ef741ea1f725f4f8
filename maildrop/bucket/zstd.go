package bucket

import (
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	packWindow   = 1 << 20 // octets that packing looks back, and so what unpacking holds
	unpackWindow = 8 << 20 // what a frame may ask for that something else packed
)

// zstdPools keeps what packs and unpacks: each holds some megabytes.
type zstdPools struct {
	packers   sync.Pool
	unpackers sync.Pool
}

// packer gives a writer that packs into w. Closing it ends the frame; putBack
// gives it back.
func (z *zstdPools) packer(w io.Writer) (*zstd.Encoder, error) {
	if e, ok := z.packers.Get().(*zstd.Encoder); ok {
		e.Reset(w)
		return e, nil
	}
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(packWindow), zstd.WithEncoderCRC(true), zstd.WithZeroFrames(true), zstd.WithLowerEncoderMem(true))
}

func (z *zstdPools) putBack(e *zstd.Encoder) {
	e.Reset(nil)
	z.packers.Put(e)
}

// unpack has r unpack what it reads.
func (s *Store) unpack(r *reader) error {
	d, ok := s.zstd.unpackers.Get().(*zstd.Decoder)
	if !ok {
		var err error
		d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(unpackWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return err
		}
	}
	if err := d.Reset(r.from); err != nil {
		return err
	}
	r.from = d
	r.done = func() {
		d.Reset(nil)
		s.zstd.unpackers.Put(d)
	}
	return nil
}
