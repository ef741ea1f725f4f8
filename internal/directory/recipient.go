package directory

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
)

// Recipient finds the user whom mail for that name is for, nil where no source
// knows it. Who may not log in gets mail all the same.
func (d *Directory) Recipient(ctx context.Context, name string) (*User, error) {
	f, err := d.find(ctx, pop3server.Login{Username: name})
	if f == nil || err != nil {
		return nil, err
	}
	return f.user, nil
}

// Keeping is what a source says of how much mail a user may keep, and for how
// long. What is nil is as the configuration says.
type Keeping struct {
	Octets   *int64         // of all messages; 0: no bound
	Messages *int64         // 0: no bound
	Expire   *time.Duration // the age at which messages are removed; 0: none are
}

// Quota gives what a user may keep, where others may keep that much.
func (k Keeping) Quota(others maildrop.Quota) maildrop.Quota {
	if k.Octets != nil {
		others.Octets = *k.Octets
	}
	if k.Messages != nil {
		others.Messages = *k.Messages
	}
	return others
}

// SetOctets sets Octets from text such as "1GiB".
func (k *Keeping) SetOctets(text string) error {
	n, err := ParseOctets(text)
	k.Octets = &n
	return err
}

// SetMessages sets Messages from text.
func (k *Keeping) SetMessages(text string) error {
	n, err := strconv.ParseUint(text, 10, 63)
	messages := int64(n)
	if k.Messages = &messages; err != nil {
		return fmt.Errorf("%q is no number of messages", text)
	}
	return nil
}

// SetExpire sets Expire from a number of days, with or without a d.
func (k *Keeping) SetExpire(text string) error {
	n, err := strconv.ParseUint(strings.TrimSuffix(text, "d"), 10, 16)
	age := time.Duration(n) * 24 * time.Hour
	if k.Expire = &age; err != nil {
		return fmt.Errorf("%q is no number of days such as 30d", text)
	}
	return nil
}

// ParseOctets reads a size such as "500MB", "1GiB", "1G" or "1073741824".
// Units are powers of 1024, as they are in the quotas of other mail servers.
func ParseOctets(text string) (int64, error) {
	digits := strings.TrimRight(text, "KMGTkmgtiBb")
	unit := strings.ToUpper(strings.TrimSpace(text[len(digits):]))
	shift, known := map[string]uint{"": 0, "B": 0, "K": 10, "KB": 10, "KIB": 10, "M": 20, "MB": 20, "MIB": 20,
		"G": 30, "GB": 30, "GIB": 30, "T": 40, "TB": 40, "TIB": 40}[unit]
	n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 63)
	if err != nil || !known || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is no size such as \"500MiB\" or \"1GiB\"", text)
	}
	return int64(n) << shift, nil
}

// parseKeeping reads an extra field of a passwd-file that bounds what a user
// keeps: Dovecot's userdb_quota_rule (2.3), userdb_quota_storage_size and
// userdb_quota_message_count (2.4), and expire. Others it leaves alone.
func (e *entry) parseKeeping(name, value string) error {
	switch name {
	case "userdb_quota_rule":
		return e.keeping.parseRule(value)
	case "userdb_quota_storage_size":
		return e.keeping.SetOctets(value)
	case "userdb_quota_message_count":
		return e.keeping.SetMessages(value)
	case "expire":
		return e.keeping.SetExpire(value)
	}
	return nil
}

// parseRule reads Dovecot's *:storage=1G:messages=1000. A rule for a single
// folder says nothing of a maildrop.
func (k *Keeping) parseRule(rule string) error {
	mailbox, limits, found := strings.Cut(rule, ":")
	if !found {
		return errors.New("userdb_quota_rule is not of the form *:storage=1G:messages=1000")
	}
	if mailbox != "*" {
		return nil
	}
	for limit := range strings.SplitSeq(limits, ":") {
		name, value, _ := strings.Cut(limit, "=")
		var err error
		switch strings.ToLower(name) {
		case "storage":
			if value != "" && strings.Trim(value, "0123456789") == "" {
				value += "K" // as it is for Dovecot
			}
			err = k.SetOctets(value)
		case "bytes":
			err = k.SetOctets(value)
		case "messages":
			err = k.SetMessages(value)
		case "ignore":
			k.Octets, k.Messages = new(int64), new(int64)
		default:
			err = fmt.Errorf("userdb_quota_rule knows storage, bytes and messages, not %q", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
