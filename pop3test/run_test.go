package pop3test

import (
	"os"
	"testing"
)

// transcripts is the folder that comes with Poplin.
var transcripts = os.DirFS("../testdata/transcripts")

// TestServer runs every transcript against Poplin's server.
// However the octets are split, the transcript is the same.
func TestServer(t *testing.T) { RunServer(t, transcripts, Poplin) }

// TestClient runs against Poplin's client what a client would send of them.
func TestClient(t *testing.T) {
	if n := RunClient(t, transcripts); n < 100 {
		t.Errorf("only %d transcripts are sessions of a client", n)
	}
}
