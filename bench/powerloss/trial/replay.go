package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/poplin-mail/poplin/bench/powerloss/disk"
)

const (
	// serveEvery is how many images are looked at until a server is started on
	// one of them.
	serveEvery = 50

	// maxFaults bounds the faults that are told in words.
	maxFaults = 20
)

// replay has the power fail at some moments before end.
func (r *round) replay(ctx context.Context, log *disk.Log, end int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	moments := make(chan int)
	var workers sync.WaitGroup
	for i := range runtime.NumCPU() {
		workers.Go(func() {
			if err := r.examine(ctx, disk.NewPlayer(log), i, moments); err != nil {
				cancel(err)
			}
		})
	}
	for _, moment := range r.moments(end) {
		select {
		case moments <- moment:
		case <-ctx.Done():
		}
	}
	close(moments)
	workers.Wait()
	return context.Cause(ctx)
}

// moments chooses when the power fails, in ascending order: one in four times
// anywhere, one in four when a QUIT was answered, else when mail was.
func (r *round) moments(end int) []int {
	numbers := r.random(1000)
	all := make([]int, 0, r.Moments)
	for i := range r.Moments {
		from := r.books.acks
		switch i % 4 {
		case 0:
			from = nil
		case 1:
			from = r.books.quits
		}
		if len(from) > 0 {
			all = append(all, from[numbers.IntN(len(from))])
		} else {
			all = append(all, numbers.IntN(end+1))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// examine looks at the disk after each of the moments.
func (r *round) examine(ctx context.Context, player *disk.Player, worker int, moments <-chan int) error {
	copied, err := disk.NewCopy(player.Size())
	if err != nil {
		return err
	}
	defer copied.Close()
	base := filepath.Join(r.Dir, fmt.Sprint("replay", worker))
	x := &examiner{round: r, copied: copied, numbers: r.random(1001 + worker), mail: filepath.Join(base, "mail"), conf: filepath.Join(base, "server")}
	if err := errors.Join(os.MkdirAll(x.mail, 0o700), configure(x.conf, x.mail, r.undo)); err != nil {
		return err
	}
	for moment := range moments {
		r.count(Counts{Moments: 1}, nil)
		for _, loss := range disk.Losses {
			if err := ctx.Err(); err != nil {
				return err
			}
			unflushed := player.Crash(copied.Image, moment, loss, x.numbers)
			if err := x.image(ctx, moment, loss); err != nil {
				return err
			}
			if unflushed == 0 {
				break // the losses are all the same
			}
		}
	}
	return nil
}

// count adds to the result.
func (r *round) count(c Counts, faults []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.add(c)
	for _, fault := range faults {
		if len(r.result.Faults) < maxFaults {
			r.result.Faults = append(r.result.Faults, fault)
		}
	}
}

// examiner looks at one image after the other.
type examiner struct {
	*round
	copied     *disk.Copy
	numbers    *rand.Rand
	mail, conf string
	images     int
}

// image looks at one. An error says that it cannot go on.
func (x *examiner) image(ctx context.Context, moment int, loss disk.Loss) (err error) {
	x.images++
	serve := x.images%serveEvery == 1
	var c Counts
	var faults []string
	if broken := disk.Mount(x.copied.File, x.mail, !serve); broken != nil {
		c.Broken++
		faults = append(faults, broken.Error())
	} else {
		files, broken := readMaildirs(x.mail)
		if broken == nil {
			c, faults = x.books.judge(files, moment, x.undo)
			if serve {
				c.Served = 1
				broken = x.serve(ctx, files)
			}
		}
		if broken != nil {
			c.Broken++
			faults = append(faults, broken.Error())
		}
		if err := disk.Unmount(x.mail); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c.Images = 1
	if c.faults() > 0 {
		c.Faulty = 1
	}
	for i := range faults {
		faults[i] = fmt.Sprintf("round %d, moment %d, %v: %s", x.number+1, moment, loss, faults[i])
	}
	x.count(c, faults)
	return nil
}

// serve starts a server on the image, and tells what is wrong with what it
// serves. Files are those in the Maildirs.
func (x *examiner) serve(ctx context.Context, files []found) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := startServer(ctx, x.Poplin, x.conf)
	if err != nil {
		return err
	}
	defer s.kill()
	defer func() { err = s.explain(err) }()
	for user := range users {
		var want []copyKey
		for _, f := range files {
			if f.user == user && !f.aside {
				want = append(want, copyKey{user, f.id})
			}
		}
		if err := x.serves(ctx, s, user, want); err != nil {
			return err
		}
	}
	c, err := dialLMTP(s)
	if err != nil {
		return err
	}
	defer c.Close()
	to := x.numbers.Perm(users)
	const id = 1 << 60 // as no other message has
	var refused error
	err = c.send(newLetter(id, x.numbers), to, func(i int, reply string) {
		if !accepts(reply) {
			refused = errors.Join(refused, fmt.Errorf("the server takes no mail for %s: %s", userName(to[i]), reply))
		}
	})
	return errors.Join(err, refused)
}

// serves checks that a user gets these messages.
func (x *examiner) serves(ctx context.Context, s *server, user int, want []copyKey) error {
	c, err := login(ctx, s, user)
	if err != nil {
		return err
	}
	defer c.Abort()
	got, _, err := retrieve(ctx, c, user, -1)
	if err != nil {
		return err
	}
	byID := func(a, b copyKey) int { return int(a.id) - int(b.id) }
	slices.SortFunc(got, byID)
	slices.SortFunc(want, byID)
	if !slices.Equal(got, want) {
		return fmt.Errorf("the server serves %v, in the Maildir are %v", got, want)
	}
	return c.Quit(ctx)
}
