package maildrop

import (
	"context"
	"io"
	"time"
)

// Importer is a Maildrop that takes in messages as another maildrop had them,
// for moving mail from one Store to another.
type Importer interface {
	Maildrop
	Notes
	Aside

	// Import begins to take in messages. List is how they lie in the other
	// maildrop: those whose UIDs are here already stay, and each of the others
	// that is put will have its UID and its time, and its place between its
	// neighbours in list. One that is kept aside here may come back at once.
	Import(ctx context.Context, list []Message) (Import, error)

	// Relist makes Messages say what there is now. The session lock is held
	// before and after; where Open did not take it, Relist does.
	Relist(ctx context.Context) error

	// Settle says whether each message is where it is to stay. From
	// Settle(ctx, false), which Import implies, to Settle(ctx, true), and in all
	// sessions meanwhile, Remove keeps what it removes aside, and SetAside too,
	// for KeptUnsettled or more. So what is missing after an import that was
	// broken off was removed by somebody, or never came, and Kept says which.
	// It is durable when the error is nil.
	Settle(ctx context.Context, settled bool) error

	// NoteKeys gives the keys of the notes that there are, in any order.
	NoteKeys(ctx context.Context) ([]string, error)
}

// KeptUnsettled is for how long messages are kept aside that are removed while
// a maildrop is not settled: see Importer.Settle.
const KeptUnsettled = 30 * 24 * time.Hour

// Import takes in the messages of a list. Several goroutines may use it.
type Import interface {
	// Put stores message i of the list, which r gives up to io.EOF, with bare
	// LF or with CRLF. Of one that is here already nothing is read. When the error is nil it survives the loss of power.
	// With an error, from r too, it may be there nevertheless where a Deliverer
	// says so; whatever is there is whole. A message of another size than the
	// list says is not stored.
	Put(ctx context.Context, i int, r io.Reader) error
}
