package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"

	"github.com/poplin-mail/poplin/internal/conformance"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/pop3"
)

// loginFlags are the flags of commands that log in to any server.
type loginFlags struct {
	PasswordFile    string `placeholder:"FILE" xor:"password" type:"path" help:"Read the password from the first line of this file."`
	PasswordCommand string `placeholder:"COMMAND" xor:"password" help:"Read the password from the first line that this shell command prints."`
}

// serverFlags are the flags of commands that connect to any server.
type serverFlags struct {
	TLS                string `name:"tls" enum:"implicit,stls,none" default:"implicit" help:"How the connection becomes safe: ${enum}. With none the password goes over the network in clear text."`
	CAFile             string `name:"cafile" placeholder:"FILE" type:"path" xor:"trust" help:"Trust the certificates in this PEM file, and no others."`
	InsecureSkipVerify bool   `xor:"trust" help:"Take any certificate: whoever stands between can read the password."`
}

// address adds the port that is usual for the mode.
func (f serverFlags) address(addr string) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	port := pop3.PortTLS
	if f.TLS != string(conformance.Implicit) {
		port = pop3.Port
	}
	return net.JoinHostPort(strings.Trim(addr, "[]"), fmt.Sprint(port))
}

// trust says which certificates are taken.
func (f serverFlags) trust() (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: f.InsecureSkipVerify}
	if f.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(f.CAFile)
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", f.CAFile)
	}
	return config, nil
}

// maxPasswordFile bounds the size of a password file, in octets.
const maxPasswordFile = 1 << 20

// password reads the password from where the flags say.
func (f loginFlags) password(ctx context.Context) (string, error) {
	var text []byte
	var err error
	switch {
	case f.PasswordFile != "":
		text, _, err = directory.ReadRegular(f.PasswordFile, maxPasswordFile)
	case f.PasswordCommand != "":
		command := exec.CommandContext(ctx, "/bin/sh", "-c", f.PasswordCommand)
		command.Stderr = os.Stderr
		if text, err = command.Output(); err != nil {
			err = fmt.Errorf("the password command failed: %w", err)
		}
	default:
		return "", nil
	}
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", errors.New("the first line of the password file, or of what the password command prints, is empty")
	}
	return line, nil
}
