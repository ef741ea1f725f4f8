package proxyproto

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const v1 = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 995\r\n"

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// v2 makes a header of version 2, with TLVs as they stand.
func v2(command, family byte, rest string) string {
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{command, family, byte(len(rest) >> 8), byte(len(rest))}) + rest
}

const (
	v4addrs = "\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x67\x03\xe3" // 192.0.2.7:4711 to 198.51.100.1:995
	overTLS = "\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3"
)

// buffer holds a log.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// listen starts a listener that trusts those networks.
func listen(t *testing.T, timeout time.Duration, trusted ...netip.Prefix) (l net.Listener, log *buffer) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log = &buffer{}
	l = Listener(inner, trusted, timeout, slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(func() {
		l.Close()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	})
	return l, log
}

// accept gives the next connection.
func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	patience := time.AfterFunc(time.Minute, func() { l.Close() })
	defer patience.Stop()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func dial(t *testing.T, l net.Listener, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestHeaders(t *testing.T) {
	const balancer = "127.0.0.1"
	for name, c := range map[string]struct {
		header, want string
		secure       bool
	}{
		"v1":           {v1, "192.0.2.7", false},
		"v1 IPv6":      {"PROXY TCP6 2001:db8::7 2001:db8::1 4711 995\r\n", "2001:db8::7", false},
		"v1 unknown":   {"PROXY UNKNOWN\r\n", balancer, false},
		"v1 unknown +": {"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", balancer, false},
		"v2":           {v2(0x21, 0x11, v4addrs), "192.0.2.7", false},
		"v2 over TLS":  {v2(0x21, 0x11, v4addrs+overTLS), "192.0.2.7", true},
		"v2 not TLS":   {v2(0x21, 0x11, v4addrs+"\x20\x00\x05\x00\x00\x00\x00\x01"), "192.0.2.7", false},
		"v2 other TLV": {v2(0x21, 0x11, v4addrs+"\x04\x00\x02xx\xe0\x00\x01x"), "192.0.2.7", false},
		"v2 local":     {v2(0x20, 0x00, ""), balancer, false},
		"v2 local TLS": {v2(0x20, 0x00, overTLS), balancer, false},
		"v2 unix":      {v2(0x21, 0x31, strings.Repeat("\x00", 216)), balancer, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := listen(t, time.Minute, loopback)
			client := dial(t, l, c.header+"QUIT\r\n")
			conn := accept(t, l)
			if ip := conn.RemoteAddr().(*net.TCPAddr).IP.String(); ip != c.want {
				t.Errorf("address %s, want %s", ip, c.want)
			}
			if got := conn.(interface{ SecureTransport() bool }).SecureTransport(); got != c.secure {
				t.Errorf("SecureTransport %v", got)
			}
			rest := make([]byte, 6)
			if _, err := io.ReadFull(conn, rest); err != nil || string(rest) != "QUIT\r\n" {
				t.Errorf("behind the header: %q, %v", rest, err)
			}
			keep := conn.(interface {
				SetKeepAliveConfig(net.KeepAliveConfig) error
			})
			if err := keep.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}); err != nil {
				t.Error(err)
			}
			if err := conn.(interface{ SetLinger(int) error }).SetLinger(-1); err != nil {
				t.Error(err)
			}
			if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Error(err)
			}
			if n, err := client.Read(rest); n != 0 || err != io.EOF {
				t.Errorf("after CloseWrite the client reads %d, %v", n, err)
			}
		})
	}
}

// TestHeaderInPieces: the network may split a header anywhere.
func TestHeaderInPieces(t *testing.T) {
	for _, header := range []string{v1, v2(0x21, 0x11, v4addrs)} {
		l, _ := listen(t, time.Minute, loopback)
		client := dial(t, l, header[:1])
		for i := range header[1:] {
			time.Sleep(time.Millisecond)
			if _, err := io.WriteString(client, header[1+i:2+i]); err != nil {
				t.Fatal(err)
			}
		}
		if got := accept(t, l).RemoteAddr().String(); got != "192.0.2.7:4711" {
			t.Errorf("accepted %s", got)
		}
	}
}

