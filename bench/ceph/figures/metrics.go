package figures

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/poplin-mail/poplin/bench/ceph/cluster"
)

// usage is what nodes have asked of the store since they started.
type usage struct {
	requests float64
	time     float64 // seconds
	sessions float64 // POP3 logins
}

// asked adds up what the metrics of nodes say.
func asked(ctx context.Context, nodes []*cluster.Node) (u usage, err error) {
	for _, n := range nodes {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Console()+"/metrics", nil)
		if err != nil {
			return u, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return u, err
		}
		err = u.add(resp.Body)
		resp.Body.Close()
		if err != nil {
			return u, fmt.Errorf("metrics of %s: %w", n.Name(), err)
		}
	}
	return u, nil
}

// add reads metrics in the text format of Prometheus.
func (u *usage) add(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, rest, ok := strings.Cut(lines.Text(), "{")
		if !ok {
			continue
		}
		_, value, _ := strings.Cut(rest, "} ")
		var to *float64
		switch name {
		case "poplin_bucket_call_duration_seconds_count":
			to = &u.requests
		case "poplin_bucket_call_duration_seconds_sum":
			to = &u.time
		case "poplin_logins_total":
			to = &u.sessions
		default:
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("%q: %w", lines.Text(), err)
		}
		*to += n
	}
	return lines.Err()
}
