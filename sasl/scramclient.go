package sasl

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// ErrServer says that a server does not know the password that it was to
// check: it is not the one that the user has an account with.
var ErrServer = errors.New("sasl: the server does not know the password: it is not the one it claims to be")

// SCRAMClient is the client's side of SCRAM (RFC 5802 section 5).
type SCRAMClient struct {
	name  string
	conv  *scram.ClientConversation
	err   error  // of the user name or password
	nonce string // ours
	steps int
}

// NewSCRAMClient makes the client's side of SCRAM. The identity is whom to act
// for, empty for username.
//
// With data in the binding the mechanism is the one that ends in -PLUS. A
// binding with a type and no data tells the server that this client could have
// bound the exchange, but the server did not offer to: one that did knows then
// that somebody in between took the offer away, and refuses.
//
// Next fails where the server asks for fewer than MinIterations or more than
// MaxIterations, sends a nonce that does not extend the client's, or, with
// ErrServer, does not show that it knows the password.
func NewSCRAMClient(h Hash, username, password, identity string, binding Binding) *SCRAMClient {
	c := &SCRAMClient{name: h.Mechanism(len(binding.Data) > 0)}
	generator := h.generator()
	if generator == nil {
		c.err = fmt.Errorf("sasl: hash %q is not one of SCRAM", string(h))
		return c
	}
	client, err := generator.NewClient(username, password, identity)
	if err != nil {
		// SASLprep does not take them; a server may have them nonetheless.
		client, c.err = generator.NewClientUnprepped(username, password, identity)
	}
	switch {
	case c.err != nil:
	case len(binding.Data) > 0:
		c.conv = client.NewConversationWithChannelBinding(binding.forScram())
	case binding.Type != "":
		c.conv = client.NewConversationAdvertisingChannelBinding()
	default:
		c.conv = client.NewConversation()
	}
	return c
}

// Start implements sasl.Client.
func (c *SCRAMClient) Start() (mech string, initial []byte, err error) {
	if c.err != nil {
		return "", nil, c.err
	}
	first, err := c.conv.Step("")
	if err != nil {
		return "", nil, fmt.Errorf("sasl: %w", err)
	}
	c.nonce = first[strings.LastIndex(first, ",r=")+len(",r="):]
	return c.name, []byte(first), nil
}

// Next implements sasl.Client.
func (c *SCRAMClient) Next(challenge []byte) ([]byte, error) {
	c.steps++
	switch c.steps {
	case 1:
		if err := c.checkFirst(string(challenge)); err != nil {
			return nil, err
		}
	case 2:
		if why, failed := strings.CutPrefix(string(challenge), "e="); failed {
			return nil, fmt.Errorf("%w: the server says %q", ErrAuth, why)
		}
	default:
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	response, err := c.conv.Step(string(challenge))
	if err != nil {
		if c.steps == 2 {
			return nil, ErrServer
		}
		return nil, fmt.Errorf("sasl: %w", err)
	}
	return []byte(response), nil
}

// checkFirst looks at what package scram leaves open in the server's first
// message: the nonce must be longer than ours, and the iteration count must
// be bearable.
func (c *SCRAMClient) checkFirst(message string) error {
	for field := range strings.SplitSeq(message, ",") {
		if nonce, ok := strings.CutPrefix(field, "r="); ok && nonce == c.nonce {
			return errors.New("sasl: the server's nonce adds nothing to the client's")
		}
		if count, ok := strings.CutPrefix(field, "i="); ok {
			n, err := strconv.Atoi(count)
			if err != nil || n < MinIterations || n > MaxIterations {
				return fmt.Errorf("sasl: the server asks for %.20q iterations, which are not from %d to %d", count, MinIterations, MaxIterations)
			}
		}
	}
	return nil
}

// Done reports whether the server has shown that it knows the password. A
// login that succeeds before is none.
func (c *SCRAMClient) Done() bool { return c.conv != nil && c.conv.Valid() }
