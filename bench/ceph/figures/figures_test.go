package figures

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	const text = `# HELP poplin_bucket_call_duration_seconds Time.
poplin_bucket_call_duration_seconds_bucket{op="put",le="0.1"} 7
poplin_bucket_call_duration_seconds_sum{op="put"} 1.5
poplin_bucket_call_duration_seconds_count{op="put"} 10
poplin_bucket_call_duration_seconds_sum{op="list"} 2.25e-1
poplin_bucket_call_duration_seconds_count{op="list"} 5
poplin_logins_total{mechanism="USER",tls="false"} 5
poplin_logins_total{mechanism="PLAIN",tls="true"} 1
poplin_sessions 3
`
	var u usage
	if err := u.add(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if want := (usage{15, 1.725, 6}); u != want {
		t.Errorf("%+v, want %+v", u, want)
	}
	if err := u.add(strings.NewReader("poplin_logins_total{} many\n")); err == nil {
		t.Error("a number that is none is taken")
	}
}

func TestQuantile(t *testing.T) {
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(i+1))
	}
	slices.Reverse(all)
	if p50, p99, most := quantile(all, .5), quantile(all, .99), quantile(all, 1); p50 != 51 || p99 != 100 || most != 100 {
		t.Errorf("p50 %d, p99 %d, at most %d", p50, p99, most)
	}
	if one := quantile([]time.Duration{7}, .99); one != 7 {
		t.Errorf("of one: %d", one)
	}
}

func TestMessage(t *testing.T) {
	m := message(size)
	if len(m) < size || len(m) > size+100 || !bytes.HasSuffix(m, []byte("\r\n.\r\n")) || bytes.Count(m, []byte("\n.")) != 1 {
		t.Errorf("%d octets", len(m))
	}
}

func TestMedianOf(t *testing.T) {
	got := medianOf([]poll{{1, 9, 2, 3, 5}, {3, 7, 1, 3, 4}, {2, 8, 3, 3, 9}})
	if want := (poll{2, 8, 2, 3, 5}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if s := (poll{rate: 1}).String(); !strings.Contains(s, "do not count") {
		t.Errorf("without metrics: %s", s)
	}
}
