// Package cluster runs, in one folder and on the loopback, a Ceph of three
// OSDs and two gateways, any number of `poplin serve` that keep maildrops in
// it, and HAProxy in front of both. Begin with Start.
package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/s3"
)

// Options say what a Cluster is. Poplin and Dir must be set.
type Options struct {
	Poplin  string // path of the program
	Dir     string // folder, absolute, with a path short enough for the names of sockets
	Nodes   int
	Users   []string
	Buckets int
	Lease   time.Duration
	Economy bool

	// Direct has each node use one gateway, in place of a balancer of them.
	Direct bool

	Say func(string) // what is under way; nil: nobody hears
}

// Password of all users.
const Password = "pass word"

// Cluster is all of it, while it runs.
type Cluster struct {
	opts     Options
	ceph     *ceph
	balancer *balancer
	Nodes    []*Node
}

// Start starts a new cluster, makes buckets and checks them, by the commands
// that an operator uses. Nodes are not started yet.
func Start(ctx context.Context, opts Options) (_ *Cluster, err error) {
	if opts.Say == nil {
		opts.Say = func(string) {}
	}
	if err := os.Mkdir(filepath.Join(opts.Dir, "log"), 0o700); err != nil {
		return nil, err
	}
	var users strings.Builder
	for _, name := range opts.Users {
		fmt.Fprintf(&users, "%s:{PLAIN}%s\n", name, Password)
	}
	if err := os.WriteFile(usersFile(opts.Dir), []byte(users.String()), 0o600); err != nil {
		return nil, err
	}
	c := &Cluster{opts: opts}
	defer func() {
		if err != nil {
			c.Kill()
		}
	}()
	if c.ceph, err = startCeph(ctx, opts.Dir, opts.Say); err != nil {
		return nil, err
	}
	for i := range opts.Nodes {
		n, err := newNode(&opts, i, nil)
		if err != nil {
			return nil, err
		}
		c.Nodes = append(c.Nodes, n)
	}
	if c.balancer, err = startBalancer(ctx, opts.Dir, c.Nodes, c.ceph.gateways); err != nil {
		return nil, err
	}
	for i, n := range c.Nodes {
		if err := n.configure(&opts, c.endpoints(i)); err != nil {
			return nil, err
		}
	}
	opts.Say("poplin bucket init, check")
	for _, command := range []string{"init", "check"} {
		if _, err := run(ctx, opts.Poplin, "bucket", command, "--config", c.Nodes[0].conf); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// StartNodes starts all nodes, at the same time.
func (c *Cluster) StartNodes(ctx context.Context) error {
	errs := make([]error, len(c.Nodes))
	var all sync.WaitGroup
	for i, n := range c.Nodes {
		all.Go(func() { errs[i] = n.Start(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Use has HAProxy give sessions to the first nodes only.
func (c *Cluster) Use(nodes int) error {
	conn, err := net.Dial("unix", filepath.Join(c.opts.Dir, "haproxy.sock"))
	if err != nil {
		return err
	}
	defer conn.Close()
	var commands []string
	for i, n := range c.Nodes {
		weight := 0
		if i < nodes {
			weight = 1
		}
		commands = append(commands, fmt.Sprintf("set weight pop3/%s %d", n.name, weight))
	}
	if _, err := fmt.Fprintln(conn, strings.Join(commands, ";")); err != nil {
		return err
	}
	said, err := io.ReadAll(conn)
	if err == nil && len(bytes.TrimSpace(said)) > 0 {
		err = fmt.Errorf("HAProxy says %q", said)
	}
	return err
}

func usersFile(dir string) string { return filepath.Join(dir, "users") }

// endpoints gives those of a node, the one that mail goes through first.
func (c *Cluster) endpoints(node int) []string {
	g := c.ceph.gateways
	if c.opts.Direct {
		return []string{g[node%len(g)], g[(node+1)%len(g)]}
	}
	return append([]string{c.balancer.s3}, g...)
}

// Kill ends everything. What it kept is lost with it.
func (c *Cluster) Kill() {
	for _, n := range c.Nodes {
		n.Kill()
	}
	if c.balancer != nil {
		c.balancer.kill()
	}
	if c.ceph != nil {
		c.ceph.kill()
	}
}

// LMTP and POP3 are the addresses of the balancer.
func (c *Cluster) LMTP() string { return c.balancer.lmtp }
func (c *Cluster) POP3() string { return c.balancer.pop3 }

// Engine asks the store as a node does.
func (c *Cluster) Engine(node int) (*s3.Engine, error) {
	return s3.New(s3.Options{Endpoint: "http://" + c.endpoints(node)[0], AccessKey: accessKey, SecretKey: secretKey})
}

// Buckets gives their names.
func (c *Cluster) Buckets() []string { return bucket.Buckets("mail", c.opts.Buckets) }

// Piece is a part of the store that can be killed and started again.
type Piece struct {
	Name  string
	Kill  func()
	Start func(context.Context) error // returns when all is as before
}

// OSDs and Gateways give the pieces of the store.
func (c *Cluster) OSDs() (all []Piece) {
	for i := range c.ceph.osd {
		all = append(all, Piece{fmt.Sprint("osd.", i), func() { c.ceph.osd[i].kill() }, func(ctx context.Context) error {
			if err := c.ceph.startOSD(i); err != nil {
				return err
			}
			return c.ceph.healthy(ctx)
		}})
	}
	return all
}

func (c *Cluster) Gateways() (all []Piece) {
	for i := range c.ceph.gateway {
		all = append(all, Piece{fmt.Sprint("gateway ", i), func() { c.ceph.gateway[i].kill() }, func(ctx context.Context) error {
			return c.ceph.startGateway(ctx, i)
		}})
	}
	return all
}

// Ended says what has ended of what nobody may kill, and why.
func (c *Cluster) Ended() error {
	var errs []error
	for _, p := range []*process{c.ceph.monitor, c.ceph.manager, c.balancer.process} {
		if p.ended() {
			errs = append(errs, p.trouble("has ended"))
		}
	}
	return errors.Join(errs...)
}

// Versions gives those of Ceph and HAProxy.
func Versions(ctx context.Context) (string, error) {
	var all []string
	for _, program := range []string{"ceph-osd", "haproxy"} {
		args := map[string]string{"ceph-osd": "--version", "haproxy": "-v"}
		out, err := run(ctx, program, args[program])
		if err != nil {
			return "", err
		}
		words := strings.Fields(string(out))
		for i, word := range words {
			if word == "version" && i+1 < len(words) {
				all = append(all, strings.TrimSuffix(program, "-osd")+" "+words[i+1])
				break
			}
		}
	}
	return strings.Join(all, ", "), nil
}
