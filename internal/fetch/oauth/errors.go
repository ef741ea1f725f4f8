package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"

	"golang.org/x/oauth2"
)

// LoginError says that a person must log in: nobody has done so yet, or the
// provider takes the stored token no longer. Trying again does not help.
type LoginError struct {
	Account string
	Reason  string
}

func (e *LoginError) Error() string {
	return e.Reason + ": log in again: poplin fetch login " + e.Account
}

// RefusedError says that the provider refused a request. Something must be
// changed before it can work.
type RefusedError struct {
	Code   string // of RFC 6749 section 5.2 or RFC 8628 section 3.5; empty where it gave none
	Detail string // Microsoft's own code, AADSTS and a number; empty elsewhere
	Reason string // what to do about it
}

func (e *RefusedError) Error() string {
	switch {
	case e.Code == "":
		return e.Reason
	case e.Detail == "":
		return fmt.Sprintf("%s (%s)", e.Reason, e.Code)
	}
	return fmt.Sprintf("%s (%s, %s)", e.Reason, e.Code, e.Detail)
}

// TemporaryError says that it may work later, with nothing changed: the
// network, or a provider in trouble.
type TemporaryError struct {
	Reason string
	Err    error // may be nil
}

func (e *TemporaryError) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

// Unwrap gives the reason of the network.
func (e *TemporaryError) Unwrap() error { return e.Err }

// Temporary is true.
func (e *TemporaryError) Temporary() bool { return true }

// reasons say what to do about the codes that a person may meet.
var reasons = map[string]string{
	"access_denied":          "the login was refused, by you or by an administrator",
	"authorization_declined": "the login was refused, by you or by an administrator", // Microsoft's name for it
	"expired_token":          "the code was not entered in time: begin again",
	"invalid_client":         "the provider does not take the client: check oauth_client_id and oauth_client_secret_file",
	"unauthorized_client":    "the client id may not log in this way: see docs/howto/oauth.md for what to allow where it is registered",
	"invalid_scope":          "the client id may not ask for access to mail: see docs/howto/oauth.md for the scope to add",
	"redirect_uri_mismatch":  "the client id is registered for another kind of program: register a desktop app, see docs/howto/oauth.md",
	"invalid_grant":          "the provider does not take the code: begin again",
	"admin_policy_enforced":  "the administrator of the mail domain does not allow this client id",
}

// again are the codes for which a person must log in once more: RFC 6749
// section 5.2 and OpenID Connect Core section 3.1.2.6, which Microsoft uses
// here too.
var again = map[string]bool{"invalid_grant": true, "interaction_required": true, "login_required": true, "consent_required": true}

// passing are the codes of a provider in trouble (RFC 6749 section 4.1.2.1).
var passing = map[string]bool{"temporarily_unavailable": true, "server_error": true}

var (
	plainCode     = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)
	microsoftCode = regexp.MustCompile(`\bAADSTS[0-9]{4,10}\b`)
)

// explain turns an error of the library into one of this package. The
// library's own hold what the provider sent, and so perhaps a token.
func (s *Source) explain(err error, refresh bool) error {
	var answer *oauth2.RetrieveError
	var transport *url.Error
	switch {
	case errors.As(err, &answer):
		status := 0
		if answer.Response != nil {
			status = answer.Response.StatusCode
		}
		return s.refusal(answer.ErrorCode, answer.ErrorDescription, status, refresh)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &transport):
		return &TemporaryError{Reason: "the provider cannot be reached", Err: transport.Err}
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	}
	return &TemporaryError{Reason: "the provider's answer cannot be read"}
}

// refusal makes the error for an answer that is negative. The status is 0
// where it came by the browser.
func (s *Source) refusal(code, description string, status int, refresh bool) error {
	switch {
	case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
		return &TemporaryError{Reason: fmt.Sprintf("the provider is in trouble (status %d)", status)}
	case refresh && again[code]:
		return &LoginError{Account: s.config.Account, Reason: "the provider takes the stored token no longer"}
	}
	if !plainCode.MatchString(code) {
		return &RefusedError{Reason: fmt.Sprintf("the provider refused with status %d and no reason", status)}
	}
	return refusal(code, description)
}

// refusal makes the error for a code of a provider, which it shows only where
// it is plain. The description is searched for Microsoft's code and shown
// never.
func refusal(code, description string) error {
	if passing[code] {
		return &TemporaryError{Reason: "the provider is in trouble (" + code + ")"}
	}
	if !plainCode.MatchString(code) {
		code = ""
	}
	reason := reasons[code]
	if reason == "" {
		reason = "the provider refused"
	}
	return &RefusedError{Code: code, Detail: microsoftCode.FindString(description), Reason: reason}
}
