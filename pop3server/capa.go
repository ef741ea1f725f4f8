package pop3server

import (
	"context"
	"strconv"
	"time"

	gosasl "github.com/emersion/go-sasl"

	"github.com/poplin-mail/poplin/pop3"
)

// capa lists the capabilities (RFC 2449 section 5). Passwords and STLS are
// announced where they work: no USER and no SASL before TLS where TLS is
// required, no STLS inside TLS or after login.
func (s *session) capa(context.Context, argument) error {
	s.ok(textCapa)
	for _, c := range s.capabilities() {
		s.w.Line(c.String())
	}
	return s.w.EndList()
}

func (s *session) capabilities() pop3.Capabilities {
	caps := pop3.Capabilities{
		{Name: pop3.CapTop},
		{Name: pop3.CapUIDL},
		{Name: pop3.CapRespCodes},
		{Name: pop3.CapAuthRespCode},
		{Name: pop3.CapPipelining},
		{Name: pop3.CapExpire, Args: s.expire()},
		{Name: pop3.CapUTF8, Args: []string{"USER"}},
		{Name: pop3.CapLang},
		{Name: pop3.CapImplementation, Args: []string{s.srv.opts.Implementation}},
	}
	if d := s.srv.opts.LoginDelay; d > 0 {
		caps = append(caps, pop3.Capability{Name: pop3.CapLoginDelay, Args: []string{wholeSeconds(d)}})
	}
	if s.mayLogin() {
		if s.srv.offers(gosasl.Plain) {
			caps = append(caps, pop3.Capability{Name: pop3.CapUser})
		}
		var names []string
		for _, m := range s.mechanisms() {
			names = append(names, m.name)
		}
		if names != nil {
			caps = append(caps, pop3.Capability{Name: pop3.CapSASL, Args: names})
		}
	}
	if !s.protected() && s.srv.opts.TLSConfig != nil && s.state == pop3.Authorization {
		caps = append(caps, pop3.Capability{Name: pop3.CapSTLS})
	}
	return caps
}

// expire gives what CAPA says of how long messages are kept. Less than a day
// would be told as 0, which means that messages go at QUIT.
func (s *session) expire() []string {
	age := s.srv.opts.Expire
	if own := s.account.Expire; own != nil {
		age = *own
	}
	args := []string{"NEVER"}
	if age > 0 {
		args[0] = strconv.FormatInt(max(1, int64(age/(24*time.Hour))), 10)
	}
	if s.state == pop3.Authorization && s.srv.opts.ExpireByUser {
		args = append(args, "USER")
	}
	return args
}

// wholeSeconds rounds up, so that a client that waits as long is let in.
func wholeSeconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
