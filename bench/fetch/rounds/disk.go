package rounds

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// settle has the disk write what earlier runs left, so that nobody pays for
// another.
func settle() { syscall.Sync() }

// Syncs is what a tool has synced, in calls.
type Syncs struct {
	Tool                     string
	Messages, Folders, Other int
}

// CountSyncs counts the calls that sync, in a run of its own, in which the
// mail is deleted on the server. It takes strace; without it nothing is counted.
func CountSyncs(ctx context.Context, tools []Tool, opts Options) ([]Syncs, error) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return nil, nil
	}
	mail := newMail(opts.Messages, opts.Octets)
	var all []Syncs
	for _, t := range tools {
		n := Syncs{Tool: t.Name}
		by := []string{strace, "-f", "-qq", "-y", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs,sync", "-o", "trace"}
		_, err := one(ctx, Case{Delete: true}, t, mail, opts, by, func(j job) error {
			text, err := os.ReadFile(filepath.Join(j.dir, "trace"))
			n.count(string(text), j.maildir)
			return err
		})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			opts.Log(fmt.Sprintf("counting syncs of %s: %v", t.Name, err))
			continue
		}
		all = append(all, n)
	}
	return all, nil
}

// count reads what strace wrote. A call that another thread interrupted is there
// twice; its beginning has the name of the file.
func (n *Syncs) count(trace, maildir string) {
	for line := range strings.Lines(trace) {
		_, call, found := strings.Cut(line, "sync")
		if !found || strings.Contains(line, " resumed>") {
			continue
		}
		_, name, _ := strings.Cut(call, "<")
		name, _, _ = strings.Cut(name, ">")
		within, inMaildir := strings.CutPrefix(name, maildir+"/")
		switch {
		case inMaildir && strings.Contains(within, "/"):
			n.Messages++
		case inMaildir:
			n.Folders++
		default:
			n.Other++
		}
	}
}

// Floor is how many files of the size of a message the disk takes in a second.
type Floor struct {
	Unsynced float64 // not made durable
	Single   float64 // each made durable before the next
	Grouped  float64 // many made durable at the same time
}

// floorFiles is how many files are written to find out.
const floorFiles = 500

// floorGroup is how many are made durable at the same time.
const floorGroup = 16

// MeasureFloor writes files.
func MeasureFloor(dir string, octets int) (f Floor, err error) {
	if f.Unsynced, err = writeFiles(dir, octets, 1, false); err != nil {
		return f, err
	}
	if f.Single, err = writeFiles(dir, octets, 1, true); err != nil {
		return f, err
	}
	f.Grouped, err = writeFiles(dir, octets, floorGroup, true)
	return f, err
}

// writeFiles gives files a second.
func writeFiles(dir string, octets, group int, durable bool) (float64, error) {
	dir, err := os.MkdirTemp(dir, "floor-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	settle()
	content := make([]byte, octets)
	numbers := make(chan int)
	errs := make(chan error, group)
	var wait sync.WaitGroup
	begun := time.Now()
	for range group {
		wait.Go(func() {
			var err error
			for n := range numbers {
				if err == nil {
					err = writeFile(filepath.Join(dir, fmt.Sprint(n)), content, durable)
				}
			}
			errs <- err
		})
	}
	for n := range floorFiles {
		numbers <- n
	}
	close(numbers)
	wait.Wait()
	took := time.Since(begun)
	for range group {
		err = errors.Join(err, <-errs)
	}
	return floorFiles / took.Seconds(), err
}

func writeFile(name string, content []byte, durable bool) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && durable {
		err = syscall.Fdatasync(int(f.Fd()))
	}
	return errors.Join(err, f.Close())
}
