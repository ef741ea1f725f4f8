package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3server"
)

// TestUnknownUserCostsTheSame looks at what is worked through, not at time.
func TestUnknownUserCostsTheSame(t *testing.T) {
	for _, keep := range []time.Duration{0, time.Hour} {
		file := source(t, "anna:"+fast+"\nlocked:!\nempty:\nkept:"+fast+"::::::nologin\n")
		count := slow(file)
		d := over(t, Options{CacheTime: keep}, file)
		for _, user := range []string{"anna", "nobody", "locked", "empty", "kept", "../x", "a*b", "anna", "nobody"} {
			for _, password := range []string{"wrong", "", "tanstaaf l"} {
				before := count.Load()
				_, err := login(t, d, user, password)
				if n := count.Load() - before; n != 1 && !(keep > 0 && (user == "anna" || user == "kept") && password == "tanstaaf l") {
					t.Errorf("%s with %q: %d hashes were checked, want one", user, password, n)
				}
				if (err == nil) != (user == "anna" && password == "tanstaaf l") {
					t.Errorf("%s with %q: %v", user, password, err)
				}
			}
		}
		for key := range d.cache.right {
			if key != d.cache.sum(0, "anna", fast, "tanstaaf l") && key != d.cache.sum(0, "kept", fast, "tanstaaf l") {
				t.Error("a decoy that matched is remembered: the next try would tell")
			}
		}
	}
}

// TestDecoySpread: a file of two schemes has decoys of both, each name its own.
func TestDecoySpread(t *testing.T) {
	d := open(t, "a:"+fast+"\nb:{PLAIN}x\nc:!\n")
	found := map[string]bool{}
	for i := range 50 {
		name := fmt.Sprint("name", i)
		s := d.decoy(name).secret
		found[s.scheme] = true
		if again := d.decoy(strings.ToUpper(name)).secret; again != s {
			t.Errorf("%s has two decoys", name)
		}
	}
	if !found["SHA256"] || !found["PLAIN"] || len(found) != 2 {
		t.Errorf("decoys are of %v", found)
	}
	if s := open(t, "c:!\n").decoy("x").secret; s.memory != newMemory<<10 || s.match("") {
		t.Errorf("without users, the decoy takes %d octets", s.memory)
	}
}

// TestDecoysOfADatabase: those of users that were found, since none can be
// looked for; a name keeps its decoy.
func TestDecoysOfADatabase(t *testing.T) {
	users := map[string]User{"lock": {Name: "lock", Secret: "!"}}
	for i := range 200 {
		name := fmt.Sprint("user", i)
		users[name] = User{Name: name, Secret: "{PLAIN}" + name}
	}
	d := over(t, Options{}, &book{users: users})
	if _, err := login(t, d, "lock", "x"); !refused(err) || d.decoy("x").secret != &ownDecoy {
		t.Errorf("a locked user became a decoy, error %v", err)
	}
	for name := range users {
		_, _ = login(t, d, name, "x") // to be found
	}
	first := d.decoy("x").secret
	spread := map[*secret]bool{}
	for i := range 1000 {
		spread[d.decoy(fmt.Sprint(i)).secret] = true
	}
	for name := range users {
		_, _ = login(t, d, name, "y")
	}
	if d.decoy("x").secret != first || first == &ownDecoy || len(spread) < 32 {
		t.Errorf("the decoy of a name changed, or all have few: %d", len(spread))
	}
}

// decoying is a source that asks somebody else about passwords.
type decoying struct {
	book
	taken []string
	err   error
}

func (s *decoying) Decoy(_ context.Context, password string) error {
	s.taken = append(s.taken, password)
	return s.err
}

func TestDecoyOfASourceThatIsAsked(t *testing.T) {
	s := &decoying{}
	s.users = map[string]User{"anna": {Name: "anna", Verify: func(context.Context, string) error { return pop3server.ErrBadCredentials }}}
	d := over(t, Options{CacheTime: time.Hour}, s)
	for _, user := range []string{"anna", "nobody", "nobody"} {
		if _, err := login(t, d, user, "x"); !refused(err) {
			t.Errorf("%s: %v", user, err)
		}
	}
	if fmt.Sprint(s.taken) != "[x x]" {
		t.Errorf("asked in vain for %q", s.taken)
	}
	s.err = errors.New("server down") // as it is for users
	if _, err := login(t, d, "nobody", "x"); !errors.Is(err, s.err) || refused(err) {
		t.Errorf("while the server is down: %v", err)
	}
}

// TestAllSourcesAreAskedOnRefusal: how many sources a wrong password is
// looked up in does not tell whether there is such a user.
func TestAllSourcesAreAskedOnRefusal(t *testing.T) {
	user := func(name string) map[string]User { return map[string]User{name: {Name: name, Secret: "{PLAIN}x"}} }
	for _, name := range []string{"anna", "bert", "nobody"} {
		first, second := &book{users: user("anna")}, &book{users: user("bert")}
		d := over(t, Options{}, first, second)
		if _, err := login(t, d, name, "wrong"); !refused(err) || len(first.asked) != 1 || len(second.asked) != 1 {
			t.Errorf("%s: %d and %d look-ups, error %v", name, len(first.asked), len(second.asked), err)
		}
	}
}
