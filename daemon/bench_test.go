package daemon_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

// BenchmarkScale fills a real server with 10,000 services of 3 instances each
// and 1,000 checks, and reports what that costs: memory, CPU of registration,
// the wake-up of blocked queries, and how soon a killed server answers again.
func BenchmarkScale(b *testing.B) {
	for range b.N {
		scale(b)
	}
}

func scale(b *testing.B) {
	const services, instances, checks, writers = 10_000, 3, 1_000, 16
	bin, dir, addr := build(b), b.TempDir(), freeAddr(b)
	// All clients have one address here.
	args := []string{"-log-level=warn", "-hcl=limits { http_max_conns_per_client = 10000 }"}
	p := spawn(b, bin, addr, dir, args...)
	p.await(b, "a leader", func() bool {
		_, err := p.register("first")
		return err == nil
	})
	memory, cpu, began := rss(b, p.cmd.Process.Pid), cpuTime(b, p.cmd.Process.Pid), time.Now()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < services*instances; i += writers {
				name := fmt.Sprintf("service-%d", i/instances)
				reg := &api.CatalogRegistration{
					Node: fmt.Sprintf("node-%d", i%500), Address: fmt.Sprintf("10.1.%d.%d", i%500/250, i%250),
					Service: &api.AgentService{ID: fmt.Sprintf("%s-%d", name, i%instances), Service: name, Port: 8000 + i%1000, Tags: []string{"v1"}},
				}
				if i < checks {
					reg.Checks = api.HealthChecks{{CheckID: "c-" + reg.Service.ID, Name: "alive", ServiceID: reg.Service.ID, Status: api.HealthPassing}}
				}
				if _, err := p.client.Catalog().Register(reg, nil); err != nil {
					b.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	wg.Wait()
	const total = services * instances
	b.ReportMetric(time.Since(began).Seconds(), "register-s")
	b.ReportMetric(float64((cpuTime(b, p.cmd.Process.Pid)-cpu).Microseconds())/total, "cpu-us/registration")
	b.ReportMetric(float64(rss(b, p.cmd.Process.Pid)-memory)/total, "KiB/instance")
	b.ReportMetric(float64(wakeUp(b, p, 200).Microseconds()), "wake-us(median)")

	var gaps, work []time.Duration
	for range 5 {
		p.kill(b)
		began = time.Now()
		p = spawn(b, bin, addr, dir, args...)
		p.await(b, "an answer", func() bool {
			r, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion("service-9999.service.consul.", dns.TypeSRV), addr+":8600")
			return err == nil && len(r.Answer) == instances
		})
		gaps = append(gaps, time.Since(began))
		work = append(work, cpuTime(b, p.cmd.Process.Pid))
	}
	slices.Sort(gaps)
	slices.Sort(work)
	b.ReportMetric(float64(gaps[len(gaps)/2].Milliseconds()), "restart-ms(median)")
	b.ReportMetric(float64(gaps[len(gaps)-1].Milliseconds()), "restart-ms(worst)")
	// What it takes of both processors together, which others on the machine do not change.
	b.ReportMetric(float64(work[len(work)/2].Milliseconds()), "restart-cpu-ms(median)")
	p.kill(b)
}

// wakeUp is the median time from a change to the answer of a query blocked on it,
// with waiters blocked on other services meanwhile.
func wakeUp(b *testing.B, p *proc, waiters int) time.Duration {
	done := make(chan struct{})
	var wg sync.WaitGroup
	_, meta, err := p.client.Health().Service("service-0", "", false, nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := range waiters {
		wg.Go(func() {
			q := (&api.QueryOptions{WaitIndex: meta.LastIndex + 1_000_000, WaitTime: time.Minute}).WithContext(b.Context())
			select {
			case <-done:
			default:
				_, _, _ = p.client.Health().Service(fmt.Sprintf("service-%d", 100+i), "", false, q) // ends with the server
			}
		})
	}
	var took []time.Duration
	for i := range 100 {
		status := []string{api.HealthCritical, api.HealthPassing}[i%2]
		_, meta, err := p.client.Health().Service("service-1", "", false, nil)
		if err != nil {
			b.Fatal(err)
		}
		woken := make(chan time.Time, 1)
		go func() {
			_, _, _ = p.client.Health().Service("service-1", "", false, &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: time.Minute})
			woken <- time.Now()
		}()
		if _, err := p.client.Catalog().Register(&api.CatalogRegistration{
			Node: "node-3", SkipNodeUpdate: true,
			Checks: api.HealthChecks{{CheckID: "c-service-1-0", Name: "alive", ServiceID: "service-1-0", Status: status}},
		}, nil); err != nil {
			b.Fatal(err)
		}
		changed := time.Now()
		took = append(took, max((<-woken).Sub(changed), 0))
	}
	close(done)
	slices.Sort(took)
	return took[len(took)/2]
}

// cpuTime is what a process has used of all processors.
func cpuTime(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int64
	for _, field := range f[11:13] { // user and system time, in hundredths of a second
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
