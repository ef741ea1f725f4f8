package console

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/poplin-mail/poplin/pop3server"
)

// scrape gives what /metrics says, line by line: the value by name and labels.
func scrape(t *testing.T, m *Metrics) (text string, values map[string]string) {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	values = map[string]string{}
	for line := range strings.Lines(w.Body.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "} "); ok {
			values[name+"}"] = value
		} else if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			values[name] = value
		}
	}
	return w.Body.String(), values
}

// full are Metrics with every source.
func full() *Metrics {
	m := NewMetrics()
	m.Watch(Sources{
		Panics:   func() int64 { return 2 },
		Expiries: func() map[string]time.Time { return map[string]time.Time{"cert.pem": time.Unix(1800000000, 0)} },
		Guard:    func() GuardStats { return GuardStats{Delayed: 3, Rejected: 4, Entries: 5} },
		MTAs:     func() int { return 6 },
	})
	m.Bucket()
	return m
}

func TestMetrics(t *testing.T) {
	m := full()
	m.SessionStarted()
	m.SessionStarted()
	m.Handshake(nil, 30*time.Millisecond)
	m.Handshake(errors.New("no"), time.Second)
	m.LoggedIn("SCRAM-SHA-256-PLUS", true)
	m.LoggedIn("USER", false)
	m.LoginFailed("PLAIN")
	m.LoginFailed("X-MADE-UP")
	m.Command("RETR", 20*time.Millisecond, true)
	m.Command("RETR", time.Second, false)
	m.Command("EHLO", 0, false)
	m.Refused("too many sessions")
	m.Deleted(7)
	m.Intake().Delivered(300)
	m.Intake().Delivered(500)
	m.Intake().Refused("over_quota")
	m.Intake().Refused("made up")
	m.Intake().Took(20 * time.Millisecond)
	m.SessionEnded(pop3server.SessionSummary{OctetsIn: 100, OctetsOut: 2000, Retrieved: 6, Deleted: 7, Duration: 2 * time.Second})
	_, got := scrape(t, m)
	for name, want := range map[string]string{
		"poplin_sessions":                                                     "1",
		"poplin_sessions_total":                                               "2",
		`poplin_session_duration_seconds_bucket{le="1"}`:                      "0",
		`poplin_session_duration_seconds_bucket{le="10"}`:                     "1",
		"poplin_tls_handshakes_total":                                         "2",
		"poplin_tls_handshake_failures_total":                                 "1",
		"poplin_tls_handshake_duration_seconds_count":                         "1",
		`poplin_logins_total{mechanism="SCRAM-SHA-256-PLUS",tls="true"}`:      "1",
		`poplin_logins_total{mechanism="SCRAM-SHA-256-PLUS",tls="false"}`:     "0",
		`poplin_logins_total{mechanism="USER",tls="false"}`:                   "1",
		`poplin_login_failures_total{mechanism="PLAIN"}`:                      "1",
		`poplin_login_failures_total{mechanism="other"}`:                      "1",
		`poplin_commands_total{ok="true",verb="RETR"}`:                        "1",
		`poplin_commands_total{ok="false",verb="RETR"}`:                       "1",
		`poplin_commands_total{ok="false",verb="other"}`:                      "1",
		`poplin_command_duration_seconds_bucket{verb="RETR",le="0.05"}`:       "1",
		`poplin_command_duration_seconds_count{verb="RETR"}`:                  "2",
		`poplin_refused_total{reason="too many sessions"}`:                    "1",
		`poplin_refused_total{reason="too many open files"}`:                  "0",
		`poplin_refused_total{reason="gave way to a newer connection"}`:       "0",
		"poplin_received_bytes_total":                                         "100",
		"poplin_sent_bytes_total":                                             "2000",
		"poplin_messages_retrieved_total":                                     "6",
		"poplin_messages_deleted_total":                                       "7",
		"poplin_panics_total":                                                 "2",
		`poplin_certificate_expiry_timestamp_seconds{certificate="cert.pem"}`: "1.8e+09",
		"poplin_guard_delayed_total":                                          "3",
		"poplin_guard_rejected_total":                                         "4",
		"poplin_guard_entries":                                                "5",
		"poplin_lmtp_connections":                                             "6",
		"poplin_deliveries_total":                                             "2",
		"poplin_delivered_bytes_total":                                        "800",
		`poplin_deliveries_refused_total{reason="over_quota"}`:                "1",
		`poplin_deliveries_refused_total{reason="no_user"}`:                   "0",
		`poplin_deliveries_refused_total{reason="other"}`:                     "1",
		`poplin_delivery_duration_seconds_bucket{le="0.01"}`:                  "0",
		`poplin_delivery_duration_seconds_bucket{le="0.025"}`:                 "1",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %s", name, got[name], want)
		}
	}
	for _, prefix := range []string{"poplin_build_info{", "go_goroutines", "process_open_fds"} {
		if text, _ := scrape(t, m); !strings.Contains(text, "\n"+prefix) {
			t.Errorf("there is no %s", prefix)
		}
	}
}

