package console

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sources are asked at each scrape. Those that are nil give no metrics.
type Sources struct {
	// Panics gives the number of sessions that ended in one.
	Panics func() int64

	// Expiries gives the ends of the certificates in use, by their names.
	Expiries func() map[string]time.Time

	// Guard gives what the guard against guessed passwords did.
	Guard func() GuardStats

	// MTAs gives how many connections deliver mail.
	MTAs func() int
}

// GuardStats is what the guard against guessed passwords did and knows.
type GuardStats struct {
	Delayed  int64 // logins that had to wait
	Rejected int64 // logins that were not let try
	Entries  int   // networks and users that it remembers
}

// Watch adds metrics that are asked for at each scrape. It is called once.
func (m *Metrics) Watch(s Sources) {
	if s.Panics != nil {
		add(m, prometheus.NewCounterFunc(counter("panics_total", "Sessions that ended in a fault of the program. Each is in the log."),
			func() float64 { return float64(s.Panics()) }))
	}
	if s.Expiries != nil {
		add(m, expiries{prometheus.NewDesc("poplin_certificate_expiry_timestamp_seconds",
			"When a certificate in use ends, in seconds since 1970.", []string{"certificate"}, nil), s.Expiries})
	}
	if s.MTAs != nil {
		add(m, prometheus.NewGaugeFunc(gauge("lmtp_connections", "Connections of MTAs that are open."), func() float64 { return float64(s.MTAs()) }))
	}
	if s.Guard != nil {
		add(m, guardStats{
			delayed:  prometheus.NewDesc("poplin_guard_delayed_total", "Logins that had to wait because of wrong passwords before.", nil, nil),
			rejected: prometheus.NewDesc("poplin_guard_rejected_total", "Logins that were turned away because of wrong passwords before.", nil, nil),
			entries:  prometheus.NewDesc("poplin_guard_entries", "Networks and users whose wrong passwords are remembered.", nil, nil),
			get:      s.Guard,
		})
	}
}

// expiries is the collector of the certificates' ends.
type expiries struct {
	desc *prometheus.Desc
	get  func() map[string]time.Time
}

// Describe implements prometheus.Collector.
func (e expiries) Describe(ch chan<- *prometheus.Desc) { ch <- e.desc }

// Collect implements prometheus.Collector.
func (e expiries) Collect(ch chan<- prometheus.Metric) {
	for name, end := range e.get() {
		ch <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, float64(end.Unix()), name)
	}
}

// guardStats is the collector of the guard's numbers.
type guardStats struct {
	delayed, rejected, entries *prometheus.Desc
	get                        func() GuardStats
}

// Describe implements prometheus.Collector.
func (g guardStats) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{g.delayed, g.rejected, g.entries} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (g guardStats) Collect(ch chan<- prometheus.Metric) {
	s := g.get()
	ch <- prometheus.MustNewConstMetric(g.delayed, prometheus.CounterValue, float64(s.Delayed))
	ch <- prometheus.MustNewConstMetric(g.rejected, prometheus.CounterValue, float64(s.Rejected))
	ch <- prometheus.MustNewConstMetric(g.entries, prometheus.GaugeValue, float64(s.Entries))
}
