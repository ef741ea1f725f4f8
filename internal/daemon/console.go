package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/console"
)

// operator is what the server shows to the operator.
type operator struct {
	metrics  *console.Metrics
	console  *console.Server
	control  *console.Control // nil: there is none
	pulse    *pulse           // of an object store; nil: there is none
	draining atomic.Bool
}

// watch adds what is asked for at each scrape, once the rest is assembled.
func (d *Daemon) watch() {
	sources := console.Sources{Panics: d.server.Panics, Expiries: d.expiries, Guard: d.guardStats}
	if d.intake.server != nil {
		sources.MTAs = d.intake.server.Connections
	}
	d.operator.metrics.Watch(sources)
	d.operator.console = console.NewServer(d.operator.metrics, d.health, d.log)
}

func (d *Daemon) guardStats() console.GuardStats {
	s := d.guard.Stats()
	return console.GuardStats{Delayed: int64(s.Delayed), Rejected: int64(s.Refused), Entries: s.Hosts + s.Users + s.Known}
}

// listenControl makes the control socket and answers on it. Mail is served
// without one too.
func (d *Daemon) listenControl() {
	control, err := console.ListenControl(d.cfg.State, d.log)
	if err != nil {
		d.log.Warn("`poplin who` and `poplin kick` will not find this server", "error", err)
		return
	}
	d.operator.control = control
	d.serving.Go(func() {
		if err := control.Serve(d.server); err != nil {
			d.log.Error("`poplin who` and `poplin kick` no longer find this server", "error", err)
		}
	})
}

// close ends what is shown.
func (o *operator) close() {
	if o.control != nil {
		o.control.Close()
	}
	o.console.Close()
	if o.pulse != nil {
		o.pulse.close()
	}
}

// health is for /healthz. It names no path: anybody may read it.
func (d *Daemon) health(ctx context.Context) error {
	if d.operator.draining.Load() {
		return errors.New("shutting down: send new sessions elsewhere")
	}
	if d.operator.pulse != nil {
		return d.operator.pulse.check(ctx)
	}
	if d.cfg.Maildrops.Store != config.Maildir {
		return nil
	}
	_, err := os.Stat(AboveMaildirs(d.cfg.Maildrops.Path))
	if errors.Is(err, fs.ErrNotExist) && d.cfg.Maildrops.Create {
		return nil // the first login makes it
	}
	var why syscall.Errno
	if errors.As(err, &why) {
		return errors.New("the folder of the maildrops cannot be reached: " + why.Error())
	}
	return err
}

// AboveMaildirs gives the folder that all Maildirs have in common.
func AboveMaildirs(path string) string {
	common, _, _ := strings.Cut(path, "{")
	return filepath.Dir(common + "x")
}

// MaildirOf gives the Maildir of a maildrop, by the path of the configuration.
// It is for looking at: the store alone says which names are good.
func MaildirOf(path, name string) string {
	local, domain := name, ""
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		local, domain = name[:at], name[at+1:]
	}
	return strings.NewReplacer("{user}", name, "{local}", local, "{domain}", domain).Replace(path)
}

// expiries gives the ends of the certificates in use.
func (d *Daemon) expiries() map[string]time.Time {
	ends := map[string]time.Time{}
	for _, e := range d.certs.Expiries() {
		ends[e.Name] = e.NotAfter
	}
	return ends
}