// TestWrongHeaders: each is closed, and the next connection comes through.
func TestWrongHeaders(t *testing.T) {
	for name, header := range map[string]string{
		"none":             "USER anna\r\n",
		"TLS hello":        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"v1 endless":       "PROXY TCP4 " + strings.Repeat("1", 500),
		"v1 no address":    "PROXY TCP4\r\n",
		"v1 bad address":   "PROXY TCP4 999.0.2.7 198.51.100.1 4711 995\r\n",
		"v1 bad port":      "PROXY TCP4 192.0.2.7 198.51.100.1 70000 995\r\n",
		"v1 mixed":         "PROXY TCP4 2001:db8::7 198.51.100.1 4711 995\r\n",
		"v1 bare LF":       "PROXY TCP4 192.0.2.7 198.51.100.1 4711 995\n",
		"v1 nobody":        "PROXY TCP4 0.0.0.0 198.51.100.1 4711 995\r\n",
		"v2 version 3":     v2(0x31, 0x11, v4addrs),
		"v2 command":       v2(0x2f, 0x11, v4addrs),
		"v2 family":        v2(0x21, 0x13, v4addrs),
		"v2 UDP":           v2(0x21, 0x12, v4addrs),
		"v2 short":         v2(0x21, 0x11, v4addrs[:8]),
		"v2 multicast":     v2(0x21, 0x11, "\xe0\x00\x00\x01"+v4addrs[4:]),
		"v2 oversized":     v2(0x21, 0x11, v4addrs+strings.Repeat("x", 60_000)),
		"v2 junk":          v2(0x21, 0x11, v4addrs+"\x20\xff\xff"),
		"v2 half a TLV":    v2(0x21, 0x11, v4addrs+"\x20\x00"),
		"v2 SSL too short": v2(0x21, 0x11, v4addrs+"\x20\x00\x01\x01"),
	} {
		t.Run(name, func(t *testing.T) {
			l, log := listen(t, time.Minute, loopback)
			wrong := dial(t, l, header)
			if n, err := wrong.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("not closed: %d, %v", n, err)
			}
			dial(t, l, v1)
			conn := accept(t, l)
			if got := conn.RemoteAddr().String(); got != "192.0.2.7:4711" {
				t.Errorf("accepted %s", got)
			}
			if !strings.Contains(log.String(), "no valid PROXY header") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// TestSilence: those who send no header, or half of one, hold up nobody and
// are closed after the time for it.
func TestSilence(t *testing.T) {
	l, _ := listen(t, 300*time.Millisecond, loopback)
	silent, half := dial(t, l, ""), dial(t, l, v2(0x21, 0x11, v4addrs)[:20])
	dial(t, l, v1)
	conn := accept(t, l)
	conn.Close()
	for _, c := range []net.Conn{silent, half} {
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("not closed: %d, %v", n, err)
		}
	}
}

// TestUntrusted: to others a header is input.
func TestUntrusted(t *testing.T) {
	l, _ := listen(t, time.Minute, netip.MustParsePrefix("192.0.2.0/24"))
	client := dial(t, l, v1)
	conn := accept(t, l)
	if got, want := conn.RemoteAddr().String(), client.LocalAddr().String(); got != want {
		t.Errorf("address %s, want %s", got, want)
	}
	line := make([]byte, len(v1))
	if _, err := io.ReadFull(conn, line); err != nil || string(line) != v1 {
		t.Errorf("read %q, %v", line, err)
	}
}

// TestCloseLosesNone: a connection whose header comes after Close is given.
func TestCloseLosesNone(t *testing.T) {
	l, _ := listen(t, time.Minute, loopback)
	late := dial(t, l, v1[:5])
	first := dial(t, l, v1)
	conn := accept(t, l)
	conn.Close()
	first.Close()
	l.Close()
	if _, err := late.Write([]byte(v1[5:])); err != nil {
		t.Fatal(err)
	}
	accept(t, l)
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after the last: %v", err)
	}
}

// reader is a connection that gives fixed octets.
type reader struct {
	net.Conn
	io.Reader
}

func (r reader) Read(b []byte) (int, error) { return r.Reader.Read(b) }
func (reader) RemoteAddr() net.Addr         { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// FuzzRead: whatever comes, reading it ends, takes no more than a header, and
// what it accepts has an address.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{v1, v2(0x21, 0x11, v4addrs+overTLS), v2(0x20, 0, ""), "PROXY UNKNOWN\r\n", "USER x\r\n",
		v2(0x21, 0x21, strings.Repeat("\x20\x01", 18)), v2(0x21, 0x31, strings.Repeat("u", 216))} {
		f.Add([]byte(seed))
		f.Add([]byte(seed + "STAT\r\n"))
		f.Add([]byte(seed[:len(seed)-1]))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := read(reader{Reader: bytes.NewReader(data)})
		if err != nil {
			return
		}
		addr, ok := c.RemoteAddr().(*net.TCPAddr)
		if !ok || addr.IP.To16() == nil || addr.IP.IsUnspecified() {
			t.Errorf("address %v", c.RemoteAddr())
		}
		rest, err := io.ReadAll(struct{ io.Reader }{c})
		if err != nil || !bytes.HasSuffix(data, rest) || len(data)-len(rest) < len("PROXY UNKNOWN\r\n") || len(data)-len(rest) > 16+int(proxyproto.MaxV2HeaderSize) {
			t.Errorf("of %d octets %d are left, %v", len(data), len(rest), err)
		}
	})
}
