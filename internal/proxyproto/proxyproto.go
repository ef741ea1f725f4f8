// Package proxyproto takes connections from balancers that begin with a PROXY
// header, version 1 or 2, and gives them the address of the client that the
// header names. The specification is HAProxy's proxy-protocol.txt.
//
// Only networks that are trusted are asked for a header. To everybody else it
// is input like any other, which no protocol behind it understands: nobody
// can choose his own address.
package proxyproto

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

// maxReading bounds the connections whose header has not come yet. A balancer
// sends it with its first segment, so that few wait at any time.
const maxReading = 1024

// Listener gives the connections of l, those from trusted networks with the
// client's address. Such a connection must send its header within timeout,
// and is closed and logged where that is missing or wrong; meanwhile it does
// not hold up others.
//
// Close closes l. Accept goes on to give the connections whose header was
// being read, and fails after them, so that closing loses none: call it until
// it fails.
func Listener(l net.Listener, trusted []netip.Prefix, timeout time.Duration, logger *slog.Logger) net.Listener {
	p := &listener{Listener: l, trusted: trusted, timeout: timeout, log: logger,
		accepted: make(chan result), reading: make(chan struct{}, maxReading)}
	go p.accept()
	return p
}

type listener struct {
	net.Listener
	trusted []netip.Prefix
	timeout time.Duration
	log     *slog.Logger

	accepted chan result
	reading  chan struct{} // holds one for each header being read
	readers  sync.WaitGroup
}

// result is what Accept returns.
type result struct {
	conn net.Conn
	err  error
}

// Accept implements net.Listener.
func (p *listener) Accept() (net.Conn, error) {
	r, ok := <-p.accepted
	if !ok {
		return nil, net.ErrClosed
	}
	return r.conn, r.err
}

// accept accepts until the listener fails for good.
func (p *listener) accept() {
	defer close(p.accepted)
	defer p.readers.Wait()
	for {
		conn, err := p.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			p.accepted <- result{err: err}
		case !p.trusts(conn.RemoteAddr()):
			p.accepted <- result{conn: conn}
		default:
			p.receive(conn)
		}
	}
}

// trusts reports whether a header is expected from addr.
func (p *listener) trusts(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return false
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, network := range p.trusted {
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

// receive reads the header of conn in the background.
func (p *listener) receive(conn net.Conn) {
	select {
	case p.reading <- struct{}{}:
	default:
		p.refuse(conn, errors.New("too many connections whose header has not come yet"))
		return
	}
	p.readers.Go(func() {
		wrapped, err := p.header(conn)
		<-p.reading
		if err != nil {
			p.refuse(conn, err)
			return
		}
		p.accepted <- result{conn: wrapped}
	})
}

func (p *listener) refuse(conn net.Conn, err error) {
	p.log.Warn("connection of a balancer closed: no valid PROXY header came", "balancer", conn.RemoteAddr().String(), "error", err)
	conn.Close()
}

// header reads the header of conn within the time for it.
func (p *listener) header(conn net.Conn) (net.Conn, error) {
	if err := conn.SetReadDeadline(time.Now().Add(p.timeout)); err != nil {
		return nil, err
	}
	wrapped, err := read(conn)
	if err != nil {
		return nil, err
	}
	return wrapped, conn.SetReadDeadline(time.Time{})
}

// read reads the header that conn begins with.
func read(c net.Conn) (*conn, error) {
	r := bufio.NewReader(c)
	awaitLine(r)
	h, err := proxyproto.Read(r)
	if err != nil {
		return nil, err
	}
	wrapped := &conn{Conn: c, remote: c.RemoteAddr()}
	if wrapped.secure, err = secure(h); err != nil {
		return nil, err
	}
	if addr, err := client(h); err != nil {
		return nil, err
	} else if addr != nil {
		wrapped.remote = addr
	}
	if n := r.Buffered(); n > 0 { // what came with the header
		wrapped.early, _ = r.Peek(n) // n octets are there
	}
	return wrapped, nil
}

// maxLine is the longest header of version 1, CRLF included.
const maxLine = 107

// awaitLine reads until a header of version 1 is there whole, or cannot be
// one: the library wants it in one segment, which is the rule, but the network
// may have split it. What goes wrong the library meets again, and tells.
func awaitLine(r *bufio.Reader) {
	for n := 1; n <= maxLine; n = r.Buffered() + 1 {
		if _, err := r.Peek(n); err != nil {
			return
		}
		got, _ := r.Peek(r.Buffered()) // which are there
		if m := min(len(got), len(signature)); string(got[:m]) != signature[:m] || bytes.IndexByte(got, '\n') >= 0 {
			return
		}
	}
}

const signature = "PROXY" // of version 1

// client gives the address that the header names, nil where it names none:
// the balancer speaks for itself (LOCAL, UNKNOWN) or for a local client.
func client(h *proxyproto.Header) (net.Addr, error) {
	if h.Command.IsLocal() || h.TransportProtocol == proxyproto.UnixStream {
		return nil, nil
	}
	addr, _, ok := h.TCPAddrs()
	if !ok {
		return nil, fmt.Errorf("the header is of a connection that is not TCP: %v", h.SourceAddr)
	}
	if addr.IP.IsUnspecified() || addr.IP.IsMulticast() {
		return nil, fmt.Errorf("%v is no client's address", addr.IP)
	}
	return addr, nil
}

// secure reports whether the client came to the balancer over TLS.
func secure(h *proxyproto.Header) (bool, error) {
	tlvs, err := h.TLVs()
	if err != nil || h.Command.IsLocal() {
		return false, err
	}
	for _, tlv := range tlvs {
		if tlv.Type != proxyproto.PP2_TYPE_SSL {
			continue
		}
		ssl, err := tlvparse.SSL(tlv)
		if err != nil {
			return false, err
		}
		return ssl.ClientSSL(), nil
	}
	return false, nil
}

// conn is a connection behind its header.
type conn struct {
	net.Conn
	remote net.Addr
	secure bool
	early  []byte // came with the header, not read yet
}

// RemoteAddr gives the client's address.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SecureTransport reports whether the balancer said that the client came to
// it over TLS (PP2_TYPE_SSL). It is as true as the balancer is trusted.
func (c *conn) SecureTransport() bool { return c.secure }

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		if c.early = c.early[n:]; len(c.early) == 0 {
			c.early = nil // with the header's buffer
		}
		return n, nil
	}
	return c.Conn.Read(b)
}

// CloseWrite says to the client that nothing more will be sent.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// SetLinger says what becomes of octets that are not sent at Close.
func (c *conn) SetLinger(seconds int) error {
	linger, ok := c.Conn.(interface{ SetLinger(seconds int) error })
	if !ok {
		return errors.ErrUnsupported
	}
	return linger.SetLinger(seconds)
}

// SetKeepAliveConfig sets the keep-alives of the connection to the balancer.
func (c *conn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	alive, ok := c.Conn.(interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	})
	if !ok {
		return errors.ErrUnsupported
	}
	return alive.SetKeepAliveConfig(config)
}
