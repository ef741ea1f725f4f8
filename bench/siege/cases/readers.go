package cases

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// slowReaders retrieves one large message many times over, an octet a second.
func slowReaders(f *field) error {
	n, size := f.of(1000, 30), int64(f.of(1<<30, 64<<20))
	cfg := setting{limits: []string{`write_timeout = "5s"`}}
	for k := range n {
		cfg.accounts = append(cfg.accounts, fmt.Sprintf("reader%d", k))
	}
	if err := f.start(cfg); err != nil {
		return err
	}
	if err := f.large(cfg.accounts, size); err != nil {
		return err
	}
	f.invite()
	f.Connections = n
	begun := time.Now()
	readers := make([]*client, n)
	defer func() {
		for _, c := range readers {
			if c != nil {
				c.Close()
			}
		}
	}()
	err := each(n, 16, func(k int) error {
		c, err := connect(f.ctx, attacker(k), f.server.plain, true)
		if err != nil {
			return err
		}
		readers[k] = c
		if err := c.login(cfg.accounts[k]); err != nil {
			return err
		}
		_, err = io.WriteString(c, "RETR 1\r\n")
		return err
	})
	if err != nil {
		return err
	}
	if err := f.readSlowly(readers, begun); err != nil {
		return err
	}
	if err := f.cutOff(readers, size); err != nil {
		return err
	}
	if err := f.finish(); err != nil {
		return err
	}
	f.bound(32<<20, 160<<10) // the message would be thousands of times that
	return nil
}

// large makes one message of the size the only one of all accounts: a file of
// many names, measured once.
func (f *field) large(accounts []string, size int64) error {
	mail := filepath.Join(f.server.dir, "mail")
	first := filepath.Join(mail, accounts[0])
	const name = "cur/1600000000.M1P1.siege:2,S"
	text := "Subject: large\n\nall zeros\n"
	if err := os.WriteFile(filepath.Join(first, name), []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Truncate(filepath.Join(first, name), size); err != nil {
		return err
	}
	for _, account := range accounts[1:] {
		if err := os.Link(filepath.Join(first, name), filepath.Join(mail, account, name)); err != nil {
			return err
		}
	}
	for _, account := range accounts {
		if err := removeSmall(filepath.Join(mail, account, "cur")); err != nil {
			return err
		}
	}
	// The first login measures the message, which takes a while. What it
	// found out holds for the same file elsewhere.
	if _, err := f.server.login(f.ctx, guestAddr, accounts[0]); err != nil {
		return err
	}
	index, err := os.ReadFile(filepath.Join(first, "poplin.index"))
	if err != nil {
		return err
	}
	for _, account := range accounts[1:] {
		if err := os.WriteFile(filepath.Join(mail, account, "poplin.index"), index, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// removeSmall removes what newMaildir made.
func removeSmall(dir string) error {
	small, err := filepath.Glob(filepath.Join(dir, "17*"))
	for _, path := range small {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// readSlowly reads until the server has let go of all readers.
func (f *field) readSlowly(readers []*client, begun time.Time) error {
	f.note("all had sent RETR after %.1f s", time.Since(begun).Seconds())
	octet := make([]byte, 1)
	for by := time.Now().Add(patience); ; {
		for _, c := range readers {
			c.Conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			c.Conn.Read(octet) // an error is looked for by cutOff
		}
		sessions, err := f.server.metric(f.ctx, "poplin_sessions")
		if err := errors.Join(err, f.peak()); err != nil {
			return err
		}
		if sessions <= 1 { // the bystander's
			f.Dropped = time.Since(begun)
			f.note("when all were dropped, %s", kernelMemory())
			return nil
		}
		if time.Now().After(by) {
			f.fault("%d sessions are left after %v", sessions, patience)
			return nil
		}
		if err := pause(f.ctx, time.Second); err != nil {
			return err
		}
	}
}

// kernelMemory gives what the kernel holds for TCP on this machine, both ends
// of each connection.
func kernelMemory() string {
	text, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(text)) {
		var inUse, orphans, waiting, allocated, pages int64
		if n, _ := fmt.Sscanf(line, "TCP: inuse %d orphan %d tw %d alloc %d mem %d", &inUse, &orphans, &waiting, &allocated, &pages); n == 5 {
			return fmt.Sprintf("the kernel held %s for TCP, %d sockets without a process", MiB(pages*int64(os.Getpagesize())), orphans)
		}
	}
	return "the kernel does not say what it held for TCP"
}

// cutOff reads what is left in the connections: none may hold the whole
// message or look as if it did.
func (f *field) cutOff(readers []*client, size int64) error {
	var most int64
	for k, c := range readers {
		c.Conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		var end tail
		got, err := io.Copy(&end, c.r)
		most = max(most, got)
		var late interface{ Timeout() bool }
		switch {
		case errors.As(err, &late) && late.Timeout():
			f.fault("reader %d is still connected", k)
			return nil
		case got >= size || bytes.HasSuffix(end.last, []byte("\r\n.\r\n")):
			f.fault("reader %d got a message of %d octets with a terminator", k, got)
			return nil
		}
	}
	f.note("at most %s of %s came to a reader", MiB(most), MiB(size))
	return nil
}

// tail keeps the end of what is written to it.
type tail struct{ last []byte }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.last = append(t.last, p[max(0, len(p)-8):]...)
	t.last = t.last[max(0, len(t.last)-8):]
	return len(p), nil
}
