package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrNotRunning says that no server answers below a state folder.
var ErrNotRunning = errors.New("no server is running")

// askTime bounds one question to one server.
const askTime = 10 * time.Second

// maxAnswer bounds an answer, in octets: far more than all sessions take that
// a server can have.
const maxAnswer = 256 << 20

// Sessions gives the sessions of all server processes that share the state
// folder, by user and then by age. The error is ErrNotRunning where there is
// none.
func Sessions(ctx context.Context, state string) ([]Session, error) {
	all := []Session{}
	err := each(ctx, state, http.MethodGet, "/sessions", nil, func(decode func(any) error) error {
		var some []Session
		err := decode(&some)
		all = append(all, some...)
		return err
	})
	slices.SortFunc(all, func(a, b Session) int {
		return cmp.Or(strings.Compare(a.User, b.User), a.Started.Compare(b.Started), strings.Compare(a.Session, b.Session))
	})
	return all, err
}

// Kick cuts sessions in all server processes that share the state folder, and
// gives their number, which counts with an error too. Nothing that is only
// marked as deleted is removed. The error is ErrNotRunning where there is no
// server.
func Kick(ctx context.Context, state string, which Selection) (int, error) {
	if _, err := which.matcher(); err != nil {
		return 0, err
	}
	body, err := json.Marshal(which)
	if err != nil {
		return 0, err
	}
	sum := 0
	err = each(ctx, state, http.MethodPost, "/kick", body, func(decode func(any) error) error {
		var k kicked
		err := decode(&k)
		sum += k.Kicked
		return err
	})
	return sum, err
}

// each asks all processes that there are, and gives their answers to take. One
// that fails does not keep the others from being asked.
func each(ctx context.Context, state, method, path string, body []byte, take func(decode func(any) error) error) error {
	dir := filepath.Join(state, controlFolder)
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrNotRunning
	case err != nil:
		return forbidden(err)
	}
	var errs []error
	asked := 0
	for _, e := range entries {
		if match, _ := filepath.Match(controlPattern, e.Name()); !match {
			continue
		}
		socket := filepath.Join(dir, e.Name())
		switch err := ask(ctx, socket, method, path, body, take); {
		case errors.Is(err, syscall.ECONNREFUSED): // its process was killed
			os.Remove(socket)
		case errors.Is(err, fs.ErrNotExist): // its process ended meanwhile
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", socket, forbidden(err)))
		default:
			asked++
		}
	}
	if asked == 0 && len(errs) == 0 {
		return ErrNotRunning
	}
	return errors.Join(errs...)
}

func forbidden(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: only root may ask, and the user that the server runs as", err)
	}
	return err
}

// ask puts one question to one process.
func ask(ctx context.Context, socket, method, path string, body []byte, take func(decode func(any) error) error) error {
	if len(socket) > maxSocketPath {
		return fmt.Errorf("the path has %d octets, and the system takes %d: set a shorter path in state", len(socket), maxSocketPath)
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, method, "http://poplin"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	limited := io.LimitReader(response.Body, maxAnswer)
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(limited, maxKick)) // the status says enough
		return fmt.Errorf("the server answers %s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	return take(json.NewDecoder(limited).Decode)
}
