package oauth

import (
	"context"
	"errors"
	"time"

	"golang.org/x/oauth2"
)

const (
	pollDefault  = 5 * time.Second // RFC 8628 section 3.2
	pollSlowest  = time.Minute
	codeDefault  = 15 * time.Minute // where the provider does not say how long a code is good, which it must
	codeLongest  = time.Hour
	maxUserCode  = 64
	maxDeviceURL = 2048
)

// Prompt is what a person must do on some device with a browser: open URL and
// enter Code there, before Expires.
type Prompt struct {
	URL      string
	Code     string
	Complete string // a URL that holds the code, for a QR code; empty where there is none
	Expires  time.Time
}

// Devices tells whether LoginDevice is of use.
func (s *Source) Devices() bool { return s.config.Endpoints.DeviceURL != "" }

// LoginDevice logs in by a code that a person enters on another device (RFC
// 8628). It calls show, once, and waits until the code was entered, refused or
// has run out.
func (s *Source) LoginDevice(ctx context.Context, show func(Prompt)) error {
	if !s.Devices() {
		return errors.New("this provider does not let programs for mail log in by a code: log in by the browser")
	}
	config, err := s.beginLogin(ctx)
	if err != nil {
		return err
	}
	device, err := config.DeviceAuth(s.with(ctx))
	if err != nil {
		return s.explain(err, false)
	}
	prompt, err := tame(device)
	if err != nil {
		return err
	}
	show(prompt)
	token, err := s.poll(ctx, config, device)
	if err != nil {
		return err
	}
	return s.save(ctx, token)
}

// beginLogin finds out before a person begins whether it can be finished.
func (s *Source) beginLogin(ctx context.Context) (*oauth2.Config, error) {
	config, err := s.oauth2(ctx)
	if err != nil {
		return nil, err
	}
	unlock, err := s.store.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	draft, err := s.store.begin()
	if err != nil {
		return nil, err
	}
	draft.drop()
	return config, nil
}

// poll asks until there is a token. A request that is lost is no end: RFC 8628
// section 3.5 has clients ask less often then.
func (s *Source) poll(ctx context.Context, config *oauth2.Config, device *oauth2.DeviceAuthResponse) (*oauth2.Token, error) {
	for {
		token, err := config.DeviceAccessToken(s.with(ctx), device)
		if err == nil {
			return token, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		err = s.explain(err, false)
		if !time.Now().Before(device.Expiry) {
			return nil, &RefusedError{Code: "expired_token", Reason: reasons["expired_token"]}
		}
		var temporary *TemporaryError
		if !errors.As(err, &temporary) {
			return nil, err
		}
		device.Interval = min(2*device.Interval, int64(pollSlowest/time.Second))
	}
}

// tame bounds what a provider may ask for and what it may have printed on a
// terminal.
func tame(d *oauth2.DeviceAuthResponse) (Prompt, error) {
	if d.DeviceCode == "" || len(d.UserCode) > maxUserCode || d.UserCode == "" || !printable(d.UserCode) || !showable(d.VerificationURI) {
		return Prompt{}, &TemporaryError{Reason: "the provider's answer cannot be read"}
	}
	if d.Interval <= 0 {
		d.Interval = int64(pollDefault / time.Second)
	}
	d.Interval = min(d.Interval, int64(pollSlowest/time.Second))
	now := time.Now()
	if d.Expiry.IsZero() {
		d.Expiry = now.Add(codeDefault)
	}
	if latest := now.Add(codeLongest); d.Expiry.After(latest) {
		d.Expiry = latest
	}
	p := Prompt{URL: d.VerificationURI, Code: d.UserCode, Expires: d.Expiry}
	if showable(d.VerificationURIComplete) {
		p.Complete = d.VerificationURIComplete
	}
	return p, nil
}

// showable tells whether a URL may be shown and opened.
func showable(url string) bool {
	return len(url) <= maxDeviceURL && printable(url) && checkURL(url) == nil
}
