package disk

import (
	"math/rand/v2"
	"slices"
)

// Loss says what becomes of the writes that no flush has made durable yet. The
// drive may have stored any of them before the power failed.
type Loss int

// The losses, which Losses lists.
const (
	Dropped     Loss = iota // none was stored
	Kept                    // all were
	Shuffled                // each was or was not, by chance
	TornBlocks              // each block of 4,096 octets was or was not
	TornSectors             // each sector of 512 octets was or was not
)

// Losses are all there are.
var Losses = []Loss{Dropped, Kept, Shuffled, TornBlocks, TornSectors}

func (l Loss) String() string {
	return [...]string{"dropped", "kept", "shuffled", "torn at 4096", "torn at 512"}[l]
}

// Player makes images of what a device holds after power loss. It goes through
// a log once, from the beginning.
type Player struct {
	entries []entry
	durable []byte // the image at the last flush
	applied int    // the entries that are in it
}

// NewPlayer makes a Player of what l holds now.
func NewPlayer(l *Log) *Player {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &Player{entries: l.entries[:len(l.entries):len(l.entries)], durable: slices.Clone(l.first)}
}

// Size gives the octets of an image.
func (p *Player) Size() int { return len(p.durable) }

// Crash writes into image what the device holds when the power fails at that
// moment, and gives how many writes were at stake. Moments may not go back.
func (p *Player) Crash(image []byte, moment int, loss Loss, numbers *rand.Rand) (unflushed int) {
	last := p.applied
	for i := p.applied; i < moment; i++ {
		if p.entries[i].flush() {
			last = i + 1
		}
	}
	for ; p.applied < last; p.applied++ {
		e := p.entries[p.applied]
		copy(p.durable[e.offset:], e.data)
	}
	copy(image, p.durable)
	for _, e := range p.entries[last:moment] {
		e.survive(image, loss, numbers)
	}
	return moment - last
}

// survive stores of an unflushed write what the loss leaves of it. A piece
// that is stored lies over what was there before, in the order of writing:
// drives do not put old data over new.
func (e entry) survive(image []byte, loss Loss, numbers *rand.Rand) {
	piece := len(e.data)
	switch loss {
	case TornBlocks:
		piece = 4096
	case TornSectors:
		piece = 512
	}
	for at := 0; at < len(e.data); {
		// Pieces end where blocks of the device end, wherever the write begins.
		end := min(len(e.data), at+piece-int(e.offset+int64(at))%piece)
		if loss == Shuffled {
			end = len(e.data)
		}
		if loss == Kept || loss != Dropped && numbers.IntN(2) == 0 {
			copy(image[e.offset+int64(at):], e.data[at:end])
		}
		at = end
	}
}
