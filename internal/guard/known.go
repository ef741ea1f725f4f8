package guard

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

const (
	knownFor  = 90 * 24 * time.Hour // since the last login from there
	saveEvery = time.Minute
	header    = "poplin known logins 1 " // and the key
)

// digest stands for a user, or for a user and a network.
type digest [16]byte

// pairs remembers which users have logged in from which networks.
type pairs struct {
	key   []byte
	mac   hash.Hash        // under key; made when it is first needed
	text  []byte           // room for what is hashed
	sum   []byte           // and for the hash
	last  map[digest]int64 // the day of the last login, since 1970
	dirty bool
}

// openPairs reads the file of an earlier run, if it is there.
func openPairs(path string, logger *slog.Logger) *pairs {
	if path != "" {
		p, err := readPairs(path)
		switch {
		case err == nil:
			return p
		case !errors.Is(err, fs.ErrNotExist):
			logger.Error("cannot read which users are known where: begun anew", "file", path, "error", err)
		}
	}
	p := &pairs{key: make([]byte, 32), last: map[digest]int64{}, dirty: true}
	rand.Read(p.key)
	return p
}

func readPairs(path string) (*pairs, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > 16<<20 {
		return nil, fmt.Errorf("%s is not a file that this program wrote", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	hexKey, ok := bytes.CutPrefix(first, []byte(header))
	key, err := hex.DecodeString(string(hexKey))
	if !ok || err != nil || len(key) != 32 {
		return nil, fmt.Errorf("%s does not begin with %q and a key", path, header)
	}
	p := &pairs{key: key, last: map[digest]int64{}}
	for line := range bytes.Lines(rest) {
		var d []byte
		var day int64
		if _, err := fmt.Sscanf(string(line), "%32x %d\n", &d, &day); err != nil || len(d) != len(digest{}) {
			return nil, fmt.Errorf("%s: malformed line", path)
		}
		if len(p.last) < tableSize {
			p.last[digest(d)] = day
		}
	}
	return p, nil
}

func day(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

// digest hashes a name, or a name and a network. It is called under Guard.mu.
func (p *pairs) digest(username, network string) digest {
	if p.mac == nil {
		p.mac = hmac.New(sha256.New, p.key)
	}
	p.mac.Reset()
	p.text = append(append(append(p.text[:0], username...), 0), network...)
	p.mac.Write(p.text)
	p.sum = p.mac.Sum(p.sum[:0])
	return digest(p.sum)
}

// has reports whether the pair is known.
func (p *pairs) has(d digest, now time.Time) bool {
	last, ok := p.last[d]
	return ok && now.Sub(time.Unix(last*24*60*60, 0)) < knownFor
}

// add notes a login. Where there is no room, one of a few that were not seen
// for longest goes.
func (p *pairs) add(d digest, now time.Time) {
	today := day(now)
	old, there := p.last[d]
	if there && old >= today {
		return
	}
	if !there && len(p.last) >= tableSize {
		var oldest digest
		n, least := 0, today+1
		for key, last := range p.last {
			if last < least {
				oldest, least = key, last
			}
			if n++; n == 16 {
				break
			}
		}
		delete(p.last, oldest)
	}
	p.last[d], p.dirty = today, true
}

func (g *Guard) saveNowAndThen() {
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	for {
		select {
		case <-g.stop:
			return
		case <-ticker.C:
			if err := g.save(); err != nil {
				g.opts.Logger.Error("cannot write which users are known where", "file", g.opts.State, "error", err)
			}
		}
	}
}

// save writes the file anew, where something changed. What is out of date is
// forgotten. A crash costs at most the last minute: it is not flushed.
func (g *Guard) save() error {
	if g.opts.State == "" {
		return nil
	}
	g.mu.Lock()
	if !g.known.dirty {
		g.mu.Unlock()
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%x\n", header, g.known.key)
	now := time.Now()
	for d, last := range g.known.last {
		if !g.known.has(d, now) {
			delete(g.known.last, d)
			continue
		}
		fmt.Fprintf(&b, "%x %d\n", d, last)
	}
	g.known.dirty = false
	g.mu.Unlock()
	if err := replace(g.opts.State, b.Bytes()); err != nil {
		g.mu.Lock()
		g.known.dirty = true
		g.mu.Unlock()
		return err
	}
	return nil
}

// replace writes a file that only its owner may read, whole or not at all.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
