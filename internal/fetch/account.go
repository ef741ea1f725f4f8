// Package fetch retrieves mail from somebody's POP3 server into targets, such
// that nothing is lost, nothing comes twice, and nothing is deleted on the
// server before it is safe everywhere it should go. Begin with Account.Run.
//
// The order of things is the point. A message comes whole into the staging of
// each target, and is made durable. The journal notes that its delivery begins.
// It is delivered, durably. The journal notes that. Only then may the server be
// asked to delete it. Whatever ends a run, the next one goes on from there:
// see packages journal and target.
package fetch

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/internal/fetch/journal"
	"github.com/poplin-mail/poplin/internal/fetch/target"
	"github.com/poplin-mail/poplin/pop3client"
)

// Account is a maildrop on a server, and what is to be done with its mail.
type Account struct {
	Name string

	// Connect connects and logs in.
	Connect func(ctx context.Context) (*pop3client.Client, error)

	// Targets get each message. One that cannot take any now does not keep
	// the others from theirs, and has its turn in a later run.
	Targets []target.Target

	State string  // folder of the journal
	Disk  disk.FS // nil: disk.OS

	Keep Policy // which messages stay on the server

	// MaxMessage is the size, in octets, above which a message is left on the
	// server; 0: none is. With HeaderOnly its header is delivered instead.
	MaxMessage int64
	HeaderOnly bool

	// BrakeDeletions is how many messages of earlier runs one run may delete
	// without being told to; 0: 1000. It is there for a mistake in Keep.
	BrakeDeletions int

	// PoppedAtQuit says that the server takes what was retrieved for done at
	// QUIT, as Gmail does: where something of that is not safe, the session is
	// broken off.
	PoppedAtQuit bool

	// Sessions says that the server shows only some of the messages in a
	// session, so that there is another one while the last had new mail.
	Sessions bool

	// Grace is how long a message that went from the server is remembered;
	// 0: 30 days.
	Grace time.Duration
}

// Options are for one run.
type Options struct {
	DryRun bool // the Report says what would be done
	Retry  bool // what failed too often to be tried again is
	Delete bool // BrakeDeletions does not count
	UIDs   UIDs // what to do when most unique-ids have changed

	// NewTargets says that all targets may be new, and get what the server has
	// and former ones got.
	NewTargets bool

	Watch *Watch // nil: nobody watches
}

// UIDs is what to do when most unique-ids of the messages on a server have
// changed at once, as they do when a server is replaced.
type UIDs uint8

const (
	StopUIDs  UIDs = iota // stop, and say so
	MatchUIDs             // find the messages again by their headers
	NewUIDs               // take all for new
)

const (
	defaultBrake = 1000
	defaultGrace = 30 * 24 * time.Hour

	// tries is how often a message that fails is tried, in a run each.
	tries = 5
)

// id gives the name of a message for targets: it follows from what the server
// says of the message, so that each attempt to deliver it has the same.
func id(key []byte, account string, k journal.Key, generation int, size int64) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%q %s %d %d %d", account, k.UID, k.Index, generation, size)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// targetNames gives what the journal knows the targets by.
func (a *Account) targetNames() []string {
	names := make([]string, len(a.Targets))
	for i, t := range a.Targets {
		names[i] = t.Name()
	}
	return names
}
