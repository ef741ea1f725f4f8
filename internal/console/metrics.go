package console

import (
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/poplin-mail/poplin/pop3server"
)

// Labels have few values: each one is a time series that is kept for good.
// What is not among them counts as "other".
const other = "other"

var (
	verbs = []string{"APOP", "AUTH", "CAPA", "DELE", "LANG", "LIST", "NOOP", "PASS", "QUIT", "RETR", "RSET", "STAT",
		"STLS", "TOP", "UIDL", "USER", "UTF8", other}
	mechanisms = []string{"APOP", "CRAM-MD5", "EXTERNAL", "LOGIN", "OAUTHBEARER", "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS",
		"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "USER", "XOAUTH2", other}
)

// maxReasons bounds the reasons for which connections are refused; the server
// has less than ten.
const maxReasons = 20

// Metrics counts what a server does. It is a pop3server.Observer; NewMetrics
// makes one.
type Metrics struct {
	registry *prometheus.Registry

	sessions                   prometheus.Gauge
	started                    prometheus.Counter
	received, sent             prometheus.Counter
	retrieved, deleted         prometheus.Counter
	handshakes, badHandshakes  prometheus.Counter
	handshakeTime, sessionTime prometheus.Histogram

	logins   map[string][2]prometheus.Counter // by mechanism; without TLS, with it
	failures map[string]prometheus.Counter
	commands map[string]command // by verb
	refused  *prometheus.CounterVec
	intake   intake

	mu      sync.Mutex
	reasons map[string]bool // that stand in refused
}

var _ pop3server.Observer = (*Metrics)(nil)

// command is what is counted of one verb.
type command struct {
	failed, ok prometheus.Counter
	took       prometheus.Observer
}

// NewMetrics makes Metrics with a registry of their own.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), reasons: map[string]bool{},
		logins: map[string][2]prometheus.Counter{}, failures: map[string]prometheus.Counter{}, commands: map[string]command{}}
	m.sessions = add(m, prometheus.NewGauge(gauge("sessions", "Connections that are open.")))
	m.started = m.counter("sessions_total", "Connections that were let in.")
	m.sessionTime = add(m, prometheus.NewHistogram(histogram("session_duration_seconds", "Time from the connection to its end.",
		.1, 1, 10, 60, 600, 3600)))
	m.received = m.counter("received_bytes_total", "Octets of commands, without TLS. A session's are added at its end.")
	m.sent = m.counter("sent_bytes_total", "Octets of replies and messages, without TLS. A session's are added at its end.")
	m.retrieved = m.counter("messages_retrieved_total", "Messages that RETR sent whole. A session's are added at its end.")
	m.deleted = m.counter("messages_deleted_total", "Messages that QUIT removed.")
	m.handshakes = m.counter("tls_handshakes_total", "TLS handshakes that ended, well or not.")
	m.badHandshakes = m.counter("tls_handshake_failures_total", "TLS handshakes that failed.")
	m.handshakeTime = add(m, prometheus.NewHistogram(histogram("tls_handshake_duration_seconds", "Time of TLS handshakes that succeeded.",
		.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15)))
	m.refused = add(m, prometheus.NewCounterVec(counter("refused_total", "Connections that the limits kept out, or cut for newer ones."), []string{"reason"}))
	for _, reason := range pop3server.Reasons() {
		m.refused.WithLabelValues(reason) // an increase from nothing is none
		m.reasons[reason] = true
	}

	logins := add(m, prometheus.NewCounterVec(counter("logins_total", "Logins that succeeded."), []string{"mechanism", "tls"}))
	failures := add(m, prometheus.NewCounterVec(counter("login_failures_total", "Logins with wrong credentials."), []string{"mechanism"}))
	for _, name := range mechanisms {
		m.logins[name] = [2]prometheus.Counter{logins.WithLabelValues(name, "false"), logins.WithLabelValues(name, "true")}
		m.failures[name] = failures.WithLabelValues(name)
	}
	commands := add(m, prometheus.NewCounterVec(counter("commands_total", "Commands that were answered: ok says whether with +OK."), []string{"verb", "ok"}))
	took := add(m, prometheus.NewHistogramVec(histogram("command_duration_seconds", "Time to carry a command out.",
		.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 30), []string{"verb"}))
	for _, verb := range verbs {
		m.commands[verb] = command{commands.WithLabelValues(verb, "false"), commands.WithLabelValues(verb, "true"), took.WithLabelValues(verb)}
	}

	m.intake = newIntake(m)

	info := add(m, prometheus.NewGaugeVec(gauge("build_info", "Always 1; the labels say what runs."), []string{"version", "commit"}))
	version, commit := build()
	info.WithLabelValues(version, commit).Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers with the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// build gives the version of this program, and the commit that it was built
// from where that is known.
func build() (version, commit string) {
	version = "devel"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, ""
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			commit = s.Value
		}
	}
	return version, commit
}

const namespace = "poplin"

func gauge(name, help string) prometheus.GaugeOpts {
	return prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}
}

func counter(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}
}

func histogram(name, help string, buckets ...float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}
}

// add registers a collector. Names are constants, so that an error is a fault
// of this package.
func add[C prometheus.Collector](m *Metrics, c C) C {
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	return add(m, prometheus.NewCounter(counter(name, help)))
}

// SessionStarted implements pop3server.Observer.
func (m *Metrics) SessionStarted() {
	m.sessions.Inc()
	m.started.Inc()
}

// SessionEnded implements pop3server.Observer.
func (m *Metrics) SessionEnded(s pop3server.SessionSummary) {
	m.sessions.Dec()
	m.received.Add(float64(s.OctetsIn))
	m.sent.Add(float64(s.OctetsOut))
	m.retrieved.Add(float64(s.Retrieved))
	m.sessionTime.Observe(s.Duration.Seconds())
}

// Refused implements pop3server.Observer.
func (m *Metrics) Refused(reason string) {
	m.mu.Lock()
	if !m.reasons[reason] {
		if len(m.reasons) >= maxReasons {
			reason = other
		}
		m.reasons[reason] = true
	}
	m.mu.Unlock()
	m.refused.WithLabelValues(reason).Inc()
}

// Handshake implements pop3server.Observer.
func (m *Metrics) Handshake(err error, took time.Duration) {
	m.handshakes.Inc()
	if err != nil {
		m.badHandshakes.Inc()
		return
	}
	m.handshakeTime.Observe(took.Seconds())
}

// LoggedIn implements pop3server.Observer.
func (m *Metrics) LoggedIn(mechanism string, tls bool) {
	of := known(m.logins, mechanism)
	if tls {
		of[1].Inc()
	} else {
		of[0].Inc()
	}
}

// LoginFailed implements pop3server.Observer.
func (m *Metrics) LoginFailed(mechanism string) { known(m.failures, mechanism).Inc() }

// Command implements pop3server.Observer.
func (m *Metrics) Command(verb string, took time.Duration, ok bool) {
	c := known(m.commands, verb)
	if ok {
		c.ok.Inc()
	} else {
		c.failed.Inc()
	}
	c.took.Observe(took.Seconds())
}

// Deleted implements pop3server.Observer.
func (m *Metrics) Deleted(n int) { m.deleted.Add(float64(n)) }

// known gives what is counted under a label, or under "other".
func known[V any](by map[string]V, label string) V {
	if v, ok := by[label]; ok {
		return v
	}
	return by[other]
}
