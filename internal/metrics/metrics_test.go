package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
)

func TestSummaryOfAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(DefaultConfig())
		r.OnCollect(func() { r.Gauge("members.servers").Set(3) })
		for _, ms := range []int{1, 2, 3, 4} {
			r.Timer("api.http", Label{Name: "method", Value: "GET"}).Observe(time.Duration(ms) * time.Millisecond)
		}
		r.Counter("rpc.query").Add(5)
		r.Counter("rpc.query").Inc()
		young := r.Summary()
		time.Sleep(Interval)
		r.Counter("rpc.query").Inc() // of the next interval
		old := r.Summary()
		for name, s := range map[string]Summary{"while it lasts": young, "when it is over": old} {
			if len(s.Samples) != 1 || len(s.Counters) != 1 || len(s.Gauges) != 1 {
				t.Fatalf("%s: %+v", name, s)
			}
			want := SampledValue{Name: "consul.api.http", Count: 4, Rate: 1, Sum: 10, Min: 1, Max: 4, Mean: 2.5, Labels: map[string]string{"method": "GET"}}
			got := s.Samples[0]
			if math.Abs(got.Stddev-1.2909944) > 1e-6 {
				t.Errorf("%s: stddev %v", name, got.Stddev)
			}
			got.Stddev = 0
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %+v, want %+v", name, got, want)
			}
			if c := s.Counters[0]; c.Count != 2 || c.Sum != 6 || c.Min != 1 || c.Max != 5 {
				t.Errorf("%s: %+v", name, c)
			}
			if g := s.Gauges[0]; g.Name != "consul.members.servers" || g.Value != 3 || g.Labels == nil {
				t.Errorf("%s: %+v", name, g)
			}
			if !regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d0 \+0000 UTC$`).MatchString(s.Timestamp) {
				t.Errorf("%s: timestamp %q", name, s.Timestamp)
			}
		}
		time.Sleep(2 * Interval)
		if s := r.Summary(); len(s.Samples)+len(s.Counters) != 0 {
			t.Errorf("an interval in which nothing happened: %+v", s)
		}
		if b, err := json.Marshal(r.Summary()); err != nil || !strings.Contains(string(b), `"Points":[],"Counters":[],"Samples":[]`) {
			t.Errorf("%s, %v", b, err)
		}
	})
}

func TestPrometheusText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(DefaultConfig())
		r.Counter(DNSResponses, Label{Name: "rcode", Value: "NXDOMAIN"}).Add(2)
		r.Counter(DNSResponses, Label{Name: "rcode", Value: "NOERROR"}).Add(1)
		r.Gauge(Version, Label{Name: "version", Value: "1\"2\\3\n4\xff"}).Set(1)
		for i := range 100 {
			r.Timer(DNSPTRQuery).Observe(time.Duration(i+1) * time.Millisecond)
		}
		r.Sink().SetGauge([]string{"raft", "peers"}, 3)
		r.Sink().IncrCounter([]string{"raft", "apply"}, 4)
		r.Sink().SetGauge([]string{"raft", "apply"}, 4) // the same name with another type
		want := `# HELP consul_dns_ptr_query How long reverse DNS questions took.
