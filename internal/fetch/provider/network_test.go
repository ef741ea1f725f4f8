package provider

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/pop3test"
)

// zone is a resolver that knows these records. Names have their final dot.
type zone struct {
	srv   map[string][]*net.SRV // "_pop3s._tcp.example."
	mx    map[string][]*net.MX
	err   error // for what is not there; nil stands for "no such name"
	hang  bool
	asked []string
	mu    sync.Mutex
}

func (z *zone) missing(ctx context.Context, name string) error {
	z.mu.Lock()
	z.asked = append(z.asked, name)
	z.mu.Unlock()
	if z.hang {
		<-ctx.Done()
		return &net.DNSError{Err: "timed out", Name: name, IsTimeout: true}
	}
	if z.err != nil {
		return z.err
	}
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (z *zone) LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
	name = "_" + service + "._" + proto + "." + name
	if records := z.srv[name]; records != nil {
		return name, records, nil
	}
	return "", nil, z.missing(ctx, name)
}

func (z *zone) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	if records := z.mx[name]; records != nil {
		return records, nil
	}
	return nil, z.missing(ctx, name)
}

// host is a server at one port of the network below.
type host struct {
	implicit bool   // TLS from the first octet
	silent   bool   // it never says a word
	trickles bool   // it says an octet every five seconds
	foreign  string // it says this, and it is no POP3
	greeting string
	capa     []string // nil: it does not know the command
	noSTLS   bool
}

// network is a dialer to servers in memory, by host and port. Their
// certificate is good for pop.example alone.
type network struct {
	hosts    map[string]host
	mu       sync.Mutex
	dialled  []string
	commands []string
	open     int
	most     int // connections at the same time
	wg       sync.WaitGroup
}

func (n *network) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.dialled = append(n.dialled, addr)
	h, ok := n.hosts[addr]
	if ok {
		n.open++
		n.most = max(n.most, n.open)
	}
	n.mu.Unlock()
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	client, server, err := pair(ctx, h.silent || h.trickles)
	if err != nil {
		return nil, err
	}
	n.wg.Go(func() {
		defer server.Close()
		n.serve(server, h)
	})
	return &counted{Conn: client, closed: sync.OnceFunc(func() {
		n.mu.Lock()
		n.open--
		n.mu.Unlock()
	})}, nil
}

// counted is the client's end of a connection.
type counted struct {
	net.Conn
	closed func()
}

func (c *counted) Close() error {
	c.closed()
	return c.Conn.Close()
}

// pair makes a connection. One in memory is for a bubble of time; it holds
// nothing that is under way, and so two sides that write at once stop it.
func pair(ctx context.Context, inMemory bool) (client, server net.Conn, err error) {
	if inMemory {
		client, server = net.Pipe()
		return client, server, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if client, err = new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String()); err == nil {
		server, err = l.Accept()
	}
	return client, server, err
}

func (n *network) serve(conn net.Conn, h host) {
	config, _ := pop3test.TLSConfigs()
	if h.silent {
		io.Copy(io.Discard, conn)
		return
	}
	if h.trickles {
		gone := make(chan struct{})
		n.wg.Go(func() { defer close(gone); io.Copy(io.Discard, conn) })
		for {
			io.WriteString(conn, "+")
			select {
			case <-time.After(5 * time.Second):
			case <-gone:
				return
			}
		}
	}
	if h.foreign != "" {
		io.WriteString(conn, h.foreign)
		io.Copy(io.Discard, conn)
		return
	}
	if h.implicit {
		conn = tls.Server(conn, config)
	}
	if h.greeting == "" {
		h.greeting = "+OK ready"
	}
	say := func(lines ...string) { io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n") }
	say(h.greeting)
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		n.mu.Lock()
		n.commands = append(n.commands, lines.Text())
		n.mu.Unlock()
		switch lines.Text() {
		case "STLS":
			if h.noSTLS {
				say("-ERR no")
				continue
			}
			say("+OK")
			conn = tls.Server(conn, config)
			lines = bufio.NewScanner(conn)
		case "CAPA":
			if h.capa == nil {
				say("-ERR what")
				continue
			}
			say("+OK")
			say(append(slices.Clone(h.capa), ".")...)
		case "QUIT":
			say("+OK")
			return
		default:
			say("-ERR what")
		}
	}
}
