package maildir

import (
	"time"

	"golang.org/x/sys/unix"
)

// stale is the age at which a file in tmp/ belongs to no delivery any more.
// It is what the inventor of Maildirs prescribed, and every program's limit.
const stale = 36 * time.Hour

// sweep removes what broken deliveries left in tmp/. Its faults harm nobody:
// the next session tries again.
func (f *folder) sweep(now time.Time) {
	tmp, err := f.sys.open(f.top, "tmp", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return
	}
	defer f.sys.close(tmp)
	names, err := f.names(tmp)
	if err != nil {
		return
	}
	for _, name := range names {
		var st unix.Stat_t
		if f.sys.lstat(tmp, name, &st) != nil || !regular(&st) {
			continue
		}
		last := time.Unix(0, max(st.Atim.Nano(), st.Mtim.Nano(), st.Ctim.Nano()))
		if now.Sub(last) > stale {
			f.sys.unlink(tmp, name)
		}
	}
}
