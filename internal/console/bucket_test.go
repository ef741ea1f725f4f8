package console

import (
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/s3"
)

func TestBucketMetrics(t *testing.T) {
	m := NewMetrics()
	if text, _ := scrape(t, m); strings.Contains(text, "bucket_calls") {
		t.Error("a server without an object store has metrics of one")
	}
	b := m.Bucket()
	b.Called("get", bucket.OutcomeOK, 20*time.Millisecond)
	b.Called("get", bucket.OutcomeNotFound, 2*time.Second)
	b.Called("put", bucket.OutcomeTimeout, 30*time.Second)
	b.BodyFailed("cut")
	for _, status := range []int{200, 206, 299, 304, 404, 503, 0, 100, 600, -1} {
		b.Requested(s3.ClassRead, status)
	}
	b.Requested(s3.ClassWrite, 200)
	b.Requested(s3.ClassDelete, 500)
	b.Carried(1000, 0)
	b.Carried(0, 30)
	b.Carried(7, 0)
	_, got := scrape(t, m)
	for name, want := range map[string]string{
		`poplin_bucket_calls_total{op="get",outcome="ok"}`:                "1",
		`poplin_bucket_calls_total{op="get",outcome="not_found"}`:         "1",
		`poplin_bucket_calls_total{op="put",outcome="timeout"}`:           "1",
		`poplin_bucket_calls_total{op="list",outcome="ok"}`:               "0",
		`poplin_bucket_call_duration_seconds_bucket{op="get",le="0.025"}`: "1",
		`poplin_bucket_call_duration_seconds_count{op="get"}`:             "2",
		`poplin_bucket_bodies_failed_total{why="cut"}`:                    "1",
		`poplin_bucket_bodies_failed_total{why="wrong"}`:                  "0",
		`poplin_bucket_requests_total{class="read",status="2xx"}`:         "3",
		`poplin_bucket_requests_total{class="read",status="3xx"}`:         "1",
		`poplin_bucket_requests_total{class="read",status="4xx"}`:         "1",
		`poplin_bucket_requests_total{class="read",status="5xx"}`:         "1",
		`poplin_bucket_requests_total{class="read",status="none"}`:        "4",
		`poplin_bucket_requests_total{class="write",status="2xx"}`:        "1",
		`poplin_bucket_requests_total{class="delete",status="5xx"}`:       "1",
		"poplin_bucket_sent_bytes_total":                                  "1007",
		"poplin_bucket_received_bytes_total":                              "30",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %s", name, got[name], want)
		}
	}
}

// TestBucketWords: every word that a store has is counted; one that is not known would be a panic.
func TestBucketWords(t *testing.T) {
	b := NewMetrics().Bucket()
	for _, op := range bucket.Ops {
		for _, outcome := range bucket.Outcomes {
			b.Called(op, outcome, 0)
		}
	}
	for _, why := range bucket.Failures {
		b.BodyFailed(why)
	}
	for _, class := range s3.Classes {
		b.Requested(class, 200)
	}
}
