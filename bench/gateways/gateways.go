// Package gateways runs versitygw, an S3 server that keeps objects as files:
// several of it over one folder, as the machines of a store would be, with a
// balancer before them. Tests and bench/torture kill them. Begin with Start.
//
// versitygw syncs nothing to disk, so that nothing is shown here about power
// failures.
package gateways

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// AccessKey and SecretKey are the credentials that all gateways take.
const (
	AccessKey = "poplin"
	SecretKey = "poplin-secret"
)

// patience bounds the start of a gateway: far more than it takes on a slow
// machine.
const patience = time.Minute

// Gateways are servers over one folder.
type Gateways struct {
	program  string
	dir      string
	addrs    []string
	balancer *balancer

	mu      sync.Mutex // for running
	running []*process
}

// Start starts n gateways of the program over the folder, and a balancer, all
// on free ports of the loopback. Close ends them.
func Start(ctx context.Context, program, dir string, n int) (*Gateways, error) {
	g := &Gateways{program: program, dir: dir, addrs: make([]string, n), running: make([]*process, n)}
	if err := os.MkdirAll(g.Folder(), 0o700); err != nil {
		return nil, err
	}
	for i := range n {
		if err := g.first(ctx, i); err != nil {
			g.Close()
			return nil, err
		}
	}
	var err error
	if g.balancer, err = newBalancer(g.up); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// first starts a gateway on a port that is free. Another program may take it
// meanwhile: then it is tried with others.
func (g *Gateways) first(ctx context.Context, i int) (err error) {
	for range 5 {
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
		g.addrs[i] = l.Addr().String()
		l.Close()
		if err = g.Restart(ctx, i); err == nil {
			return nil
		}
	}
	return err
}

// Folder holds a folder for each bucket, with the objects by their keys.
func (g *Gateways) Folder() string { return filepath.Join(g.dir, "objects") }

// Endpoint is the address of a gateway.
func (g *Gateways) Endpoint(i int) string { return "http://" + g.addrs[i] }

// Balancer is an address behind which a gateway answers, as long as one runs.
// A connection stays with its gateway.
func (g *Gateways) Balancer() string { return "http://" + g.balancer.addr() }

// Restart starts a gateway that was killed, at the address that it had.
func (g *Gateways) Restart(ctx context.Context, i int) error {
	log := filepath.Join(g.dir, fmt.Sprintf("gateway%d.log", i))
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(g.program, "--port", g.addrs[i], "--quiet", "posix", g.Folder())
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	cmd.Stdout, cmd.Stderr = out, out
	p, err := startProcess(cmd)
	if err != nil {
		return err
	}
	if err := p.listens(ctx, g.addrs[i]); err != nil {
		p.kill()
		text, _ := os.ReadFile(log)
		return fmt.Errorf("%s: %w\n%s", g.program, err, text)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[i] = p
	return nil
}

// listens waits until the gateway takes connections.
func (p *process) listens(ctx context.Context, addr string) error {
	deadline := time.After(patience)
	for {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-p.done:
			return errors.New("it ended at once")
		case <-deadline:
			return errors.New("it does not listen on " + addr)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// process is a gateway that runs.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed: it has ended
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd, make(chan struct{})}
	go func() {
		cmd.Wait() // it was killed: that is no news
		close(p.done)
	}()
	return p, nil
}

// kill ends it, and returns when it has ended.
func (p *process) kill() {
	p.cmd.Process.Kill() // it fails where the process has ended
	<-p.done
}

// Kill ends a gateway with SIGKILL, and returns when it has ended. It does
// nothing to one that does not run.
func (g *Gateways) Kill(i int) {
	g.mu.Lock()
	p := g.running[i]
	g.running[i] = nil
	g.mu.Unlock()
	if p != nil {
		p.kill()
	}
}

// Stop has a gateway stand still, until Continue or Kill. Connections to it
// are taken, and not answered.
func (g *Gateways) Stop(i int) error { return g.signal(i, syscall.SIGSTOP) }

// Continue is the end of Stop.
func (g *Gateways) Continue(i int) error { return g.signal(i, syscall.SIGCONT) }

func (g *Gateways) signal(i int, s syscall.Signal) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running[i] == nil {
		return fmt.Errorf("gateway %d does not run", i)
	}
	return g.running[i].cmd.Process.Signal(s)
}

// up gives the addresses of the gateways that run.
func (g *Gateways) up() (addrs []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, p := range g.running {
		if p != nil {
			addrs = append(addrs, g.addrs[i])
		}
	}
	return addrs
}

// Close ends all.
func (g *Gateways) Close() {
	if g.balancer != nil {
		g.balancer.close()
	}
	for i := range g.running {
		g.Kill(i)
	}
}

// Keys gives the keys of a bucket, in order, as the files are: nothing is
// asked of the gateways.
func (g *Gateways) Keys(bucket string) (keys []string, err error) {
	root := filepath.Join(g.Folder(), bucket)
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil // it went meanwhile
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".sgwtmp"):
			return filepath.SkipDir // what is being written
		case strings.Contains(d.Name(), ".sgwtmp."): // what was, when a gateway was killed
		case d.Type().IsRegular():
			keys = append(keys, filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator))))
		}
		return nil
	})
	slices.Sort(keys)
	return keys, err
}
