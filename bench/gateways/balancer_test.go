package gateways

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// backend answers each connection with its name, and then what it is sent.
func backend(t *testing.T, name string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.WriteString(conn, name)
				io.Copy(conn, conn)
			}()
		}
	}()
	return l
}

// ask connects and gives the name that answers, empty where none does.
func ask(t *testing.T, b *balancer) (string, net.Conn) {
	t.Helper()
	conn, err := net.Dial("tcp", b.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	name := make([]byte, 1)
	n, _ := io.ReadFull(conn, name)
	return string(name[:n]), conn
}

// TestBalancer: connections are given to all in turn, to those that take them
// otherwise, and to nobody where there is none.
func TestBalancer(t *testing.T) {
	first, second := backend(t, "1"), backend(t, "2")
	var up atomic.Pointer[[]string]
	up.Store(&[]string{first.Addr().String(), second.Addr().String()})
	b, err := newBalancer(func() []string { return *up.Load() })
	if err != nil {
		t.Fatal(err)
	}
	asked := make(map[string]int)
	for range 6 {
		name, conn := ask(t, b)
		asked[name]++
		if _, err := io.WriteString(conn, "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Errorf("what is sent to %q does not come back: %v", name, err)
		}
	}
	if asked["1"] != 3 || asked["2"] != 3 {
		t.Errorf("asked are %v, want each three times", asked)
	}
	first.Close()
	for range 4 {
		if name, _ := ask(t, b); name != "2" {
			t.Errorf("%q answers, want the one that is there", name)
		}
	}
	_, open := ask(t, b)
	up.Store(&[]string{})
	if name, _ := ask(t, b); name != "" {
		t.Errorf("%q answers, and there is nobody", name)
	}
	b.close() // and the connections with it
	if _, err := open.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlives its balancer")
	}
}
