package bucket

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// place is where a maildrop is: a bucket, and the beginning of its keys.
type place struct {
	name   string // of the maildrop
	bucket string
	prefix string // ends in a slash
}

// What stands behind the prefix of a maildrop.
const (
	messages   = "m/" // messages
	locks      = "k/" // session locks
	markers    = "a/" // which messages are aside
	notes      = "n/" // notes of views
	generation = "g"  // changes whenever messages come or go
)

// maxName bounds an escaped name: engines that keep objects as files have no
// longer names than 255 octets.
const maxName = 240

// locate gives the place of a maildrop. The hash that chooses the bucket
// spreads maildrops over the store's indexes; the one in the key, over the
// parts of a bucket's index.
func (s *Store) locate(name string) (place, error) {
	escaped := escape(name)
	if name == "" || len(escaped) > maxName {
		return place{}, permanent(fmt.Sprintf("maildrop name %.80q", name), errors.New("it is empty, or too long for a key"))
	}
	sum := sha256.Sum256([]byte(name))
	return place{
		name:   name,
		bucket: bucketName(s.bucket, int(sum[0])%s.buckets, s.buckets),
		prefix: fmt.Sprintf("%02x%x/%s/", sum[1], sum[2]>>4, escaped),
	}, nil
}

// Buckets gives the names of the buckets that a Store with these options uses.
func Buckets(bucket string, count int) []string {
	count = max(count, 1)
	names := make([]string, count)
	for i := range names {
		names[i] = bucketName(bucket, i, count)
	}
	return names
}

func bucketName(bucket string, i, count int) string {
	if count <= 1 {
		return bucket
	}
	return fmt.Sprintf("%s-%02x", bucket, i)
}

// escape makes a part of a key from a name: letters, digits, "-", "@" and ".",
// other than at the beginning, stand for themselves, and any other octet is _
// and two hexadecimal digits. Nothing in it means anything to a path, to a URL
// or to XML.
func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '@', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

// unescape gives the name that escape made s of.
func unescape(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '_' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), escape(b.String()) == s
}

// message is a message in the store: what its key says, and the size of the
// object.
type message struct {
	id     string // a ULID, in its 26 characters: where it lies in the maildrop
	uid    string // as UIDL gives it: the id, but for one that was taken in with another
	came   int64  // milliseconds since 1970: the time of the id, but for one that was taken in
	octets int64  // in the form of the wire
	sum    uint32 // CRC-32C of the object
	packed bool   // by zstd
	sealed bool   // encrypted
	size   int64  // of the object

	twin *message // the same, stored a second time by an import whose first request was carried out late
}

// keys gives the keys of the objects that are to go with the message.
func (m *message) keys() (keys []string) {
	for ; m != nil; m = m.twin {
		keys = append(keys, m.key())
	}
	return keys
}

// name sets what a message is known by.
func (m *message) name(id, uid string, came int64) { m.id, m.uid, m.came = id, uid, came }

// sealedAs gives what a sealed message is bound to, beside its place.
func (m *message) sealedAs() string {
	if m.uid == m.id {
		return m.id
	}
	return m.id + " " + m.uid
}

// key gives the key of a message behind the maildrop's prefix:
// m/ULID.OCTETS.SUM, and then .rTIME where it came at another time than the
// ULID says, .uUID in base64 where it has another unique-id, .z where it is
// packed, .s where it is sealed.
func (m *message) key() string {
	b := make([]byte, 0, 64)
	b = append(b, messages...)
	b = append(b, m.id...)
	b = append(b, '.')
	b = strconv.AppendInt(b, m.octets, 10)
	b = fmt.Appendf(b, ".%08x", m.sum)
	if m.came != timeOf(m.id) {
		b = append(b, ".r"...)
		b = strconv.AppendInt(b, m.came, 10)
	}
	if m.uid != m.id {
		b = append(b, ".u"...)
		b = base64.RawURLEncoding.AppendEncode(b, []byte(m.uid))
	}
	if m.packed {
		b = append(b, ".z"...)
	}
	if m.sealed {
		b = append(b, ".s"...)
	}
	return string(b)
}

// parseMessage reads the key of a message, with m/.
func parseMessage(key string, size int64) (message, bool) {
	m := message{size: size}
	rest, ok := strings.CutPrefix(key, messages)
	if !ok {
		return m, false
	}
	rest, m.sealed = strings.CutSuffix(rest, ".s")
	rest, m.packed = strings.CutSuffix(rest, ".z")
	fields := strings.Split(rest, ".")
	if len(fields) < 3 || !validID(fields[0]) {
		return m, false
	}
	m.name(fields[0], fields[0], timeOf(fields[0]))
	octets, err := strconv.ParseUint(fields[1], 10, 62)
	if err != nil {
		return m, false
	}
	sum, err := strconv.ParseUint(fields[2], 16, 32)
	if err != nil {
		return m, false
	}
	m.octets, m.sum = int64(octets), uint32(sum)
	for _, field := range fields[3:] {
		if !m.parseField(field) {
			return m, false
		}
	}
	return m, m.key() == key // nothing twice, nothing out of order
}

// parseField reads what a message has that was taken in.
func (m *message) parseField(field string) bool {
	if text, ok := strings.CutPrefix(field, "r"); ok {
		came, err := strconv.ParseInt(text, 10, 64)
		m.came = came
		return err == nil
	}
	text, ok := strings.CutPrefix(field, "u")
	uid, err := base64.RawURLEncoding.DecodeString(text)
	m.uid = string(uid)
	return ok && err == nil && validUID(m.uid)
}
