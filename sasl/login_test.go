package sasl_test

import (
	"errors"
	"testing"

	gosasl "github.com/emersion/go-sasl"

	"github.com/poplin-mail/poplin/sasl"
)

// exchange runs a client against a server and gives the server's error.
func exchange(t *testing.T, client gosasl.Client, server gosasl.Server) error {
	t.Helper()
	_, response, err := client.Start()
	for err == nil {
		var challenge []byte
		var done bool
		challenge, done, err = server.Next(response)
		if err == nil && done {
			return nil
		}
		if err == nil {
			response, err = client.Next(challenge)
		}
	}
	return err
}

func TestLogin(t *testing.T) {
	refused := errors.New("refused")
	check := func(username, password string) error {
		if username != "mrose" || password != "tan staaf " {
			return refused
		}
		return nil
	}
	for _, c := range []struct {
		client gosasl.Client
		want   error
	}{
		{sasl.NewLoginClient("mrose", "tan staaf "), nil},
		{sasl.NewLoginClient("mrose", "tan staaf"), refused},
		{sasl.NewLoginClient("", ""), refused},
		{gosasl.NewLoginClient("mrose", "tan staaf "), nil}, // user name as initial response
	} {
		if err := exchange(t, c.client, sasl.NewLoginServer(check)); !errors.Is(err, c.want) {
			t.Errorf("got %v, want %v", err, c.want)
		}
	}
}

func TestLoginRefusesNUL(t *testing.T) {
	called := false
	check := func(string, string) error { called = true; return nil }
	for _, c := range []gosasl.Client{sasl.NewLoginClient("mr\x00ose", "x"), sasl.NewLoginClient("mrose", "x\x00")} {
		if err := exchange(t, c, sasl.NewLoginServer(check)); err == nil || called {
			t.Errorf("a NUL was taken: %v", err)
		}
	}
}

func TestLoginEndsOnce(t *testing.T) {
	server := sasl.NewLoginServer(func(string, string) error { return nil })
	for _, response := range [][]byte{[]byte("mrose"), []byte("x")} {
		if _, _, err := server.Next(response); err != nil {
			t.Fatal(err)
		}
	}
	if _, done, err := server.Next([]byte("x")); err == nil || done {
		t.Error("the server goes on behind its end")
	}
	server = sasl.NewLoginServer(func(string, string) error { return nil })
	server.Next(nil)
	if _, _, err := server.Next(nil); err == nil {
		t.Error("no response is taken for one")
	}
	client := sasl.NewLoginClient("mrose", "x")
	client.Next(nil)
	client.Next(nil)
	if _, err := client.Next(nil); err == nil {
		t.Error("the client answers a third challenge")
	}
}
