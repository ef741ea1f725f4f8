package cases

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
)

// stored are forms in which the password is stored, and the ways to guess it
// that take a check of that form.
var stored = []struct {
	name, password string
	ways           []way
	full           int // guesses of each kind
}{
	{"bcrypt", "{BLF-CRYPT}$2b$10$1b3T4ZhphSiBERSEzGFIr.AnyRB9orK0uI6Y8Yj.FVT6nKRidC0K.", []way{pass, plain}, 40},
	{"argon2id", argon2id, []way{pass, plain}, 60},
	{"SHA512-CRYPT", "{SHA512-CRYPT}$6$Rb9u12siHvxcMVMV$ithnrBs2glZhj3kD2IxZJGURRcg86UfV1G9Ruefc5BJNljJh.yJGI/CCJ5p0.7nd4cxkWZhRrk0EkHsAfPzuR1", []way{pass, plain}, 200},
	{"SCRAM-SHA-256", "{SCRAM-SHA-256}4096,UVvbYX02gABy6YZ7HpGzdQ==,k7KaC575F26RcwLK3jwLe51fbcNR2sKJZzp9vaGhPS0=,4nd/WCVkiK6XtMC2ZbNy77hIMexC8lmvSrN8JS0vAfM=", []way{pass, scram}, 1500},
	{"PLAIN", "{PLAIN}" + password, []way{pass, scram}, 1500},
}

// way is a way to guess: it gives the reply, and the time that it took.
type way struct {
	name  string
	guess func(c *client, name string) (string, time.Duration, error)
}

var (
	pass = way{"PASS", func(c *client, name string) (string, time.Duration, error) {
		if _, err := c.ask("USER " + name); err != nil {
			return "", 0, err
		}
		return c.timed("PASS " + rand.Text())
	}}
	plain = way{"PLAIN", func(c *client, name string) (string, time.Duration, error) {
		return c.timed("AUTH PLAIN " + encode("\x00"+name+"\x00"+rand.Text()))
	}}
	scram = way{"SCRAM-SHA-256", guessSCRAM}
)

func encode(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// timed is ask with the time that the reply takes.
func (c *client) timed(command string) (string, time.Duration, error) {
	begun := time.Now()
	reply, err := c.ask(command)
	return reply, time.Since(begun), err
}

// guessSCRAM goes through an exchange with a proof that is made up. The time
// is that of both steps: the name comes with the first, the proof with the
// second. The challenge is left out of the reply, since salts differ.
func guessSCRAM(c *client, name string) (string, time.Duration, error) {
	challenge, first, err := c.timed("AUTH SCRAM-SHA-256 " + encode("n,,n="+name+",r="+rand.Text()))
	if err != nil {
		return "", 0, err
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(challenge, "+ "))
	nonce, rest, _ := strings.Cut(string(text), ",s=")
	if err != nil || rest == "" {
		return "", 0, fmt.Errorf("the challenge of SCRAM is %q", challenge)
	}
	proof := make([]byte, 32)
	rand.Read(proof)
	reply, second, err := c.timed(encode("c=biws," + nonce + ",p=" + base64.StdEncoding.EncodeToString(proof)))
	return reply, first + second, err
}

// knownAndUnknown guesses passwords of users who exist and of others, in
// turn, and compares the replies and the median times.
func knownAndUnknown(f *field) error {
	var known []string
	for k := range 20 {
		known = append(known, fmt.Sprintf("user%02d", k))
	}
	for _, form := range stored {
		if f.server != nil {
			f.server.kill()
		}
		err := f.start(setting{accounts: known, password: form.password,
			limits: []string{`known_networks = ["127.0.0.0/8"]`}}) // no delays but what the check takes
		if err != nil {
			return err
		}
		for _, way := range form.ways {
			if err := f.compare(form.name, way, known, f.of(form.full, form.full/10)); err != nil {
				return fmt.Errorf("%s by %s: %w", form.name, way.name, err)
			}
		}
	}
	return f.finish()
}

// compare makes n guesses of each kind.
func (f *field) compare(form string, way way, known []string, n int) error {
	var took [2][]time.Duration
	var replies [2]string
	for i := range n {
		order := []int{0, 1}
		if i%2 == 1 {
			order = []int{1, 0} // whatever the first of two costs more
		}
		for _, who := range order {
			name := known[i%len(known)]
			if who == 1 {
				name = fmt.Sprintf("none%02d", i%len(known))
			}
			reply, d, err := f.guessAs(name, way)
			if err != nil {
				return err
			}
			if replies[who] != "" && replies[who] != reply {
				f.fault("%s by %s: two replies to wrong passwords: %q and %q", form, way.name, replies[who], reply)
			}
			replies[who], took[who] = reply, append(took[who], d)
		}
	}
	if replies[0] != replies[1] || !strings.HasPrefix(replies[0], "-ERR [AUTH]") {
		f.fault("%s by %s: a known user is refused by %q, another by %q", form, way.name, replies[0], replies[1])
	}
	a, b := median(took[0]), median(took[1])
	ratio := float64(b) / float64(a)
	f.note("%s by %s: %.3f ms known, %.3f ms unknown, ratio %.3f", form, way.name, ms(a), ms(b), ratio)
	if ratio < 0.95 || ratio > 1.05 {
		f.slow("%s by %s: the medians differ by more than 5 %%", form, way.name)
	}
	return nil
}

func (f *field) guessAs(name string, way way) (string, time.Duration, error) {
	f.Connections++
	c, err := connect(f.ctx, attacker(f.Connections%900), f.server.plain, false)
	if err != nil {
		return "", 0, err
	}
	defer c.Close()
	return way.guess(c, name)
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
