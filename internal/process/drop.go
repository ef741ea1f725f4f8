package process

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// Identity is a user and his groups, by number.
type Identity struct {
	UID, GID int
	Groups   []int // supplementary
}

// Lookup finds a user by name or number. An empty group is the user's own;
// a number that is no known user needs one.
func Lookup(name, group string) (Identity, error) {
	id := Identity{GID: -1}
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.LookupId(name)
	}
	uid, numeric := strconv.Atoi(name)
	switch {
	case err == nil:
		if id, err = known(u); err != nil {
			return id, err
		}
	case numeric == nil && uid >= 0:
		id.UID = uid
	default:
		return id, fmt.Errorf("there is no user %q on this machine: set user to one of /etc/passwd", name)
	}
	if group != "" {
		if id.GID, err = LookupGroup(group); err != nil {
			return id, err
		}
	}
	if id.GID < 0 {
		return id, fmt.Errorf("user %s is not in /etc/passwd: set group too", name)
	}
	return id, nil
}

// known gives the numbers of u.
func known(u *user.User) (id Identity, err error) {
	if id.UID, err = strconv.Atoi(u.Uid); err != nil {
		return id, err
	}
	if id.GID, err = strconv.Atoi(u.Gid); err != nil {
		return id, err
	}
	groups, err := u.GroupIds()
	if err != nil {
		return id, fmt.Errorf("groups of user %s: %w", u.Username, err)
	}
	for _, g := range groups {
		gid, err := strconv.Atoi(g)
		if err != nil {
			return id, err
		}
		id.Groups = append(id.Groups, gid)
	}
	return id, nil
}

// LookupGroup finds a group by name or number.
func LookupGroup(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err == nil {
		return strconv.Atoi(g.Gid)
	}
	if gid, err := strconv.Atoi(name); err == nil && gid >= 0 {
		return gid, nil
	}
	return -1, fmt.Errorf("there is no group %q on this machine: set group to one of /etc/group", name)
}

// Drop makes this process that of id, for good, in all its threads. Only root
// can, and a process that is id already, which stays so.
func Drop(id Identity) error {
	if os.Geteuid() != 0 {
		if os.Getuid() == id.UID && os.Geteuid() == id.UID && os.Getgid() == id.GID {
			return nil // the successor of one that dropped its rights, or started by systemd as this user
		}
		return fmt.Errorf("only root can become user %d, and this is user %d: start as root, or leave user empty", id.UID, os.Geteuid())
	}
	groups := id.Groups
	if len(groups) == 0 {
		groups = []int{id.GID}
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("setgroups %v: %w", groups, err)
	}
	if err := syscall.Setresgid(id.GID, id.GID, id.GID); err != nil {
		return fmt.Errorf("setresgid %d: %w", id.GID, err)
	}
	if err := syscall.Setresuid(id.UID, id.UID, id.UID); err != nil {
		return fmt.Errorf("setresuid %d: %w", id.UID, err)
	}
	return verify(id, groups)
}

// verify makes sure that the rights are gone and do not come back.
func verify(id Identity, groups []int) error {
	have, err := syscall.Getgroups()
	if err != nil {
		return err
	}
	slices.Sort(have)
	want := slices.Clone(groups)
	slices.Sort(want)
	switch {
	case os.Getuid() != id.UID || os.Geteuid() != id.UID || os.Getgid() != id.GID || os.Getegid() != id.GID,
		!slices.Equal(slices.Compact(have), slices.Compact(want)):
		return fmt.Errorf("rights were not dropped: this is still user %d, group %d, groups %v", os.Geteuid(), os.Getegid(), have)
	case id.UID != 0 && (syscall.Setuid(0) == nil || syscall.Setresuid(-1, 0, -1) == nil):
		return errors.New("rights were not dropped: this process could become root again")
	case id.UID != 0 && id.GID != 0 && !slices.Contains(groups, 0) && syscall.Setgid(0) == nil:
		return errors.New("rights were not dropped: this process could take root's group again")
	}
	return nil
}

// MakeFolder makes the folder path with mode 0700 for id, where it is missing.
func (id Identity) MakeFolder(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return os.Lchown(path, id.UID, id.GID)
}
