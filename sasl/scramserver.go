package sasl

import (
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// scramServer is the server's side of SCRAM (RFC 5802 section 5).
type scramServer struct {
	plus   bool
	conv   *scram.ServerConversation
	err    error // of lookup, with keys
	asked  bool
	proved bool
	done   bool
}

// NewSCRAMServer makes the server's side of SCRAM. Plus says whether the
// client chose the mechanism that ends in -PLUS, which takes a binding;
// offeredPlus whether that was on offer, so that a client that could have
// chosen it and did not see it is refused: somebody in between took it away.
//
// Lookup is called once and gives the keys of the user. Where it gives keys
// and an error, the exchange goes on with the keys, and Next gives that error
// at the point where it gives ErrAuth for a wrong password, whether the client
// has the right one or not.
func NewSCRAMServer(h Hash, plus bool, binding Binding, offeredPlus bool, lookup func(username, identity string) (Keys, error)) sasl.Server {
	s := &scramServer{plus: plus}
	server, err := h.generator().NewServer(func(username string) (scram.StoredCredentials, error) {
		if err := printable(username + s.conv.AuthzID()); err != nil {
			return scram.StoredCredentials{}, err
		}
		keys, err := lookup(username, s.conv.AuthzID())
		if err != nil && len(keys.StoredKey) == 0 {
			return scram.StoredCredentials{}, err
		}
		s.err = err
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(keys.Salt), Iters: keys.Iterations},
			StoredKey:  keys.StoredKey, ServerKey: keys.ServerKey,
		}, nil
	})
	switch {
	case err != nil: // NewServer gives none
		panic(err)
	case plus:
		s.conv = server.NewConversationWithChannelBindingRequired(binding.forScram())
	case offeredPlus:
		s.conv = server.NewConversationWithChannelBinding(binding.forScram())
	default:
		s.conv = server.NewConversation()
	}
	return s
}

// printable refuses what no user name holds, and what other programs take for
// its end.
func printable(name string) error {
	if name == "" {
		return errors.New("sasl: empty user name")
	}
	if strings.ContainsRune(name, 0) {
		return errNUL
	}
	return nil
}

// Next implements sasl.Server.
func (s *scramServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.done:
		return nil, false, sasl.ErrUnexpectedClientResponse
	case s.proved: // the client has seen the server's signature
		s.done = true
		if len(response) > 0 {
			return nil, false, sasl.ErrUnexpectedClientResponse
		}
		return nil, true, nil
	case s.asked:
		return s.final(response)
	case response == nil:
		return []byte{}, false, nil
	}
	s.asked = true
	if err := s.checkFirst(string(response)); err != nil {
		return nil, false, s.end(err)
	}
	answer, err := s.conv.Step(string(response))
	if err != nil {
		return nil, false, s.end(fmt.Errorf("sasl: %w", err))
	}
	return []byte(answer), false, nil
}

// checkFirst looks at what package scram leaves open in the client's first
// message: a binding belongs to the -PLUS mechanism, and to no other, and the
// client must add to the nonce.
func (s *scramServer) checkFirst(message string) error {
	if !s.plus && strings.HasPrefix(message, "p=") {
		return errors.New("sasl: channel binding with a mechanism that has none")
	}
	fields := strings.SplitN(message, ",", 5)
	if len(fields) < 4 || len(fields[3]) <= len("r=") {
		return errors.New("sasl: no nonce in the client's first message")
	}
	return nil
}

// final checks the proof. For a user that lookup refused it takes the same
// way as for others, and ends as a wrong password does.
func (s *scramServer) final(response []byte) ([]byte, bool, error) {
	answer, err := s.conv.Step(string(response))
	switch {
	case err == nil && s.err == nil:
		s.proved = true
		return []byte(answer), false, nil
	case err == nil, answer == scram.ErrInvalidProof && s.err != nil:
		return nil, false, s.end(s.err)
	case answer == scram.ErrInvalidProof:
		return nil, false, s.end(ErrAuth)
	}
	return nil, false, s.end(fmt.Errorf("sasl: %w", err))
}

func (s *scramServer) end(err error) error {
	s.done = true
	return err
}
