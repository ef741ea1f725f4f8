package cases

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// argon2id is the password as Poplin stores it by default: a check takes
// 19 MiB.
const argon2id = "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$hVl/3jgFqi3QwMV2KghnQw$IC5AYga6FnX8psn75b1Eym8Wwm7AsIWAvV11oFnCv18"

// parallelGuesses guesses from one address, 200 connections at a time.
func parallelGuesses(f *field) error {
	return f.guess(200, 60, func(int) string { return attacker(0) }, func(int, int) string { return "victim" })
}

// manyGuessers guesses from as many addresses as there are connections, at
// another user each time. A bystander has to wait for a turn as each of them.
func manyGuessers(f *field) error {
	f.late = 10 * time.Second
	return f.guess(200, 0, func(k int) string { return attacker(90 * k) },
		func(k, i int) string { return fmt.Sprintf("victim%d.%d", k, i) })
}

// guess makes n clients guess passwords for a while, each without a pause:
// client k comes from an address, and tries a user at its i-th guess. At most
// so many guesses may be checked; zero: any number.
func (f *field) guess(n int, most int64, from func(k int) string, user func(k, i int) string) error {
	err := f.start(setting{
		limits:   []string{"sessions_per_address = 1000"}, // not what is to hold them up
		users:    []string{`cache_time = "0s"`},           // each login of the bystander costs a check
		accounts: []string{"victim"}, password: argon2id,
	})
	if err != nil {
		return err
	}
	f.invite()
	f.Connections = n
	ctx, cancel := context.WithTimeout(f.ctx, time.Duration(f.of(10, 4))*time.Second)
	defer cancel()
	var checked, refused atomic.Int64
	err = each(n, n, func(k int) error {
		for i := 0; ctx.Err() == nil; {
			f.guessOnce(ctx, from(k), func() string { i++; return user(k, i) }, &checked, &refused)
		}
		return nil
	})
	if err := firstOf(f.ctx.Err(), err); err != nil {
		return err
	}
	f.note("%d guesses were checked, %d were told to come later", checked.Load(), refused.Load())
	if most > 0 && checked.Load() > most {
		f.fault("%d guesses were checked, more than %d", checked.Load(), most)
	}
	if err := f.finish(); err != nil {
		return err
	}
	f.bound(256<<20, 64<<10)
	return nil
}

// guessOnce connects and guesses until the server closes or ctx ends.
func (f *field) guessOnce(ctx context.Context, from string, user func() string, checked, refused *atomic.Int64) {
	c, err := connect(ctx, from, f.server.plain, false)
	if err != nil {
		pause(ctx, 100*time.Millisecond) // ctx has ended, or the server has enough
		return
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	for ctx.Err() == nil {
		if _, err := c.ask("USER " + user()); err != nil {
			return
		}
		reply, err := c.ask("PASS " + rand.Text())
		switch {
		case strings.HasPrefix(reply, "-ERR [AUTH]"):
			checked.Add(1)
		case strings.HasPrefix(reply, "-ERR"):
			refused.Add(1)
			pause(ctx, 10*time.Millisecond) // both ends share the processors
		}
		if err != nil {
			return
		}
	}
}
