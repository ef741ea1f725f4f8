package pop3client

import (
	"io"
	"sync"
)

// sender writes commands from a goroutine of its own, so that whoever reads
// the replies never waits for a write.
//
// Were one goroutine to do both, it could stand in a write that the server
// does not take, because the server stands in a write of a message that nobody
// reads. On TCP the buffers of the kernel hide that as long as the commands
// under way are few; a connection without buffers, such as net.Pipe or a
// tunnel, stops for ever. What is handed over is bounded by the window of the
// pipeline: some 4 kB at 256 commands.
type sender struct {
	mu   sync.Mutex
	buf  []byte        // handed over, not written yet
	wake chan struct{} // of capacity 1; closed by stop
	done chan struct{}
	err  error // of the write that ended run; good once done is closed
}

func newSender(w io.Writer) *sender {
	s := &sender{wake: make(chan struct{}, 1), done: make(chan struct{})}
	go s.run(w)
	return s
}

// run writes until stop or an error. The reader of the replies finds the
// error, since none come, or else stop gives it.
func (s *sender) run(w io.Writer) {
	defer close(s.done)
	var spare []byte
	for range s.wake {
		s.mu.Lock()
		batch := s.buf
		s.buf = spare[:0]
		s.mu.Unlock()
		if len(batch) > 0 {
			if _, s.err = w.Write(batch); s.err != nil {
				return
			}
		}
		spare = batch // never the one that send appends to
	}
}

// send hands over a copy of p, and never waits.
func (s *sender) send(p []byte) {
	s.mu.Lock()
	s.buf = append(s.buf, p...)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// stop ends the goroutine and gives the error of its writes. It waits for the
// one that runs, for which there must be a limit.
func (s *sender) stop() error {
	close(s.wake)
	<-s.done
	return s.err
}
