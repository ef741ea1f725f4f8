package daemon

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/console"
	"github.com/poplin-mail/poplin/pop3client"
)

// get asks the console.
func get(t *testing.T, d *Daemon, path string) (code int, text string) {
	t.Helper()
	for _, a := range d.Addrs() {
		if a.Protocol != "console" {
			continue
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get("http://" + a.Addr.String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	t.Fatal("there is no console")
	return 0, ""
}

func TestConsole(t *testing.T) {
	cfg := newConfig(t)
	cfg.Console.Listen = []string{"127.0.0.1:0"}
	lmtp := filepath.Join(t.TempDir(), "lmtp")
	cfg.LMTP.Listen = []string{"unix:" + lmtp}
	d, _ := start(t, cfg)
	mta, err := net.Dial("unix", lmtp)
	if err != nil {
		t.Fatal(err)
	}
	defer mta.Close()
	fmt.Fprint(mta, "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\nx\r\n.\r\n")
	for lines := bufio.NewScanner(mta); lines.Scan() && !strings.HasPrefix(lines.Text(), "250 2.0.0 <anna"); {
	}
	c, err := pop3client.Dial(t.Context(), d.Addrs()[1].Addr.String(), trust(t, pairBelow(cfg.State).Certificate))
	if err := logIn(t, c, err, "secret"); err != nil {
		t.Fatal(err)
	}
	code, text := get(t, d, "/metrics")
	for _, want := range []string{"\npoplin_sessions 1\n", "\npoplin_tls_handshakes_total 1\n", "\npoplin_panics_total 0\n",
		"\npoplin_certificate_expiry_timestamp_seconds{certificate=", `tls="true"} 1`, "\npoplin_guard_entries ",
		"\npoplin_lmtp_connections 1\n", "\npoplin_deliveries_total 1\n"} {
		if code != 200 || !strings.Contains(text, want) {
			t.Errorf("%d: the metrics lack %q", code, want)
		}
	}
	if strings.Contains(text, "anna") {
		t.Error("a user is named in the metrics")
	}
	if code, text := get(t, d, "/healthz"); code != 200 || text != "ok\n" {
		t.Errorf("/healthz: %d, %q", code, text)
	}
	if all, err := console.Sessions(t.Context(), cfg.State); err != nil || len(all) != 1 || all[0].User != "anna" || !all[0].TLS {
		t.Errorf("%+v, %v", all, err)
	}

	// While it drains, the console goes on and says so.
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- d.Shutdown(ctx) }()
	for !d.operator.draining.Load() {
		if err := c.Noop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if code, text := get(t, d, "/healthz"); code != 503 || !strings.Contains(text, "shutting down") {
		t.Errorf("/healthz while draining: %d, %q", code, text)
	}
	cancel()
	<-ended
	if sockets, err := filepath.Glob(filepath.Join(cfg.State, "run", "*")); err != nil || len(sockets) != 0 {
		t.Errorf("%v is left, %v", sockets, err)
	}
}

func TestHealth(t *testing.T) {
	cfg := newConfig(t)
	d, _ := start(t, cfg)
	folder := filepath.Dir(cfg.Maildrops.Path)
	if err := d.health(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.Rename(folder, folder+".gone"); err != nil {
		t.Fatal(err)
	}
	err := d.health(t.Context())
	if err == nil || strings.Contains(err.Error(), folder) || !strings.Contains(err.Error(), "cannot be reached: no such file") {
		t.Errorf("without the folder of the maildrops: %v", err)
	}
	cfg.Maildrops.Create = true
	if err := d.health(t.Context()); err != nil {
		t.Errorf("where it is made when needed: %v", err)
	}
	cfg.Maildrops.Store = config.Memory
	if err := d.health(t.Context()); err != nil {
		t.Errorf("without Maildirs: %v", err)
	}
	for path, want := range map[string]string{"/var/mail/{user}": "/var/mail", "/home/{local}/Maildir": "/home", "/m/x-{user}": "/m", "{user}": ".", "/m/all": "/m"} {
		if got := AboveMaildirs(path); got != want {
			t.Errorf("above %s is %s, want %s", path, got, want)
		}
	}
}

func TestConsoleAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := newConfig(t)
	cfg.Console.Listen = []string{taken.Addr().String()}
	d, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	if err := d.Start(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "console.listen: "+taken.Addr().String()+" is in use") || len(d.Addrs()) != 0 {
		t.Errorf("%v, addresses %v", err, d.Addrs())
	}
}

// TestNoControlSocket: mail is served all the same.
func TestNoControlSocket(t *testing.T) {
	cfg := newConfig(t)
	if err := os.MkdirAll(cfg.State, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.State, "run"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, l := start(t, cfg)
	c, err := pop3client.Dial(t.Context(), d.Addrs()[1].Addr.String(), trust(t, pairBelow(cfg.State).Certificate))
	if err := logIn(t, c, err, "secret"); err != nil {
		t.Error(err)
	}
	if !strings.Contains(l.String(), "will not find this server") {
		t.Errorf("the log lacks a warning: %s", l)
	}
}
