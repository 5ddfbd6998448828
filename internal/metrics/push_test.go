package metrics

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// filled has one of each kind, in the interval that is told of.
func filled() *Registry {
	r := New(DefaultConfig())
	r.Counter(DNSResponses, Label{Name: "rcode", Value: "NXDOMAIN"}).Add(5)
	r.Gauge(MembersServers, Label{Name: "datacenter", Value: "dc1"}).Set(3)
	r.Gauge("odd").Set(-2.5)
	r.Gauge("never")
	r.Timer(DNSPTRQuery).Observe(1500 * time.Microsecond)
	r.Timer(DNSDomainQuery, Label{Name: "type", Value: "A"}).ObserveN(2*time.Millisecond, 8)
	r.Histogram(DNSLatency).ObserveN(time.Millisecond, 3)
	r.Counter("a b:c|d@e", Label{Name: "l", Value: "x,y#z|1"}).Inc()
	return r
}

func TestPushedLines(t *testing.T) {
	for _, v := range []struct {
		c    Collector
		want []string
	}{
		{Collector{Protocol: StatsD}, []string{
			"consul.a_b_c_d_e.x,y_z_1:1|c", "consul.dns.domain_query.A:2|ms|@0.125000", "consul.dns.ptr_query:1.5|ms", "consul.dns.responses.NXDOMAIN:5|c",
			"consul.members.servers.dc1:3|g", "consul.odd:0|g", "consul.odd:-2.5|g",
		}},
		{Collector{Protocol: Statsite, Hostname: "web-1"}, []string{
			"consul.a_b_c_d_e.x,y_z_1:1|c", "consul.dns.domain_query.A:2|ms|@0.125000", "consul.dns.ptr_query:1.5|ms", "consul.dns.responses.NXDOMAIN:5|c",
			"consul.web-1.members.servers.dc1:3|g", "consul.web-1.odd:0|g", "consul.web-1.odd:-2.5|g",
		}},
		{Collector{Protocol: DogStatsD, Tags: []string{"team:net", "a,b"}}, []string{
			"consul.a_b_c_d_e:1|c|#team:net,a_b,l:x_y_z_1", "consul.dns.domain_query:2|ms|@0.125000|#team:net,a_b,type:A", "consul.dns.ptr_query:1.5|ms|#team:net,a_b",
			"consul.dns.responses:5|c|#team:net,a_b,rcode:NXDOMAIN", "consul.members.servers:3|g|#team:net,a_b,datacenter:dc1", "consul.odd:-2.5|g|#team:net,a_b",
		}},
	} {
		t.Run(string(v.c.Protocol), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := filled()
				n := number(time.Now())
				time.Sleep(Interval) // what is told is over
				r.Counter(DNSResponses, Label{Name: "rcode", Value: "NXDOMAIN"}).Inc()
				got := strings.Split(strings.TrimSuffix(string(bytes.Join(r.packets(n, &v.c), nil)), "\n"), "\n")
				if !slices.Equal(got, v.want) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(v.want, "\n"))
				}
				if late := r.packets(n+2, &v.c); !strings.HasPrefix(string(bytes.Join(late, nil)), "consul.") || strings.Contains(string(bytes.Join(late, nil)), "|c") {
					t.Errorf("an interval in which nothing was counted: %q", late)
				}
			})
		})
	}
}

// TestPushIsBounded: many values are thinned out, packets stay small, and no value is
// told of that the filter hides.
func TestPushIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Config{Prefix: "consul", Filter: Filter{Default: true, Prefixes: []string{"-consul.hidden"}}})
		r.Counter("hidden").Inc()
		for i := range 1000 {
			r.Timer("t").Observe(time.Duration(i) * time.Millisecond)
		}
		for i := range 200 {
			r.Counter(fmt.Sprint("counter", i)).Inc()
		}
		packets := r.packets(number(time.Now()), &Collector{Protocol: StatsD})
		for _, p := range packets {
			if len(p) > packetSize || p[len(p)-1] != '\n' {
				t.Errorf("a packet of %d bytes, %q", len(p), p)
			}
		}
		all := string(bytes.Join(packets, nil))
		if n := strings.Count(all, "consul.t:"); n != maxPushed || !strings.Contains(all, "|ms|@0.032000\n") || strings.Count(all, "|c\n") != 200 || strings.Contains(all, "hidden") {
			t.Errorf("%d values in\n%s", n, all)
		}
		if _, nothing := New(DefaultConfig()), r.packets(0, &Collector{}); len(nothing) != 0 {
			t.Errorf("long ago: %q", nothing)
		}
	})
}

func TestCollectorAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:9125": "", "stats.example": "", "[::1]:8125": "", ":8125": "no host", "h:0": "port", "h:http": "port", "h:1:2": "too many colons", "": "no host",
	} {
		c := Collector{Protocol: StatsD, Addr: addr}
		if err := c.Validate(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", addr, err, want)
		}
	}
	if got := (&Collector{Addr: "stats.example"}).target(); got != "stats.example:8125" {
		t.Error(got)
	}
}

// TestSendToListeners sends over real sockets.
func TestSendToListeners(t *testing.T) {
	r := filled()
	n := number(time.Now())
	t.Run("UDP", func(t *testing.T) {
		l, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c := Collector{Protocol: DogStatsD, Addr: l.LocalAddr().String(), Tags: []string{"env:test"}}
		if err := c.send(t.Context(), r.packets(n, &c)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 65536)
		size, _, err := l.ReadFrom(b)
		if err != nil || !strings.Contains(string(b[:size]), "consul.members.servers:3|g|#env:test,datacenter:dc1\n") {
			t.Errorf("%q, %v", b[:size], err)
		}
	})
	t.Run("TCP", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			conn, err := l.Accept()
			if err != nil {
				got <- err.Error()
				return
			}
			defer conn.Close()
			var b bytes.Buffer
			_, err = b.ReadFrom(conn)
			got <- fmt.Sprint(b.String(), err)
		})
		c := Collector{Protocol: Statsite, Addr: l.Addr().String()}
		if err := c.send(t.Context(), r.packets(n, &c)); err != nil {
			t.Fatal(err)
		}
		if text := <-got; !strings.Contains(text, "consul.members.servers.dc1:3|g\n") || !strings.HasSuffix(text, "<nil>") {
			t.Error(text)
		}
		if err := c.Try(t.Context()); err != nil { // nobody accepts it, but it is there
			t.Error(err)
		}
		l.Close()
		wg.Wait()
		if err := c.Try(t.Context()); err == nil {
			t.Error("nobody listens, and nobody says so")
		}
	})
}

// TestDeadCollector: a collector that refuses connections costs one line of the log
// however long it is dead, and ends with the context.
func TestDeadCollector(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	l.Close()
	core, logs := observer.New(zap.InfoLevel)
	r := New(DefaultConfig())
	c := Collector{Protocol: Statsite, Addr: dead}
	ctx, cancel := context.WithCancel(t.Context())
	var failed bool
	for range 3 {
		failed = r.tell(ctx, zap.New(core), &c, number(time.Now())-1, failed)
	}
	if !failed || logs.Len() != 1 {
		t.Errorf("failed %v, %v", failed, logs.All())
	}
	cancel()
	r.Push(ctx, zap.New(core), c) // it returns
	if logs.Len() != 1 {
		t.Errorf("%v", logs.All())
	}
	if len(r.series) != 0 {
		t.Errorf("%d series kept", len(r.series))
	}
}

func TestPushInTime(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.LocalAddr().String()
	synctest.Test(t, func(t *testing.T) {
		r := New(DefaultConfig())
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { r.Push(ctx, zap.NewNop(), Collector{Protocol: StatsD, Addr: addr}) })
		r.Counter("c").Add(7)
		time.Sleep(Interval + time.Second)
		r.Counter("c").Add(1)
		time.Sleep(Interval)
		cancel()
		wg.Wait()
	})
	b := make([]byte, 1024)
	for _, want := range []string{"consul.c:7|c\n", "consul.c:1|c\n"} {
		n, _, err := l.ReadFrom(b)
		if err != nil || string(b[:n]) != want {
			t.Errorf("%q, %v, want %q", b[:n], err, want)
		}
	}
	var none *Registry
	none.Push(t.Context(), zap.NewNop(), Collector{})
}
