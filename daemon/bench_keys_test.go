package daemon_test

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

// manyConns lets all connections come from the one address that there is here.
const manyConns = "-hcl=limits { http_max_conns_per_client = 10000 }"

// led starts a server and waits until it leads.
func led(b *testing.B, bin, addr, dir string) *proc {
	p := spawn(b, bin, addr, dir, "-log-level=warn", manyConns)
	p.await(b, "a leader", func() bool {
		_, err := p.register("first")
		return err == nil
	})
	return p
}

// BenchmarkMillionKeys fills a real server with a million keys of 100 bytes, and
// reports memory, the time and size of a snapshot, and how soon the killed server
// answers DNS and reads of keys again.
func BenchmarkMillionKeys(b *testing.B) {
	for range b.N {
		millionKeys(b)
	}
}

func millionKeys(b *testing.B) {
	const keys, together, writers = 1_000_000, 125, 8
	bin, dir, addr := build(b), b.TempDir(), freeAddr(b)
	p := led(b, bin, addr, dir)
	memory, began := rss(b, p.cmd.Process.Pid), time.Now()
	value := bytes.Repeat([]byte{'x'}, 100)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := w * together; n < keys; n += writers * together {
				ops := make(api.KVTxnOps, together)
				for i := range ops {
					ops[i] = &api.KVTxnOp{Verb: api.KVSet, Key: fmt.Sprintf("app/%03d/key-%06d", (n+i)%1000, n+i), Value: value}
				}
				if ok, _, _, err := p.client.KV().Txn(ops, nil); !ok || err != nil {
					b.Errorf("transaction: %v %v", ok, err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(time.Since(began).Seconds(), "fill-s")
	b.ReportMetric(float64(rss(b, p.cmd.Process.Pid)-memory)*1024/keys, "B/key")
	began = time.Now()
	snap, _, err := p.client.Snapshot().Save(nil)
	if err != nil {
		b.Fatal(err)
	}
	size, err := io.Copy(io.Discard, snap)
	if err != nil {
		b.Fatal(err)
	}
	_ = snap.Close()
	b.ReportMetric(time.Since(began).Seconds(), "snapshot-s")
	b.ReportMetric(float64(size)/(1<<20), "snapshot-MiB")
	p.kill(b)
	began = time.Now()
	p = spawn(b, bin, addr, dir, "-log-level=warn", manyConns)
	p.await(b, "an answer", func() bool {
		r, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion("consul.service.consul.", dns.TypeA), addr+":8600")
		return err == nil && len(r.Answer) == 1
	})
	b.ReportMetric(time.Since(began).Seconds(), "dns-restart-s")
	p.await(b, "a key", func() bool {
		e, _, err := p.client.KV().Get("app/999/key-999999", nil)
		return err == nil && e != nil
	})
	b.ReportMetric(time.Since(began).Seconds(), "keys-restart-s")
	p.kill(b)
}
