package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/poplin-mail/poplin/internal/directory"
)

// passwordFlags are of the commands that set a password. None holds one: what
// stands in a command line is seen by every user of the machine.
type passwordFlags struct {
	Generate bool   `short:"g" help:"Make a password and print it."`
	Scheme   string `enum:"argon2id,scram-sha-256,scram-sha-1" default:"argon2id" help:"How it is stored: ${enum}."`
}

// newPassword gets a password and its stored form. It returns the password
// only where it was generated.
func (f passwordFlags) newPassword(t *terminal, name string) (generated, stored string, err error) {
	password := ""
	switch file, isFile := t.in.(*os.File); {
	case f.Generate:
		password = directory.Generate()
		generated = password
	case isFile && term.IsTerminal(int(file.Fd())):
		password, err = askTwice(t, int(file.Fd()), name)
	default:
		password, err = readLine(t.in)
	}
	if err != nil {
		return "", "", err
	}
	stored, err = directory.HashAs(f.Scheme, password)
	return generated, stored, err
}

func printGenerated(t *terminal, password string) error {
	if password == "" {
		return nil
	}
	_, err := fmt.Fprintf(t.out, "password: %s\n", password)
	return err
}

// readLine reads a password from a pipe or a file: one line.
func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	if line == "" {
		return "", errors.New("standard input holds no password: pass one line, or use --generate")
	}
	return line, nil
}

// askTwice asks on a terminal, without echo.
func askTwice(t *terminal, fd int, name string) (string, error) {
	first, err := ask(t, fd, "Password for "+name+": ")
	if err != nil {
		return "", err
	}
	if err := directory.CheckPassword(first); err != nil {
		return "", err
	}
	second, err := ask(t, fd, "Once more: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ: nothing was changed")
	}
	return first, nil
}

// ask reads a line without echo. Ctrl-C gives the terminal its echo back.
func ask(t *terminal, fd int, question string) (string, error) {
	state, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	defer close(done)
	defer signal.Stop(interrupts)
	go func() {
		select {
		case s := <-interrupts:
			_ = term.Restore(fd, state) // there is nothing else to try
			signal.Stop(interrupts)
			_ = syscall.Kill(os.Getpid(), s.(syscall.Signal)) // as if it had not been caught
		case <-done:
		}
	}()
	fmt.Fprint(t.err, question)
	line, err := term.ReadPassword(fd)
	fmt.Fprintln(t.err)
	return string(line), err
}
