package console

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/poplin-mail/poplin/internal/delivery"
)

// intake counts mail that comes in. It is a delivery.Observer.
type intake struct {
	delivered, octets prometheus.Counter
	refused           map[string]prometheus.Counter // by reason
	took              prometheus.Histogram
}

var _ delivery.Observer = intake{}

func newIntake(m *Metrics) intake {
	i := intake{refused: map[string]prometheus.Counter{}}
	i.delivered = m.counter("deliveries_total", "Messages that were stored, each counted for every maildrop that it is in.")
	i.octets = m.counter("delivered_bytes_total", "Octets of these messages.")
	refused := add(m, prometheus.NewCounterVec(counter("deliveries_refused_total", "Recipients who did not get a message, and messages that nobody got."), []string{"reason"}))
	for _, reason := range delivery.Reasons {
		i.refused[reason] = refused.WithLabelValues(reason)
	}
	i.took = add(m, prometheus.NewHistogram(histogram("delivery_duration_seconds", "Time from the beginning of a message until it was stored for all its recipients.",
		.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30)))
	return i
}

// Intake gives who counts mail that comes in.
func (m *Metrics) Intake() delivery.Observer { return m.intake }

// Delivered implements delivery.Observer.
func (i intake) Delivered(octets int64) {
	i.delivered.Inc()
	i.octets.Add(float64(octets))
}

// Refused implements delivery.Observer.
func (i intake) Refused(reason string) { known(i.refused, reason).Inc() }

// Took implements delivery.Observer.
func (i intake) Took(d time.Duration) { i.took.Observe(d.Seconds()) }