// TestRefusedIsBounded: no more label values than are useful.
func TestRefusedIsBounded(t *testing.T) {
	m := NewMetrics()
	for i := range 10 * maxReasons {
		m.Refused(fmt.Sprint("reason ", i))
	}
	text, got := scrape(t, m)
	if n := strings.Count(text, "\npoplin_refused_total{"); n != maxReasons+1 {
		t.Errorf("%d series, want %d", n, maxReasons+1)
	}
	if n := got[`poplin_refused_total{reason="other"}`]; n != fmt.Sprint(9*maxReasons+len(pop3server.Reasons())) {
		t.Errorf("%s others", n)
	}
}

// TestSeriesAreFew: all labels together stay cheap to store.
func TestSeriesAreFew(t *testing.T) {
	text, _ := scrape(t, full())
	if n := strings.Count(text, "\npoplin_"); n > 550 {
		t.Errorf("%d series", n)
	}
}

func TestPromlint(t *testing.T) {
	text, _ := scrape(t, full())
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "poplin_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// TestDocumented: the table in docs/console.md has every metric with its
// explanation and labels, and no other.
func TestDocumented(t *testing.T) {
	m := full()
	m.Refused("x")
	text, _ := scrape(t, m)
	page, err := os.ReadFile("../../docs/console.md")
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^# TYPE (poplin_\w+) (\w+)$`).FindAllStringSubmatch(text, -1) {
		types[match[1]] = match[2]
	}
	rows := 0
	for _, match := range regexp.MustCompile(`(?m)^# HELP (poplin_\w+) (.*)$`).FindAllStringSubmatch(text, -1) {
		name, help := match[1], match[2]
		row := fmt.Sprintf("| `%s%s` | %s | %s |\n", name, labels(text, name), types[name], help)
		if rows++; !strings.Contains(string(page), row) {
			t.Errorf("docs/console.md lacks the row\n%s", row)
		}
	}
	if n := strings.Count(string(page), "\n| `poplin_"); n != rows || rows < 15 {
		t.Errorf("docs/console.md has %d rows, there are %d metrics", n, rows)
	}
}

// labels gives the labels of a metric, as {a,b}.
func labels(text, name string) string {
	series := regexp.MustCompile(`(?m)^` + name + `(?:_bucket)?\{(.*)\} `).FindStringSubmatch(text)
	if series == nil {
		return ""
	}
	var names []string
	for _, match := range regexp.MustCompile(`(\w+)="[^"]*"`).FindAllStringSubmatch(series[1], -1) {
		if match[1] != "le" {
			names = append(names, match[1])
		}
	}
	if names == nil {
		return ""
	}
	return "{" + strings.Join(names, ",") + "}"
}
