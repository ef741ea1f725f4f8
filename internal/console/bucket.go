package console

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/s3"
)

// Bucket counts what is asked of an object store. It is a bucket.Observer and
// an s3.Observer; Metrics.Bucket makes one.
type Bucket struct {
	calls          map[string]call                          // by operation
	failures       map[string]prometheus.Counter            // of bodies, by the reason
	requests       map[string]map[string]prometheus.Counter // by class, and by the answer
	sent, received prometheus.Counter
}

var (
	_ bucket.Observer = (*Bucket)(nil)
	_ s3.Observer     = (*Bucket)(nil)
)

// call is what is counted of one operation.
type call struct {
	outcomes map[string]prometheus.Counter
	took     prometheus.Observer
}

// Answers of an object store, as a bill tells them apart: Amazon charges for
// 2xx and most of 4xx, and not for 5xx.
var answers = []string{"2xx", "3xx", "4xx", "5xx", noAnswer}

const noAnswer = "none"

// Bucket adds the metrics of an object store. It is called once.
func (m *Metrics) Bucket() *Bucket {
	b := &Bucket{calls: map[string]call{}, failures: map[string]prometheus.Counter{}, requests: map[string]map[string]prometheus.Counter{}}
	calls := add(m, prometheus.NewCounterVec(counter("bucket_calls_total", "Calls of the object store, each try of its own, by how they ended."), []string{"op", "outcome"}))
	took := add(m, prometheus.NewHistogramVec(histogram("bucket_call_duration_seconds", "Time of these calls; of get, until the body began.",
		.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30), []string{"op"}))
	for _, op := range bucket.Ops {
		outcomes := map[string]prometheus.Counter{}
		for _, outcome := range bucket.Outcomes {
			outcomes[outcome] = calls.WithLabelValues(op, outcome)
		}
		b.calls[op] = call{outcomes, took.WithLabelValues(op)}
	}
	failures := add(m, prometheus.NewCounterVec(counter("bucket_bodies_failed_total", "Messages that broke off (cut: the rest is asked for again), or are not what was stored (wrong)."), []string{"why"}))
	for _, why := range bucket.Failures {
		b.failures[why] = failures.WithLabelValues(why)
	}
	requests := add(m, prometheus.NewCounterVec(counter("bucket_requests_total", "Requests over the wire by class of price, and by status of the reply."), []string{"class", "status"}))
	for _, class := range s3.Classes {
		b.requests[class] = map[string]prometheus.Counter{}
		for _, answer := range answers {
			b.requests[class][answer] = requests.WithLabelValues(class, answer)
		}
	}
	b.sent = m.counter("bucket_sent_bytes_total", "Octets of bodies to the object store.")
	b.received = m.counter("bucket_received_bytes_total", "Octets of bodies from the object store.")
	return b
}

// Called implements bucket.Observer.
func (b *Bucket) Called(op, outcome string, took time.Duration) {
	c := b.calls[op]
	c.outcomes[outcome].Inc()
	c.took.Observe(took.Seconds())
}

// BodyFailed implements bucket.Observer.
func (b *Bucket) BodyFailed(why string) { b.failures[why].Inc() }

// Requested implements s3.Observer.
func (b *Bucket) Requested(class string, status int) {
	answer := noAnswer
	if i := status/100 - 2; i >= 0 && i < len(answers)-1 {
		answer = answers[i]
	}
	b.requests[class][answer].Inc()
}

// Carried implements s3.Observer.
func (b *Bucket) Carried(sent, received int) {
	b.sent.Add(float64(sent))
	b.received.Add(float64(received))
}
