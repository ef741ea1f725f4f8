package provider

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"sync"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// mechanismName is the form that RFC 4422 section 3.1 gives: anything else is
// not repeated.
var mechanismName = regexp.MustCompile(`^[A-Z0-9_-]{1,20}$`)

// try connects to the candidates, some at a time, and notes what comes of it.
func (f *finder) try(ctx context.Context, candidates []Candidate) []Candidate {
	candidates = slices.Clone(candidates)
	places := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range candidates {
		wg.Go(func() {
			select {
			case places <- struct{}{}:
				defer func() { <-places }()
				f.probe(ctx, &candidates[i])
			case <-ctx.Done():
				candidates[i].Err = errors.New("there was no time left to try it")
			}
		})
	}
	wg.Wait()
	return candidates
}

// probe connects, and asks what the server can do.
func (f *finder) probe(ctx context.Context, c *Candidate) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	opts := &pop3client.Options{TLSConfig: f.tls, Dialer: f.dialer, Timeout: probeTime}
	dial := pop3client.Dial
	if c.Security == STLS {
		dial = pop3client.DialSTLS
	}
	client, err := dial(ctx, c.Addr(), opts)
	if err != nil {
		c.Err = err
		return
	}
	defer client.Abort()
	capabilities, err := client.Capa(ctx)
	var refused *pop3.Error
	switch {
	case errors.As(err, &refused): // it knows no CAPA: USER and PASS are what is left
		c.Mechanisms = []string{"USER"}
	case err != nil:
		c.Err = err
		return
	default:
		c.describe(capabilities)
	}
	if client.OffersAPOP() {
		c.Mechanisms = append(c.Mechanisms, "APOP")
	}
	client.Quit(ctx) // the session ends in any case
}

func (c *Candidate) describe(capabilities pop3.Capabilities) {
	for _, name := range capabilities.Mechanisms() {
		if mechanismName.MatchString(name) {
			c.Mechanisms = append(c.Mechanisms, name)
		}
	}
	if capabilities.Has(pop3.CapUser) {
		c.Mechanisms = append(c.Mechanisms, "USER")
	}
	c.Implementation = pop3.Sanitize(capabilities.Implementation())
	c.LoginDelay = capabilities.LoginDelay()
}
