package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// retrieved is what is told of a message that came back.
type retrieved struct {
	Number  int    `json:"number"`
	UID     string `json:"uid"`
	Octets  int64  `json:"octets"`
	SHA256  string `json:"sha256"`
	Subject string `json:"subject"` // fit for a terminal
	About   string `json:"about"`
	OK      bool   `json:"ok"`
	Wrong   string `json:"wrong,omitempty"`
}

// summary ends the check.
type summary struct {
	Messages  int     `json:"messages"`
	Identical int     `json:"identical"`
	Octets    int64   `json:"octets"`
	Seconds   float64 `json:"seconds"`
	TLS       string  `json:"tls"`
	STLS      bool    `json:"stls"` // the clear-text port gives the same list after STLS
}

// check retrieves everything over TLS and compares, and looks at the
// clear-text port through STLS.
func (d *demo) check(ctx context.Context) error {
	pem, err := os.ReadFile(d.state.pair.Certificate)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	opts := &pop3client.Options{TLSConfig: &tls.Config{RootCAs: roots}}
	s := summary{Messages: len(d.mail)}
	if err := d.retrieve(ctx, opts, &s); err != nil {
		return fmt.Errorf("retrieving over TLS: %w", err)
	}
	if err := d.checkSTLS(ctx, opts, &s); err != nil {
		return fmt.Errorf("listing over STLS: %w", err)
	}
	d.report.checked(s)
	if s.Identical != s.Messages || !s.STLS {
		return errReported
	}
	return nil
}

func (d *demo) retrieve(ctx context.Context, opts *pop3client.Options, s *summary) error {
	start := time.Now()
	c, err := pop3client.Dial(ctx, d.tls, opts)
	if err != nil {
		return err
	}
	defer c.Abort()
	if err := c.Login(ctx, demoUser, demoPassword); err != nil {
		return err
	}
	if state, ok := c.TLS(); ok {
		s.TLS = tls.VersionName(state.Version)
	}
	progress := d.report.retrieving(s.TLS, d.octets)
	for msg, err := range c.RetrieveAll(ctx, pop3client.RetrieveOptions{}) {
		if err != nil {
			progress.end()
			return err
		}
		r, err := d.compare(msg, progress)
		if err != nil {
			progress.end()
			return err
		}
		s.Octets += r.Octets
		if r.OK {
			s.Identical++
		}
		progress.message(r)
	}
	s.Seconds = time.Since(start).Seconds()
	progress.end()
	return c.Quit(ctx)
}

// compare reads a message to its end and says whether it is what was
// delivered.
func (d *demo) compare(msg *pop3client.Message, progress progress) (retrieved, error) {
	sum := sha256.New()
	var top head
	octets, err := io.Copy(io.MultiWriter(sum, &top, progress), msg)
	if err != nil {
		return retrieved{}, err
	}
	want, known := d.mail[msg.UID]
	r := retrieved{Number: msg.Number, UID: pop3.Sanitize(msg.UID), Octets: octets, Subject: top.subject(), About: want.about}
	var got [sha256.Size]byte
	sum.Sum(got[:0])
	r.SHA256 = fmt.Sprintf("%x", got)
	switch {
	case !known:
		r.Wrong = "nothing was delivered under this unique-id"
	case octets != want.octets || msg.Size != want.octets:
		r.Wrong = fmt.Sprintf("%d octets came and %d were announced, of %d", octets, msg.Size, want.octets)
	case got != want.sum:
		r.Wrong = "the octets differ"
	case msg.Number != want.number:
		r.Wrong = fmt.Sprintf("it was delivered as number %d", want.number)
	default:
		r.OK = true
	}
	return r, nil
}

// checkSTLS asks the clear-text port for the same list: a password must not
// be taken before STLS.
func (d *demo) checkSTLS(ctx context.Context, opts *pop3client.Options, s *summary) error {
	clear := *opts
	clear.InsecureAuth = true
	c, err := pop3client.DialInsecure(ctx, d.clear, &clear)
	if err != nil {
		return err
	}
	defer c.Abort()
	if err := c.User(ctx, demoUser); err == nil {
		if err = c.Pass(ctx, demoPassword); err == nil {
			return errors.New("a password was taken in clear text")
		}
	}
	if err := c.STLS(ctx, opts.TLSConfig); err != nil {
		return err
	}
	if err := c.Login(ctx, demoUser, demoPassword); err != nil {
		return err
	}
	uids, err := c.Uidl(ctx)
	if err != nil {
		return err
	}
	s.STLS = len(uids) == len(d.mail)
	for _, u := range uids {
		if _, known := d.mail[u.UID]; !known {
			s.STLS = false
		}
	}
	return c.Quit(ctx)
}

// head keeps the first octets that are written to it.
type head struct{ buf []byte }

// Write implements io.Writer.
func (h *head) Write(p []byte) (int, error) {
	const limit = 8 << 10
	if room := limit - len(h.buf); room > 0 {
		h.buf = append(h.buf, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

// subject finds the subject, decodes it, and makes it fit for a terminal.
func (h *head) subject() string {
	text, _, _ := bytes.Cut(h.buf, []byte("\r\n\r\n"))
	unfolded := strings.NewReplacer("\r\n ", " ", "\r\n\t", " ").Replace(string(text))
	for line := range strings.SplitSeq(unfolded, "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !strings.EqualFold(name, "Subject") {
			continue
		}
		value = strings.TrimSpace(value)
		if decoded, err := new(mime.WordDecoder).DecodeHeader(value); err == nil {
			value = decoded
		}
		return pop3.Sanitize(value)
	}
	return "(no subject)"
}
