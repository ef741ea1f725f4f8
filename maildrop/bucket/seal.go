package bucket

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Key encrypts messages: 32 octets from a good source of chance.
type Key [32]byte

// A sealed object is
//
//	version, 1 octet: 1
//	key id, 8 octets: which Key it was
//	salt, 32 octets
//	chunks of 64 KiB and a tag of 16 octets; the last one has 0 to 64 KiB
//
// Each object has a key of its own, made by HKDF-SHA256 from the Key, the
// salt, the place of the maildrop and the message's unique-id: an object that
// somebody copies into another maildrop, or under another name, does not open.
// Chunks are sealed by AES-256-GCM. The nonce is the number of the chunk and
// whether it is the last, so chunks that are missing, swapped or cut off at
// the end are found out; none is given before its tag was right.
const (
	sealVersion  = 1
	keyIDSize    = 8
	saltSize     = 32
	headerSize   = 1 + keyIDSize + saltSize
	chunkSize    = 64 << 10
	tagSize      = 16
	maxSealChunk = 1<<32 - 1
)

// sealKey is a Key with its id.
type sealKey struct {
	Key
	id [keyIDSize]byte
}

func newSealKey(k Key) sealKey {
	sum := sha256.Sum256(append([]byte("poplin bucket key id\x00"), k[:]...))
	return sealKey{k, [keyIDSize]byte(sum[:keyIDSize])}
}

// errNoKey says that the key of a sealed object is not configured.
var errNoKey = errors.New("none of the keys that are configured opens it")

// sealedWith tells what is wrong with reading a message that is sealed where
// there are no keys at all, and gives the keys.
func (s *Store) sealedWith(m *message) ([]sealKey, error) {
	if m.sealed && len(s.keys) == 0 {
		return nil, permanent("cannot read message "+m.uid, errNoKey)
	}
	return s.keys, nil
}

// objectCipher makes the cipher of one object.
func objectCipher(k *Key, salt []byte, p place, uid string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, k[:], salt, "poplin bucket message\x00"+p.prefix+uid, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// chunkNonce makes the nonce of a chunk.
func chunkNonce(nonce *[12]byte, n uint64, last bool) []byte {
	binary.BigEndian.PutUint64(nonce[3:], n)
	nonce[11] = 0
	if last {
		nonce[11] = 1
	}
	return nonce[:]
}

// seal writes r to w sealed.
func seal(w io.Writer, r io.Reader, k *sealKey, p place, uid string) error {
	var header [headerSize]byte
	header[0] = sealVersion
	copy(header[1:], k.id[:])
	salt := header[1+keyIDSize:]
	rand.Read(salt)
	aead, err := objectCipher(&k.Key, salt, p, uid)
	if err != nil {
		return err
	}
	if _, err := w.Write(header[:]); err != nil {
		return err
	}
	in := bufio.NewReaderSize(r, chunkSize+1)
	buf := make([]byte, chunkSize, chunkSize+tagSize)
	var nonce [12]byte
	for n := uint64(0); n <= maxSealChunk; n++ {
		got, last, err := chunk(in, buf[:chunkSize])
		if err != nil {
			return err
		}
		if _, err := w.Write(aead.Seal(buf[:0], chunkNonce(&nonce, n, last), buf[:got], nil)); err != nil {
			return err
		}
		if last {
			return nil
		}
	}
	return errors.New("bucket: message is too long to be sealed")
}

// chunk fills buf, and tells whether there is nothing behind it.
func chunk(in *bufio.Reader, buf []byte) (n int, last bool, err error) {
	n, err = io.ReadFull(in, buf)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return n, true, nil
	} else if err != nil {
		return n, false, err
	}
	_, err = in.Peek(1)
	if err == io.EOF {
		return n, true, nil
	}
	return n, false, err
}

// opener reads what seal wrote.
type opener struct {
	in    *bufio.Reader
	keys  []sealKey
	place place
	uid   string
	aead  cipher.AEAD // nil before the header is read
	n     uint64
	buf   []byte
	rest  []byte // opened, still to be given
	err   error
}

func newOpener(r io.Reader, keys []sealKey, p place, uid string) *opener {
	return &opener{in: bufio.NewReaderSize(r, chunkSize+tagSize+1), keys: keys, place: p, uid: uid}
}

// Read implements io.Reader.
func (o *opener) Read(p []byte) (int, error) {
	for len(o.rest) == 0 {
		if o.err != nil {
			return 0, o.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		o.rest, o.err = o.open()
	}
	n := copy(p, o.rest)
	o.rest = o.rest[n:]
	return n, nil
}

// open opens the next chunk; with the last one the error is io.EOF.
func (o *opener) open() ([]byte, error) {
	if o.aead == nil {
		if err := o.header(); err != nil {
			return nil, err
		}
	}
	got, last, err := chunk(o.in, o.buf)
	if err != nil {
		return nil, err
	}
	var nonce [12]byte
	plain, err := o.aead.Open(o.buf[:0], chunkNonce(&nonce, o.n, last), o.buf[:got], nil)
	if err != nil {
		return nil, fmt.Errorf("it does not open, it was changed or cut: %w", errWrong)
	}
	o.n++
	if last {
		err = io.EOF
	}
	return plain, err
}

// header reads which key it was.
func (o *opener) header() error {
	var header [headerSize]byte
	if _, err := io.ReadFull(o.in, header[:]); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = errWrong
		}
		return err
	}
	if header[0] != sealVersion {
		return fmt.Errorf("it is sealed in form %d, which this program does not know", header[0])
	}
	for i := range o.keys {
		k := &o.keys[i]
		if bytes.Equal(header[1:1+keyIDSize], k.id[:]) {
			var err error
			o.aead, err = objectCipher(&k.Key, header[1+keyIDSize:], o.place, o.uid)
			o.buf = make([]byte, chunkSize+tagSize)
			return err
		}
	}
	return errNoKey
}
