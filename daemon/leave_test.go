package daemon_test

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

// TestLeaveAnswersWhatIsInFlight: every question that was asked before the agent
// had left gets its answer, over each door.
func TestLeaveAnswersWhatIsInFlight(t *testing.T) {
	bin, dir, addr := build(t), t.TempDir(), freeAddr(t)
	p := spawn(t, bin, addr, dir)
	p.await(t, "a leader", func() bool {
		_, err := p.register("web")
		return err == nil
	})
	var left atomic.Bool
	var wg sync.WaitGroup
	asked := map[string]*atomic.Int64{"udp": {}, "tcp": {}, "http": {}}
	for range 8 {
		for _, network := range []string{"udp", "tcp"} {
			wg.Go(func() {
				c := &dns.Client{Net: network}
				for !left.Load() {
					r, _, err := c.Exchange(new(dns.Msg).SetQuestion("web.service.consul.", dns.TypeSRV), addr+":8600")
					if err != nil || r.Rcode != dns.RcodeSuccess || len(r.Answer) != 1 {
						t.Errorf("%s: %v, %v", network, r, err)
						return
					}
					asked[network].Add(1)
				}
			})
		}
	}
	// Queries that block are answered too: with what there is, or that the agent goes.
	_, meta, err := p.client.Catalog().Service("web", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan struct{}, 4)
	for range cap(waiting) {
		wg.Go(func() {
			waiting <- struct{}{}
			r, err := http.Get("http://" + addr + ":8500/v1/catalog/service/web?wait=60s&index=" + strconv.FormatUint(meta.LastIndex, 10))
			if err != nil {
				t.Errorf("blocking query: %v", err)
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Errorf("blocking query: %v", err)
			}
			_ = r.Body.Close() // has been read to its end
			asked["http"].Add(1)
		})
	}
	for range cap(waiting) {
		<-waiting
	}
	p.await(t, "traffic", func() bool { return asked["udp"].Load() > 100 && asked["tcp"].Load() > 100 })
	client, err := api.NewClient(&api.Config{Address: addr + ":8500"})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Agent().Leave(); err != nil {
		t.Errorf("leave: %v", err)
	}
	left.Store(true)
	wg.Wait()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
	t.Logf("answered: udp %d, tcp %d, blocking %d", asked["udp"].Load(), asked["tcp"].Load(), asked["http"].Load())
}
