package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Forget deletes the stored tokens, and has the provider revoke them where it
// can (RFC 7009). An error after which nothing is stored any more says that
// the provider could not be told. Without anything stored it does nothing.
func (s *Source) Forget(ctx context.Context) error {
	unlock, err := s.store.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	r, _ := s.store.read() // one that is damaged is deleted too
	if kept := s.kept(); kept != nil {
		r = kept
	}
	if err := s.store.remove(); err != nil {
		return err
	}
	s.keep(nil)
	if r == nil || s.config.Endpoints.RevokeURL == "" || r.TokenURL != s.config.Endpoints.TokenURL {
		return nil
	}
	if err = s.revoke(ctx, r); err != nil {
		return fmt.Errorf("the tokens were deleted here, but the provider could not be told: remove Poplin's access in the settings of your account there: %w", err)
	}
	return nil
}

// revoke takes the refresh token back, and with it the tokens made from it
// (RFC 7009 section 2.1).
func (s *Source) revoke(ctx context.Context, r *record) error {
	token := r.RefreshToken
	if token == "" {
		token = r.AccessToken
	}
	config, err := s.oauth2(ctx)
	if err != nil {
		return err
	}
	form := url.Values{"token": {token}, "client_id": {config.ClientID}}
	if config.ClientSecret != "" {
		form.Set("client_secret", config.ClientSecret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.config.Endpoints.RevokeURL, strings.NewReader(form.Encode()))
	if err != nil {
		return errors.New("the provider's address for it is malformed")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := s.client(ctx).Do(req)
	if err != nil {
		return s.explain(err, false)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answered with status %d", resp.StatusCode)
	}
	return nil
}
