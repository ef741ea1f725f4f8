package maildir

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// namer makes names for messages: unique over hosts, processes, and clocks
// that are set back.
type namer struct {
	host  string
	count *atomic.Uint64
}

// maxHost keeps names short enough to be UIDs: at most 70 octets.
const maxHost = 14

// newNamer makes a namer for a host. Its name is written so that it can stand
// in a file's name, as is usual, and cut where it is long: the random part of
// names makes them unique.
func newNamer(host string) namer {
	var b strings.Builder
	for i := range len(host) {
		switch c := host[i]; {
		case c == '/':
			b.WriteString(`\057`)
		case c == ':':
			b.WriteString(`\072`)
		case c > 0x20 && c < 0x7F:
			b.WriteByte(c)
		default:
			b.WriteByte('_')
		}
	}
	name := b.String()
	return namer{host: name[:min(len(name), maxHost)], count: new(atomic.Uint64)}
}

// name makes one. Its parts are the usual ones: time, microseconds, process,
// counter, random octets, host.
func (n namer) name(now time.Time) string {
	var random [6]byte
	rand.Read(random[:])
	return fmt.Sprintf("%d.M%06dP%dQ%dR%s.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), n.count.Add(1),
		hex.EncodeToString(random[:]), n.host)
}
