package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const poplinToml = `state = "%[1]s/state"
hostname = "%[2]s"
[pop3]
listen = ["%[3]s"]
require_tls = false
apop = true # the greeting says which node it is
[pop3s]
listen = []
[lmtp]
listen = ["%[4]s"]
[proxy]
trusted = ["127.0.0.1/32"]
[console]
listen = ["%[5]s"]
[limits]
sessions_per_address = 1000
sessions_per_network = 1000
sessions_per_user = 100
[users]
file = "%[6]s"
[maildrops]
store = "bucket"
[maildrops.bucket]
endpoints = [%[7]s]
access_key = "%[8]s"
secret_key = "%[9]s"
buckets = %[10]d
lease = "%[11]v"
economy = %[12]t
`

// Node is a `poplin serve`.
type Node struct {
	program, dir, name  string
	pop3, lmtp, console string // addresses
	conf                string
	shared              string // folder of the cluster
	process             *process
}

// newNode writes the configuration of a node.
func newNode(opts *Options, i int, endpoints []string) (*Node, error) {
	n := &Node{program: opts.Poplin, name: fmt.Sprint("node", i+1), shared: opts.Dir}
	n.dir = filepath.Join(opts.Dir, n.name)
	n.conf = filepath.Join(n.dir, "poplin.toml")
	addrs, err := freeAddrs(3)
	if err != nil {
		return nil, err
	}
	n.pop3, n.lmtp, n.console = addrs[0], addrs[1], addrs[2]
	return n, errors.Join(os.MkdirAll(n.dir, 0o700), n.configure(opts, endpoints))
}

// configure writes the configuration, with these endpoints of the store.
func (n *Node) configure(opts *Options, endpoints []string) error {
	var quoted []string
	for _, addr := range endpoints {
		quoted = append(quoted, fmt.Sprintf("%q", "http://"+addr))
	}
	return os.WriteFile(n.conf, fmt.Appendf(nil, poplinToml, n.dir, n.name, n.pop3, n.lmtp, n.console, usersFile(opts.Dir),
		strings.Join(quoted, ", "), accessKey, secretKey, opts.Buckets, opts.Lease, opts.Economy), 0o600)
}

// Name is what the greetings of the node hold.
func (n *Node) Name() string { return n.name }

// Console is the address of its metrics.
func (n *Node) Console() string { return n.console }

// Start starts the node and waits until it serves: it listens before that, and
// then tries the store out.
func (n *Node) Start(ctx context.Context) (err error) {
	if n.process, err = start(n.shared, n.name, n.program, "serve", "--config", n.conf); err != nil {
		return err
	}
	return n.process.await(ctx, n.name+" does not serve", func(ctx context.Context) bool { return answers(ctx, "http://"+n.console+"/healthz") })
}

// Kill ends the node with SIGKILL.
func (n *Node) Kill() {
	if n.process != nil {
		n.process.kill()
	}
}

// Stop ends the node as an operator would.
func (n *Node) Stop() {
	if n.process == nil {
		return
	}
	n.process.signal(syscall.SIGTERM)
	select {
	case <-n.process.done:
	case <-time.After(10 * time.Second):
		n.process.kill()
	}
}

// Pause stops the node with SIGSTOP; Continue has it go on.
func (n *Node) Pause()    { n.process.signal(syscall.SIGSTOP) }
func (n *Node) Continue() { n.process.signal(syscall.SIGCONT) }

// Ended says why a node has ended that nobody killed. Nil: it runs.
func (n *Node) Ended() error {
	if n.process == nil || !n.process.ended() {
		return nil
	}
	return n.process.trouble("has ended")
}
