package oauthusers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// introspect asks the authorization server about a token (RFC 7662).
func (s *Source) introspect(ctx context.Context, token string) (map[string]any, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.opts.IntrospectionURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("OAuth: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.Header["Idempotency-Key"] = []string{} // not sent; it has net/http ask again where a kept connection was closed meanwhile
	if s.opts.ClientID != "" {
		r.SetBasicAuth(url.QueryEscape(s.opts.ClientID), url.QueryEscape(s.opts.ClientSecret)) // RFC 6749 section 2.3.1
	}
	response, err := s.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("OAuth: asking about a token: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("OAuth: asking about a token: the server answers %d", response.StatusCode)
	}
	var claims map[string]any
	if err := json.NewDecoder(response.Body).Decode(&claims); err != nil {
		return nil, fmt.Errorf("OAuth: asking about a token: the answer is not JSON: %w", err)
	}
	if active, _ := claims["active"].(bool); !active {
		return nil, s.refuse("the token is not active")
	}
	return claims, s.checkIntrospected(claims)
}

// checkIntrospected is what package oidc does for signed tokens. The server
// need not say who issued a token, or until when it is good: it has said that
// it is good now.
func (s *Source) checkIntrospected(claims map[string]any) error {
	if issuer, given := claims["iss"]; given && s.opts.Issuer != "" && issuer != s.opts.Issuer {
		return s.refuse("the token is of another issuer")
	}
	if !slices.Contains(audiences(claims["aud"]), s.opts.Audience) {
		return s.refuse("the token is made for another service")
	}
	now := time.Now()
	if exp, given := claims["exp"]; given {
		if end, ok := exp.(float64); !ok || !now.Before(time.Unix(int64(end), 0)) {
			return s.refuse("the token has expired")
		}
	}
	if nbf, given := claims["nbf"]; given {
		if begin, ok := nbf.(float64); !ok || now.Add(time.Minute).Before(time.Unix(int64(begin), 0)) {
			return s.refuse("the token is not valid yet")
		}
	}
	return nil
}

func audiences(claim any) []string {
	switch value := claim.(type) {
	case string:
		return []string{value}
	case []any:
		var all []string
		for _, one := range value {
			if text, ok := one.(string); ok {
				all = append(all, text)
			}
		}
		return all
	}
	return nil
}
