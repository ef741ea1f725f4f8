package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// haproxyConf has nodes take turns, and gateways too: each request of a node
// may go through another one. A node counts as down when it does not greet,
// which one that is stopped does not.
const haproxyConf = `global
	stats socket %[1]s/haproxy.sock mode 600 level admin
	maxconn 4000
	nbthread 1
defaults
	mode tcp
	balance roundrobin
	retries 3
	option redispatch
	timeout connect 2s
	timeout client 10m
	timeout server 10m
	timeout check 2s
	default-server inter 500ms fall 2 rise 1
listen lmtp
	bind %[2]s
	option tcp-check
	tcp-check expect rstring ^220
	tcp-check send QUIT\r\n
%[5]s
listen pop3
	bind %[3]s
	option tcp-check
	tcp-check expect rstring ^.OK
	tcp-check send QUIT\r\n
%[6]s
listen s3
	bind %[4]s
	mode http
	option http-keep-alive
	http-reuse safe
	timeout http-keep-alive 2m
	option httpchk GET /
%[7]s`

// balancer is HAProxy, in front of the nodes, and between them and the
// gateways.
type balancer struct {
	*process
	lmtp, pop3, s3 string // addresses
}

func startBalancer(ctx context.Context, dir string, nodes []*Node, gateways []string) (*balancer, error) {
	addrs, err := freeAddrs(3)
	if err != nil {
		return nil, err
	}
	b := &balancer{lmtp: addrs[0], pop3: addrs[1], s3: addrs[2]}
	var lmtp, pop3, s3 strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&lmtp, "\tserver %s %s check\n", n.name, n.lmtp)
		fmt.Fprintf(&pop3, "\tserver %s %s send-proxy-v2 check check-send-proxy\n", n.name, n.pop3)
	}
	for i, addr := range gateways {
		fmt.Fprintf(&s3, "\tserver gateway%d %s check\n", i, addr)
	}
	conf := filepath.Join(dir, "haproxy.cfg")
	text := fmt.Appendf(nil, haproxyConf, dir, b.lmtp, b.pop3, b.s3, &lmtp, &pop3, &s3)
	if err := os.WriteFile(conf, text, 0o600); err != nil {
		return nil, err
	}
	if b.process, err = start(dir, "haproxy", "haproxy", "-db", "-f", conf); err != nil {
		return nil, err
	}
	err = b.await(ctx, "HAProxy does not listen", func(ctx context.Context) bool { return listens(ctx, b.lmtp, b.pop3, b.s3) })
	if err != nil {
		b.kill()
		return nil, err
	}
	return b, nil
}

// listens tells whether all addresses take connections.
func listens(ctx context.Context, addrs ...string) bool {
	for _, addr := range addrs {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return false
		}
		conn.Close()
	}
	return true
}

// Ports that the kernel gives to nobody who connects, by its default: a piece
// that was killed must find its own free again.
const lowestPort, highestPort = 20000, 32000

// freeAddrs gives addresses on the loopback that are free now. Whoever takes
// one meanwhile makes the start fail.
func freeAddrs(count int) (addrs []string, err error) {
	for tries := 0; len(addrs) < count; tries++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", lowestPort+rand.IntN(highestPort-lowestPort)))
		if err != nil && tries < 10*count {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer l.Close() // at the end: all are different
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}
