package cases

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

// pipeline sends commands without end, and reads the replies only when the
// server reads no more.
func pipeline(f *field) error {
	commands := f.of(1_000_000, 250_000)
	if err := f.start(setting{limits: []string{`write_timeout = "1m"`}, accounts: []string{"sender"}}); err != nil {
		return err
	}
	f.invite()
	f.Connections = 1
	c, err := connect(f.ctx, attacker(0), f.server.plain, true)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.login("sender"); err != nil {
		return err
	}
	lists := make([]string, 1+maildirMessages) // what LIST says, by number
	for n := 1; n <= maildirMessages; n++ {
		if lists[n], err = c.ask(fmt.Sprintf("LIST %d", n)); err != nil {
			return err
		}
	}
	var sent atomic.Int64
	sending := make(chan error, 1)
	go func() { sending <- sendCommands(c, commands, &sent) }()
	if err := f.stall(&sent, sending); err != nil {
		return err
	}
	if err := checkReplies(c.r, commands, lists); err != nil {
		f.fault("%v", err)
		return f.finish()
	}
	if err := <-sending; err != nil {
		f.fault("sending: %v", err)
	}
	if reply, err := c.ask("QUIT"); err != nil || !strings.HasPrefix(reply, "+OK") {
		f.fault("QUIT at the end: %q, %v", reply, err)
	}
	if err := f.finish(); err != nil {
		return err
	}
	f.bound(24<<20, 0)
	return nil
}

// command gives the k-th command: the replies to CAPA make it much, those to
// LIST show the order.
func command(k int) (capa bool, n int) {
	return k%10 == 0, 1 + k*7%maildirMessages
}

func sendCommands(w io.Writer, commands int, sent *atomic.Int64) error {
	b := bufio.NewWriterSize(counter{w, sent}, 4096)
	for k := range commands {
		if capa, n := command(k); capa {
			b.WriteString("CAPA\r\n")
		} else {
			fmt.Fprintf(b, "LIST %d\r\n", n)
		}
	}
	return b.Flush()
}

type counter struct {
	io.Writer
	n *atomic.Int64
}

// Write implements io.Writer.
func (c counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// stall waits until the server takes nothing more. It is a fault if it takes
// all: then the replies are gathered somewhere.
func (f *field) stall(sent *atomic.Int64, sending chan error) error {
	var before int64 = -1
	for now := sent.Load(); now != before; now = sent.Load() {
		before = now
		if err := pause(f.ctx, 2*time.Second); err != nil {
			return err
		}
	}
	select {
	case err := <-sending:
		f.fault("the server took all %s of commands, and no reply was read: %v", MiB(before), err)
		sending <- err
	default:
	}
	f.note("the server read no more after %s of commands", MiB(before))
	return f.peak()
}

// checkReplies reads the replies to all commands.
func checkReplies(r *bufio.Reader, commands int, lists []string) error {
	for k := range commands {
		capa, n := command(k)
		line, err := r.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		switch {
		case err != nil:
			return fmt.Errorf("reply %d: %w", k, err)
		case !capa && line != lists[n]:
			return fmt.Errorf("reply %d is %q, want that of LIST %d, %q", k, line, n, lists[n])
		case capa && !strings.HasPrefix(line, "+OK"):
			return fmt.Errorf("reply %d is %q, want that of CAPA", k, line)
		}
		for capa && line != "." {
			if line, err = r.ReadString('\n'); err != nil {
				return fmt.Errorf("reply %d: %w", k, err)
			}
			line = strings.TrimRight(line, "\r\n")
		}
	}
	return nil
}