# TYPE consul_dns_ptr_query summary
consul_dns_ptr_query{quantile="0.5"} 50
consul_dns_ptr_query{quantile="0.9"} 90
consul_dns_ptr_query{quantile="0.99"} 99
consul_dns_ptr_query_sum 5050
consul_dns_ptr_query_count 100
# HELP consul_dns_responses DNS replies by response code.
# TYPE consul_dns_responses counter
consul_dns_responses{rcode="NOERROR"} 1
consul_dns_responses{rcode="NXDOMAIN"} 2
`
		got := string(r.PrometheusText())
		if !strings.HasPrefix(got, want) {
			t.Errorf("got\n%s\nwant the beginning\n%s", got, want)
		}
		for _, line := range []string{
			`consul_version{version="1\"2\\3\n4` + "\uFFFD" + `"} 1`, "# TYPE consul_raft_peers gauge\nconsul_raft_peers 3\n", "# HELP consul_raft_peers Servers in raft's configuration.\n",
		} {
			if !strings.Contains(got, line) {
				t.Errorf("no %q in\n%s", line, got)
			}
		}
		if n := strings.Count(got, "# TYPE consul_raft_apply "); n != 1 || strings.Count(got, "\nconsul_raft_apply ") != 1 {
			t.Errorf("a name with two types:\n%s", got)
		}
		time.Sleep(2 * time.Minute)
		got = string(r.PrometheusText())
		if strings.Contains(got, "consul_raft_peers") {
			t.Error("a gauge of a library is shown after the retention time")
		}
		for _, line := range []string{"consul_dns_ptr_query{quantile=\"0.5\"} NaN\n", "consul_dns_ptr_query_count 100\n", "consul_dns_responses{rcode=\"NOERROR\"} 1\n"} {
			if !strings.Contains(got, line) {
				t.Errorf("later there is no %q in\n%s", line, got)
			}
		}
	})
}

func TestPrometheusNames(t *testing.T) {
	for in, want := range map[string]string{"consul.a-b.c_d": "consul_a_b_c_d", "9x": "_9x", "": "_", "ä": "__"} {
		if got := promName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestFilter(t *testing.T) {
	f := Filter{Default: true, Prefixes: []string{"-consul.http", "+consul.http.GET", "+consul.raft", "-consul.raft"}}
	for name, want := range map[string]bool{
		"consul.http.PUT": false, "consul.http.GET.x": true, "consul.raft.apply": false, "consul.dns": true,
	} {
		if f.keeps(name) != want {
			t.Errorf("%s: kept is %v", name, !want)
		}
	}
	if none := (&Filter{Prefixes: []string{"+consul.dns"}}); none.keeps("consul.raft") || !none.keeps("consul.dns.x") {
		t.Error("filter_default = false does not drop, or drops too much")
	}

	r := New(DefaultConfig())
	r.Counter("rpc.query").Inc()
	r.SetFilter(Filter{Prefixes: []string{"-consul.rpc"}, Default: true})
	r.Counter("rpc.query").Inc()
	r.Counter("rpc.request").Inc()
	if got := string(r.PrometheusText()); got != "" {
		t.Errorf("filtered: %s", got)
	}
	r.SetFilter(Filter{Default: true})
	if got := string(r.PrometheusText()); !strings.Contains(got, "consul_rpc_query 1\n") {
		t.Errorf("after the filter is gone: %s", got)
	}
}

// TestNamesFromOutsideDoNotGrowTheRegistry: whatever is asked for, it stays small.
func TestNamesFromOutsideDoNotGrowTheRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(DefaultConfig())
		set := r.CounterSet(CatalogQuery, "service", 3)
		for i := range 100 {
			set.With(fmt.Sprint("svc", i)).Inc()
		}
		set.With("svc1").Inc()
		got := string(r.PrometheusText())
		if strings.Count(got, "\nconsul_catalog_service_query{") != 4 || !strings.Contains(got, `{service="_other"} 97`) || !strings.Contains(got, `{service="svc1"} 2`) {
			t.Errorf("got %s", got)
		}
		for i := range 2 * maxSeries {
			r.Sink().SetGauge([]string{"lib", fmt.Sprint(i)}, 1)
		}
		if n := len(r.series); n > maxSeries {
			t.Errorf("%d series", n)
		}
		if !strings.Contains(string(r.PrometheusText()), "consul_lib_1 1") {
			t.Error("the first series is lost")
		}
		time.Sleep(2 * time.Minute)
		r.Sink().SetGauge([]string{"lib", "late"}, 1)
		r.Counter("rpc.query").Inc()
		if got := string(r.PrometheusText()); !strings.Contains(got, "consul_lib_late 1") || !strings.Contains(got, "consul_rpc_query 1") || !strings.Contains(got, "consul_telemetry_series_refused") {
			t.Errorf("what expired did not make room: %s", got)
		}
	})
}

func TestReachCountsTheDifference(t *testing.T) {
	r := New(DefaultConfig())
	c := r.Counter("dns.dropped")
	for _, total := range []uint64{3, 3, 7, 2} { // never back
		c.Reach(total)
	}
	if got := string(r.PrometheusText()); !strings.Contains(got, "consul_dns_dropped 7\n") {
		t.Error(got)
	}
}

func TestNothingBreaksIt(t *testing.T) {
	var r *Registry
	r.Counter("c").Inc()
	r.Counter("c").Reach(1)
	r.Gauge("g").Set(1)
	r.Timer("t").Since(time.Now())
	r.CounterSet("s", "l", 1).With("x").Inc()
	r.OnCollect(nil)
	r.CollectRuntime()
	r.SetFilter(Filter{})
	if r.Prometheus() || r.PrometheusText() != nil || r.Summary().Gauges == nil {
		t.Error("a nil registry shows something")
	}
	r = New(DefaultConfig())
	r.Gauge("g").Set(math.NaN())
	r.Counter("c").Add(math.Inf(1))
	r.Counter("c").Add(-1)
	if _, err := json.Marshal(r.Summary()); err != nil {
		t.Error(err)
	}
	if s := r.Summary(); len(s.Gauges)+len(s.Counters) != 0 {
		t.Errorf("%+v", s)
	}
	if off := New(Config{Prefix: "consul"}); off.Prometheus() {
		t.Error("no retention time should turn Prometheus text off")
	}
}

func TestManyAtOnce(t *testing.T) {
	r := New(DefaultConfig())
	r.CollectRuntime()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 500 {
				r.Timer("t", Label{Name: "n", Value: fmt.Sprint(j % 7)}).Observe(time.Duration(i))
				if j%100 == 0 {
					r.Summary()
					r.PrometheusText()
					r.SetFilter(Filter{Default: true})
				}
			}
		})
	}
	wg.Wait()
	got := string(r.PrometheusText())
	sum := 0
	for _, m := range regexp.MustCompile(`consul_t_count\{n="\d"\} (\d+)`).FindAllStringSubmatch(got, -1) {
		var n int
		if _, err := fmt.Sscan(m[1], &n); err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if sum != 8*500 {
		t.Errorf("counted %d", sum)
	}
	for _, name := range []string{"num_goroutines", "alloc_bytes", "total_gc_runs", "sched_wait_median_ns", "sched_wait_p99_ns"} {
		if !strings.Contains(got, "consul_runtime_"+name+" ") {
			t.Errorf("no %s", name)
		}
	}
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(DefaultConfig())
		r.Counter("rpc.query").Inc()
		var got []Summary
		stop := errors.New("stop")
		err := r.Stream(t.Context(), func(s Summary) error {
			if got = append(got, s); len(got) == 2 {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) || len(got) != 2 || len(got[0].Counters) != 1 || len(got[1].Counters) != 0 {
			t.Errorf("%v, %+v", err, got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Stream(ctx, func(Summary) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

func TestLibrariesReachIt(t *testing.T) {
	r := New(DefaultConfig())
	m, err := gometrics.New(&gometrics.Config{FilterDefault: true, TimerGranularity: time.Millisecond}, r.Sink())
	if err != nil {
		t.Fatal(err)
	}
	m.IncrCounterWithLabels([]string{"raft", "state", "leader"}, 1, []Label{{Name: "peer id", Value: "x"}})
	m.MeasureSince([]string{"raft", "commitTime"}, time.Now())
	m.SetGauge([]string{"raft", "x y"}, 2)
	m.EmitKey([]string{"k"}, 1)
	got := string(r.PrometheusText())
	for _, want := range []string{`consul_raft_state_leader{peer_id="x"} 1`, "consul_raft_commitTime_count 1", "consul_raft_x_y 2"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

func TestDefinitions(t *testing.T) {
	var names []string
	for _, d := range Definitions() {
		names = append(names, d.Name)
		if d.Help == "" || !slices.Contains([]string{"timer", "counter", "gauge", "histogram"}, d.Kind) {
			t.Errorf("%+v", d)
		}
	}
	slices.Sort(names)
	if len(slices.Compact(slices.Clone(names))) != len(names) || helpOf(names[0]) == names[0] || helpOf("raft.unheard.of") != "raft.unheard.of" {
		t.Errorf("names %v", names)
	}
}

func BenchmarkTimer(b *testing.B) {
	timer := New(DefaultConfig()).Timer(DNSDomainQuery)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			timer.Observe(time.Microsecond)
		}
	})
}
