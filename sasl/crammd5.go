package sasl

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
)

// CRAMMD5 is the name of the mechanism CRAM-MD5 (RFC 2195). It rests on MD5,
// needs passwords that are stored in clear text, and does not show that the
// server knows the password: use SCRAM where both sides can.
const CRAMMD5 = "CRAM-MD5"

// NewCRAMMD5Client makes the client's side of CRAM-MD5.
func NewCRAMMD5Client(username, password string) sasl.Client {
	return &cramClient{username: username, password: password}
}

type cramClient struct {
	username, password string
	answered           bool
}

// Start implements sasl.Client.
func (c *cramClient) Start() (mech string, initial []byte, err error) { return CRAMMD5, nil, nil }

// Next implements sasl.Client.
func (c *cramClient) Next(challenge []byte) ([]byte, error) {
	if c.answered {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	c.answered = true
	return []byte(c.username + " " + cramDigest(string(challenge), c.password)), nil
}

// NewCRAMMD5Server makes the server's side of CRAM-MD5. It calls authenticate
// once, with the challenge that it made and the digest that the client did,
// in hexadecimal, and gives its error.
func NewCRAMMD5Server(hostname string, authenticate func(username, challenge, digest string) error) sasl.Server {
	return &cramServer{hostname: hostname, authenticate: authenticate}
}

type cramServer struct {
	hostname     string
	authenticate func(username, challenge, digest string) error
	challenge    string
	done         bool
}

// Next implements sasl.Server.
func (s *cramServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.done:
		return nil, false, sasl.ErrUnexpectedClientResponse
	case s.challenge == "":
		if len(response) > 0 { // the server speaks first
			s.done = true
			return nil, false, sasl.ErrUnexpectedClientResponse
		}
		s.challenge = fmt.Sprintf("<%s.%d@%s>", rand.Text(), time.Now().Unix(), s.hostname)
		return []byte(s.challenge), false, nil
	}
	s.done = true
	cut := strings.LastIndexByte(string(response), ' ') // user names may hold blanks
	if cut <= 0 {
		return nil, false, fmt.Errorf("sasl: malformed response to %s", CRAMMD5)
	}
	username, digest := string(response[:cut]), string(response[cut+1:])
	if strings.ContainsRune(username, 0) {
		return nil, false, errNUL
	}
	return nil, true, s.authenticate(username, s.challenge, digest)
}

// CheckCRAM reports whether the digest, in hexadecimal, is that of the
// password for the challenge. It takes the same time whether it is or not.
func CheckCRAM(challenge, password, digest string) bool {
	return hmac.Equal([]byte(strings.ToLower(digest)), []byte(cramDigest(challenge, password)))
}

func cramDigest(challenge, password string) string {
	mac := hmac.New(md5.New, []byte(password))
	mac.Write([]byte(challenge))
	return hex.EncodeToString(mac.Sum(nil))
}
