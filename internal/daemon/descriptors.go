package daemon

import (
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/internal/config"
)

// Descriptors that are needed at a time.
const (
	perSession  = 1   // that waits: its connection,
	perMaildir  = 1   // and with Maildirs the lock
	perDelivery = 6   // of LMTP: the connection, the message, and the Maildir
	spare       = 128 // listeners, databases, folders at logins, messages that are sent
)

// fit gives how many sessions there may be: as many as the configuration says,
// or as have descriptors, where the process may have that many. So a session
// too many is refused while there is one to refuse it on.
func fit(cfg *config.Config, descriptors uint64, log *slog.Logger) int {
	sessions := cfg.Limits.Sessions
	each := uint64(perSession)
	if cfg.Maildrops.Store == config.Maildir {
		each += perMaildir
	}
	others := uint64(spare)
	if len(cfg.LMTP.Listen) > 0 {
		others += perDelivery * uint64(cfg.LMTP.Sessions)
	}
	room := (descriptors - min(others, descriptors/2)) / each
	if uint64(sessions) <= room {
		return sessions
	}
	log.Warn("too few files may be open for as many sessions as limits.sessions says, more are refused: "+
		"raise LimitNOFILE= in the unit, or `ulimit -n` where there is none, or lower limits.sessions",
		"limits.sessions", sessions, "files", descriptors, "sessions", room, "files_needed", uint64(sessions)*each+others)
	return int(room)
}

// descriptors gives how many this process may have. Go has raised that to the
// hard limit.
func descriptors() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return unix.RLIM_INFINITY
	}
	return uint64(limit.Cur)
}
