package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
)

// client is the other end, which knows nothing of the constants of this one.
type client struct {
	*testing.T
	net.Conn
}

func (c client) send(values ...any) {
	c.Helper()
	var octets []byte
	for _, v := range values {
		var err error
		if octets, err = binary.Append(octets, binary.BigEndian, v); err != nil {
			c.Fatal(err)
		}
	}
	if _, err := c.Write(octets); err != nil {
		c.Fatal(err)
	}
}

func (c client) want(what string, octets string) {
	c.Helper()
	got := make([]byte, len(octets))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != octets {
		c.Fatalf("%s: got %q, want %q, error %v", what, got, octets, err)
	}
}

// request sends a request and wants its reply.
func (c client) request(command uint16, offset uint64, size uint32, data string, fault byte, want string) {
	c.Helper()
	c.send(uint32(0x25609513), uint16(0), command, uint64(0x0102030405060708), offset, size, []byte(data))
	c.want(fmt.Sprintf("command %d at %d", command, offset), "\x67\x44\x66\x98\x00\x00\x00"+string(fault)+"\x01\x02\x03\x04\x05\x06\x07\x08"+want)
}

func TestServe(t *testing.T) {
	l := NewLog(bytes.Repeat([]byte("."), 4096))
	ours, theirs := net.Pipe()
	ended := make(chan error)
	go func() { ended <- l.serve(theirs) }()
	c := client{t, ours}
	c.want("greeting", "NBDMAGICIHAVEOPT\x00\x03")
	c.send(uint32(3))
	c.send([]byte("IHAVEOPT"), uint32(8), uint32(0)) // structured replies
	c.want("unknown option", "\x00\x03\xe8\x89\x04\x55\x65\xa9\x00\x00\x00\x08\x80\x00\x00\x01\x00\x00\x00\x00")
	c.send([]byte("IHAVEOPT"), uint32(7), uint32(6), uint32(0), uint16(0)) // GO, to the export without a name
	c.want("export", "\x00\x03\xe8\x89\x04\x55\x65\xa9\x00\x00\x00\x07\x00\x00\x00\x03\x00\x00\x00\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x05")
	c.want("acknowledgement", "\x00\x03\xe8\x89\x04\x55\x65\xa9\x00\x00\x00\x07\x00\x00\x00\x01\x00\x00\x00\x00")
	c.request(1, 10, 4, "abcd", 0, "")
	c.request(3, 0, 0, "", 0, "")
	c.request(0, 8, 8, "", 0, "..abcd..")
	c.request(1, 4094, 4, "efgh", 22, "")
	c.request(0, 4096, 1, "", 22, "")
	c.request(0, 1<<63, 1, "", 22, "")
	c.request(4, 0, 1, "", 22, "") // trim
	c.request(1, 4092, 4, "ijkl", 0, "")
	c.send(uint32(0x25609513), uint16(0), uint16(2), uint64(0), uint64(0), uint32(0))
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if l.Len() != 3 || l.Flushes() != 1 || !l.entries[1].flush() || string(l.entries[2].data) != "ijkl" || l.entries[2].offset != 4092 {
		t.Errorf("the log has %d entries, %d flushes", l.Len(), l.Flushes())
	}
}

// TestServeNonsense: a client that speaks another protocol is told to go.
func TestServeNonsense(t *testing.T) {
	ours, theirs := net.Pipe()
	ended := make(chan error)
	go func() { ended <- NewLog(make([]byte, 512)).serve(theirs) }()
	c := client{t, ours}
	c.want("greeting", "NBDMAGICIHAVEOPT\x00\x03")
	c.send(uint32(3), []byte("GET / HTTP/1.1\r\n"))
	if err := <-ended; err == nil {
		t.Error("nonsense is no error")
	}
}
