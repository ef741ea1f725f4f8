package fetch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// maxHeader bounds how much of a message is looked at for its header.
const maxHeader = 256 << 10

// headerOf gathers the header of a message that is written to it.
type headerOf struct {
	text  []byte
	ended bool
}

// reset begins with another message.
func (h *headerOf) reset() { h.text, h.ended = h.text[:0], false }

// Write implements io.Writer. It never fails.
func (h *headerOf) Write(p []byte) (int, error) {
	if h.ended || len(p) == 0 {
		return len(p), nil
	}
	from := max(0, len(h.text)-2)
	h.text = append(h.text, p[:min(len(p), maxHeader-len(h.text))]...)
	if i := bytes.Index(h.text[from:], []byte("\n\n")); i >= 0 {
		h.text, h.ended = h.text[:from+i+1], true
	}
	h.ended = h.ended || len(h.text) >= maxHeader || h.text[0] == '\n'
	return len(p), nil
}

// identifying are the fields by which a message is known again. All of them
// stay as they are when mail is moved to another server.
var identifying = []string{"message-id", "date", "from", "to", "cc", "subject", "received"}

// noHash stands for the hash of a header that has nothing that identifies it.
const noHash = "none"

// hash gives what a message is known again by, whatever its unique-id; noHash
// where its header has nothing of that. Line ends are LF.
func (h *headerOf) hash() string {
	sum := sha256.New()
	wanted, any := false, false
	for line := range bytes.Lines(h.text) {
		if line[0] != ' ' && line[0] != '\t' {
			name, _, found := bytes.Cut(line, []byte(":"))
			wanted = false
			for _, field := range identifying {
				wanted = wanted || found && strings.EqualFold(string(bytes.TrimSpace(name)), field)
			}
		}
		if wanted {
			any = true
			sum.Write(bytes.TrimSpace(line))
			sum.Write([]byte("\n"))
		}
	}
	if !any {
		return noHash
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}
