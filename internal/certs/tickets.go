package certs

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
)

// maxTicketKeys bounds the keys of a file: each ticket is tried with all.
const maxTicketKeys = 16

// ticketKeys reads the keys of session tickets (RFC 5077, RFC 8446 section
// 4.6.1): a key a line, 64 hexadecimal digits. The first one makes tickets, and
// those that any of them made are taken. Errors hold nothing of a key.
func ticketKeys(path string) ([][32]byte, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	var keys [][32]byte
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		var key [32]byte
		if n, err := hex.Decode(key[:], line[:min(len(line), hex.EncodedLen(len(key)))]); err != nil || n != len(key) || len(line) != hex.EncodedLen(n) {
			return nil, fmt.Errorf("%s:%d is not a key of 64 hexadecimal digits, such as `openssl rand -hex 32` makes", path, number)
		}
		keys = append(keys, key)
	}
	switch {
	case len(keys) == 0:
		return nil, fmt.Errorf("%s holds no key: write one with `openssl rand -hex 32`", path)
	case len(keys) > maxTicketKeys:
		return nil, fmt.Errorf("%s holds more than %d keys", path, maxTicketKeys)
	}
	return keys, nil
}

// CheckTicketKeys says what is wrong with a file of keys.
func CheckTicketKeys(path string) error {
	_, err := ticketKeys(path)
	return err
}

// useTicketKeys reads the file of keys, if there is one, into a set.
func (c *Certificates) useTicketKeys(s *set) error {
	path := c.opts.TicketKeys
	if path == "" {
		return nil
	}
	keys, err := ticketKeys(path)
	if err != nil {
		return fmt.Errorf("keys of session tickets: %w", err)
	}
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o007 != 0 {
		err = errors.New("it is open to every user of this machine, who could read what is said under TLS 1.2: run chmod o=")
	}
	if err != nil {
		return fmt.Errorf("keys of session tickets: %s: %w", path, err)
	}
	s.config.SetSessionTicketKeys(keys)
	return nil
}
