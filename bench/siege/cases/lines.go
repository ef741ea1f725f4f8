package cases

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// hostileLines sends what is too long, too much or not known.
func hostileLines(f *field) error {
	err := f.start(setting{limits: []string{`known_networks = ["127.0.0.0/8"]`}}) // the guard is not in the way
	if err != nil {
		return err
	}
	f.invite()
	n := f.of(200, 10)
	for _, attack := range []func(*field, int) error{longResponse, endlessLine, unknownVerbs, manySegments} {
		f.Connections += n
		if err := each(n, 32, func(k int) error { return attack(f, k) }); err != nil {
			return err
		}
		if err := f.peak(); err != nil {
			return err
		}
	}
	if err := f.finish(); err != nil {
		return err
	}
	f.bound(48<<20, 0)
	return nil
}

// closed sends, and reads until the server closes: the replies to begin, and
// then so many errors at most.
func (f *field) closed(k int, what, begin string, replies int, send func(io.Writer) error, errs int) error {
	c, err := connect(f.ctx, attacker(k), f.server.plain, false)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, begin); err != nil {
		return err
	}
	for range replies {
		if _, err := c.line(); err != nil {
			return err
		}
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		send(c) // it fails once the server has closed
	}()
	c.SetReadDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(c.r)
	c.Close()
	<-sent
	var late interface{ Timeout() bool }
	switch got := strings.Count(string(text), "-ERR"); {
	case errors.As(err, &late) && late.Timeout():
		f.fault("%s: the server does not close", what)
	case got > errs || got == 0 && err == nil:
		f.fault("%s: %d errors, want %d at most: %.200q", what, got, errs, text)
	}
	return nil
}

func longResponse(f *field, k int) error {
	return f.closed(k, "a response of 1 MB", "AUTH PLAIN\r\n", 1, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Repeat("QUFB", 1<<18)+"\r\n")
		return err
	}, 1)
}

func endlessLine(f *field, k int) error {
	piece := strings.Repeat("x", 64<<10)
	return f.closed(k, "an endless line", "", 0, func(w io.Writer) error {
		for {
			if _, err := io.WriteString(w, piece); err != nil {
				return err
			}
		}
	}, 1)
}

func unknownVerbs(f *field, k int) error {
	return f.closed(k, "10,000 unknown verbs", "", 0, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Repeat("XYZZY\r\n", 10_000))
		return err
	}, 3)
}

// manySegments sends a response of 12 kB in 40 pieces. It is refused for its
// password, and the session goes on.
func manySegments(f *field, k int) error {
	c, err := connect(f.ctx, attacker(k), f.server.plain, false)
	if err != nil {
		return err
	}
	defer c.Close()
	if reply, err := c.ask("AUTH PLAIN"); err != nil || !strings.HasPrefix(reply, "+ ") {
		return fmt.Errorf("AUTH PLAIN: %q, %w", reply, err)
	}
	response := "AGd1ZXN0AH" + strings.Repeat("QUFB", 3000) + "QUFBQQ" // \0guest\0 and A's
	for len(response) > 0 {
		piece := min(len(response), 300)
		if _, err := io.WriteString(c, response[:piece]); err != nil {
			return err
		}
		response = response[piece:]
		if err := pause(f.ctx, time.Millisecond); err != nil {
			return err
		}
	}
	if reply, err := c.ask(""); err != nil || !strings.HasPrefix(reply, "-ERR [AUTH]") {
		f.fault("a response of 12 kB in 40 segments: %q, %v", reply, err)
	}
	if reply, err := c.ask("QUIT"); err != nil || !strings.HasPrefix(reply, "+OK") {
		f.fault("QUIT after a response of 12 kB: %q, %v", reply, err)
	}
	return nil
}
