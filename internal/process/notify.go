package process

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notifier tells systemd how the service is (sd_notify(3)). Where none is
// there it does nothing.
type Notifier struct{ Logger *slog.Logger }

func (n Notifier) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.Logger.Warn("systemd cannot be told the state of the service", "state", state, "error", err)
	}
}

// Ready says that the service serves: after its start, and after Reloading.
func (n Notifier) Ready() { n.send(daemon.SdNotifyReady) }

// Reloading says that the configuration is being read again.
func (n Notifier) Reloading() {
	n.send(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping says that the service ends.
func (n Notifier) Stopping() { n.send(daemon.SdNotifyStopping) }

// Successor says that another process is the service from now on. Only the
// process that was it until now may say that.
func (n Notifier) Successor(pid int) { n.send("MAINPID=" + strconv.Itoa(pid)) }

// Watchdog says that the service is alive, twice as often as systemd asks for
// it, until ctx ends. It returns at once where systemd does not ask.
func (n Notifier) Watchdog(ctx context.Context) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		n.Logger.Warn("watchdog is off", "error", err)
	}
	if interval <= 0 {
		return
	}
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	for {
		n.send(daemon.SdNotifyWatchdog)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
