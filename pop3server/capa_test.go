package pop3server

import (
	"slices"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

// TestExpire: RFC 2449 section 6.7.
func TestExpire(t *testing.T) {
	const day = 24 * time.Hour
	never, week := time.Duration(0), 7*day
	for _, c := range []struct {
		age    time.Duration
		own    *time.Duration
		byUser bool
		state  pop3.State
		want   []string
	}{
		{0, nil, false, pop3.Authorization, []string{"NEVER"}},
		{0, nil, true, pop3.Authorization, []string{"NEVER", "USER"}},
		{30 * day, nil, true, pop3.Authorization, []string{"30", "USER"}},
		{30 * day, nil, true, pop3.Transaction, []string{"30"}},
		{30 * day, &week, true, pop3.Transaction, []string{"7"}},
		{30 * day, &never, true, pop3.Transaction, []string{"NEVER"}},
		{time.Hour, nil, false, pop3.Transaction, []string{"1"}},
		{36 * time.Hour, nil, false, pop3.Transaction, []string{"1"}},
	} {
		s := &session{srv: &Server{opts: Options{Expire: c.age, ExpireByUser: c.byUser}}, state: c.state, account: Account{Expire: c.own}}
		if got := s.expire(); !slices.Equal(got, c.want) {
			t.Errorf("%+v: EXPIRE %q, want %q", c, got, c.want)
		}
	}
}
