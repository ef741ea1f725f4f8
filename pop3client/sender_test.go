package pop3client

import (
	"io"
	"testing"
	"testing/synctest"
)

// What is handed over while a write waits, or between a write and a wake that
// finds nothing left, is written once and in order.
func TestSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		s := newSender(w)
		buf := make([]byte, 4)
		s.send([]byte("one "))
		if _, err := io.ReadFull(r, buf); err != nil || string(buf) != "one " {
			t.Errorf("got %q, %v", buf, err)
		}
		synctest.Wait()
		s.wake <- struct{}{} // with nothing left to write
		synctest.Wait()
		s.send([]byte("two "))
		synctest.Wait() // until the write of it waits
		s.send([]byte("six "))
		s.send([]byte("ten "))
		buf = make([]byte, len("two six ten "))
		if _, err := io.ReadFull(r, buf); err != nil || string(buf) != "two six ten " {
			t.Errorf("got %q, %v", buf, err)
		}
		s.stop()

		s = newSender(brokenWriter{})
		s.send([]byte("lost"))
		synctest.Wait()
		s.send([]byte("more"))
		s.stop()
	})
}
