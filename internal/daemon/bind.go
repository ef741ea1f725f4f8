package daemon

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
)

// bindError tells what to do where an address cannot be bound.
func bindError(protocol, addr string, err error) error {
	_, port, _ := net.SplitHostPort(addr)
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			return fmt.Errorf("%s.listen: %s is there already: another server, perhaps another poplin, listens on it (`ss -lxp` shows it), or it is no socket", protocol, path)
		case errors.Is(err, syscall.ENOENT):
			return fmt.Errorf("%s.listen: the folder of %s does not exist: make it, or let systemd do so (RuntimeDirectory=)", protocol, path)
		}
		return fmt.Errorf("%s.listen: %w", protocol, err)
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s.listen: %s is in use: another server, perhaps another poplin, listens there (`ss -ltnp 'sport = :%s'` shows it)", protocol, addr, port)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s.listen: no permission for %s: ports below 1024 are for root. Start as root, run `setcap cap_net_bind_service=+ep` on the program, or set another port in %s.listen", protocol, addr, protocol)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s.listen: this machine has no address %s", protocol, addr)
	}
	return fmt.Errorf("%s.listen: %w", protocol, err)
}
