package pop3test

import (
	"fmt"
	"math/rand/v2"
)

// Split says how a player cuts what it sends into writes. It is good for one
// play of one script.
type Split struct {
	Name string
	join func() bool           // whether to send on without waiting for replies
	cut  func([]byte) [][]byte // the writes for octets that are sent together
}

// Whole sends each block of lines in one write.
func Whole() Split {
	return Split{Name: "block by block", join: no, cut: one}
}

// Joined sends everything up to the next directive in one write, and reads
// the replies then.
func Joined() Split {
	return Split{Name: "in one segment", join: yes, cut: one}
}

// Octets sends one octet at a time.
func Octets() Split {
	return Split{Name: "one octet at a time", join: no, cut: func(b []byte) [][]byte {
		out := make([][]byte, len(b))
		for i := range b {
			out[i] = b[i : i+1]
		}
		return out
	}}
}

// At sends as Joined does, but for a cut behind the octet k of all that is sent.
func At(k int) Split {
	return Split{Name: fmt.Sprintf("in one segment, cut behind octet %d", k), join: yes, cut: func(b []byte) [][]byte {
		before := k
		k -= len(b)
		if before <= 0 || k >= 0 {
			return one(b)
		}
		return [][]byte{b[:before], b[before:]}
	}}
}

// Random cuts at random places, and waits for replies or not at random. Its
// seed is in its name.
func Random(seed uint64) Split {
	rng := rand.New(rand.NewPCG(seed, 0))
	longest := 1 << rng.IntN(10)
	return Split{
		Name: fmt.Sprintf("at random, seed %d", seed),
		join: func() bool { return rng.IntN(2) == 0 },
		cut: func(b []byte) [][]byte {
			var out [][]byte
			for len(b) > 0 {
				n := min(1+rng.IntN(longest), len(b))
				if len(out) == 500 {
					n = len(b) // long messages need not take for ever
				}
				out = append(out, b[:n])
				b = b[n:]
			}
			return out
		},
	}
}

func no() bool  { return false }
func yes() bool { return true }

func one(b []byte) [][]byte { return [][]byte{b} }
