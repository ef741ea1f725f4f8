package bucket

import (
	"context"
	"errors"
	"io"
	"time"
)

// Engine is an object store, as far as maildrops need one. It is used by many
// goroutines at once. Each method makes one request; the Store tries again
// where that is right.
//
// A List that begins after a Put or a Delete has returned without an error
// must show what they did: this is what the session lock and the promise
// behind a delivery rest on. Check finds stores for which it is not so.
//
// With an error from Put or Delete it is not known what was done, if anything.
type Engine interface {
	// Put stores the octets of body, which are size, under a key, in place of
	// what was there. When the error is nil they survive the loss of power,
	// as far as the store promises that. body is at its start, and Put may
	// seek in it to send it again.
	Put(ctx context.Context, bucket, key string, body io.ReadSeeker, size int64) error

	// Get reads an object. The error wraps ErrNotFound where there is none,
	// and ErrNotModified where how says Unless and the object is that one.
	Get(ctx context.Context, bucket, key string, how How) (*Object, error)

	// List gives the objects whose keys begin with prefix and are above
	// after, in the order of the octets of their keys, most of them at most.
	List(ctx context.Context, bucket, prefix, after string, most int) (*Page, error)

	// Delete removes objects, MaxDelete keys at most; one that is not there
	// counts as removed. With an error, left are the keys of which it is not
	// known that they are gone.
	Delete(ctx context.Context, bucket string, keys []string) (left []string, err error)
}

// MaxDelete is the most keys of one Engine.Delete (DeleteObjects takes 1000).
const MaxDelete = 1000

// maxList is how many keys of a listing are asked for at once. Stores give
// 1000 at most.
const maxList = 1000

// How says how an Engine gets an object. The zero How gets all of it.
type How struct {
	Offset int64  // of the first octet
	Length int64  // octets from there on; 0 means up to the end
	Unless string // an ETag: there is nothing to get where the object has it
}

// Object is an object as Get found it.
type Object struct {
	Body io.ReadCloser // the octets that How asks for; the caller closes it
	Size int64         // octets of the whole object
	ETag string
}

// Page is a part of a listing.
type Page struct {
	Entries []Entry
	More    bool      // there may be more behind the last entry
	Date    time.Time // when the reply was made, by the store's clock
}

// Entry is an object in a listing.
type Entry struct {
	Key      string
	Size     int64
	ETag     string    // as Get gives it
	Modified time.Time // by the store's clock
}

// Errors of an Engine, which errors wrap. Any other is a fault that may pass.
var (
	// ErrNotFound says that there is no such object. A bucket that is missing
	// is another thing: mail must not look as if it were gone.
	ErrNotFound = errors.New("not in the object store")

	// ErrNoBucket says that there is no such bucket. To a Store it is a fault
	// like any other, which may pass.
	ErrNoBucket = errors.New("there is no such bucket in the object store")

	// ErrNotModified says that the object is the one that the caller has.
	ErrNotModified = errors.New("object has not changed")

	// ErrDenied says that the credentials are wrong, have expired, or do not
	// allow it. Trying again is of no use.
	ErrDenied = errors.New("the object store denies access")
)
