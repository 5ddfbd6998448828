package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

func TestSyncAtOnceAndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		l := open(t, s, testConfig())
		synctest.Wait()
		want(t, "first writes", s.take(), "0s register node")
		if n := s.self(); n.Meta["consul-version"] != "1.21.0" || n.TaggedAddresses["lan_ipv4"] != "10.0.0.1" || n.TaggedAddresses["wan"] != "10.0.0.1" {
			t.Errorf("node %+v", n)
		}
		time.Sleep(time.Second)
		l.service(`{"Name":"web","Port":80,"Token":"secret","Checks":[{"TTL":"1h"},{"TTL":"1h","Status":"passing"}]}`)
		l.service(`{"Name":"db"}`)
		l.check(`{"Name":"mem","TTL":"1h"}`)
		time.Sleep(time.Second)
		want(t, "writes", s.take(), "1.005s register db",
			"1.005s register web service:web:1=critical service:web:2=passing token:secret", "1.005s register mem=critical")
		l.ttl("service:web:1", catalog.Passing, "")
		time.Sleep(time.Second)
		want(t, "a status", s.take(), "2.005s register service:web:1=passing token:secret")
		// A burst of flips goes out as the last of them.
		for range 100 {
			l.ttl("mem", catalog.Passing, "")
			l.ttl("mem", catalog.Warning, "")
		}
		if err := l.DeregisterService("web"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		want(t, "flips and a deregistration", s.take(), "3.005s deregister web", "3.005s register mem=warning")
		if err := l.DeregisterCheck("mem"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		want(t, "a check gone", s.take(), "4.005s deregister mem")
		for message, n := range map[string]int{"Synced node info": 1, "Synced service": 2, "Synced check": 5, "Deregistered service": 1, "Deregistered check": 1} {
			if got := l.logged(message); got != n {
				t.Errorf("%q is logged %d times, want %d", message, got, n)
			}
		}
		time.Sleep(time.Hour)
		want(t, "at rest", s.take())
	})
}

func TestSyncRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		s.fail(fault.NoLeader)
		l := open(t, s, testConfig())
		synctest.Wait()
		start := time.Now()
		l.service(`{"Name":"web"}`) // does not wait
		if time.Since(start) != 0 {
			t.Error("a registration waited for the servers")
		}
		for range 100 {
			time.Sleep(5 * time.Millisecond)
			l.service(`{"Name":"web"}`) // changes do not hurry a retry
		}
		time.Sleep(59500 * time.Millisecond)
		calls := s.take()
		if len(calls) < 6 || len(calls) > 12 {
			t.Errorf("%d calls in the first minute without a leader: %q", len(calls), calls)
		}
		s.fail(nil)
		time.Sleep(16 * time.Second)
		want(t, "catalog", s.holds(), "service web")
		s.take()

		// SyncNow does not wait for the retry.
		s.fail(fault.NoLeader)
		l.service(`{"Name":"db"}`)
		time.Sleep(time.Minute)
		s.fail(nil)
		l.SyncNow()
		synctest.Wait()
		want(t, "catalog", s.holds(), "service db", "service web")
	})
}

// What fails next to what the servers took is not the next failure in a row: an
// agent that had waited long for them is soon done when they are back.
func TestSyncProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		s.fail(fault.NoLeader)
		l := open(t, s, testConfig())
		l.service(`{"Name":"web"}`)
		time.Sleep(time.Minute)
		s.mu.Lock()
		s.deny = map[string]error{"web": fault.NoLeader} // lost again after the node was written
		s.mu.Unlock()
		s.fail(nil)
		for s.self() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		s.mu.Lock()
		s.deny = nil
		s.mu.Unlock()
		time.Sleep(retryMin)
		want(t, "soon after", s.holds(), "service web")
	})
}

func TestCompareRepairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		l := open(t, s, testConfig())
		synctest.Wait() // the first comparison is done
		l.service(`{"Name":"web","EnableTagOverride":true,"Tags":["a"],"Check":{"TTL":"1h"}}`)
		l.service(`{"Name":"db","Tags":["a"]}`)
		time.Sleep(time.Second)
		s.take()
		// Others write into the catalog.
		s.mu.Lock()
		s.services["consul"] = &catalog.Service{ID: "consul", Name: "consul"}
		s.services["zombie"] = &catalog.Service{ID: "zombie", Name: "zombie"}
		s.checks["serfHealth"] = &catalog.Check{CheckID: "serfHealth", Status: catalog.Passing}
		s.checks["consul-check"] = &catalog.Check{CheckID: "consul-check", ServiceID: "consul"}
		s.checks["ghost"] = &catalog.Check{CheckID: "ghost", Status: catalog.Passing}
		for _, id := range []string{"web", "db"} {
			svc := *s.services[id]
			svc.Tags = []string{"b"}
			s.services[id] = &svc
		}
		other := *s.checks["service:web"]
		other.Status = catalog.Passing
		s.checks["service:web"] = &other
		node := *s.node
		node.Meta = map[string]string{"x": "y"}
		s.node = &node
		s.mu.Unlock()
		time.Sleep(2 * time.Minute)
		want(t, "repairs", s.take(), "1m7.5s deregister zombie", "1m7.5s deregister ghost", "1m7.5s register node",
			"1m7.5s register db", "1m7.5s register service:web=critical")
		if tags := s.service("web").Tags; len(tags) != 1 || tags[0] != "b" {
			t.Errorf("tags of web in the catalog: %q", tags)
		}
		if tags := l.Services()["web"].Tags; len(tags) != 1 || tags[0] != "b" {
			t.Errorf("the agent did not take the catalog's tags: %q", tags)
		}
		if tags := l.Checks()["service:web"].ServiceTags; len(tags) != 1 || tags[0] != "b" {
			t.Errorf("the check did not take the catalog's tags: %q", tags)
		}
		if tags := s.service("db").Tags; len(tags) != 1 || tags[0] != "a" {
			t.Errorf("tags of db in the catalog: %q", tags)
		}
		// The same registration again keeps the tags.
		l.service(`{"Name":"web","EnableTagOverride":true,"Tags":["a"],"Check":{"TTL":"1h"}}`)
		time.Sleep(10 * time.Minute)
		want(t, "at rest", s.take())
	})
}

func TestRefusedOnesDoNotStopOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		s.deny["a"] = fault.Newf(fault.Denied, "Permission denied")
		l := open(t, s, testConfig())
		l.service(`{"Name":"a"}`)
		l.service(`{"Name":"b"}`)
		time.Sleep(time.Second)
		want(t, "catalog", s.holds(), "service b")
		if l.logged("Service registration blocked by ACLs") == 0 {
			t.Error("the refusal is not logged")
		}
		s.mu.Lock()
		delete(s.deny, "a")
		s.mu.Unlock()
		time.Sleep(2 * time.Minute)
		want(t, "catalog", s.holds(), "service a", "service b")
	})
}

func TestOutputAloneWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		cfg := testConfig()
		cfg.CheckUpdateInterval = 10 * time.Minute
		l := open(t, s, cfg)
		l.check(`{"Name":"x","TTL":"100h"}`)
		l.ttl("x", catalog.Passing, "0")
		time.Sleep(time.Second)
		s.take()
		for range 30 { // an output each 10 s for 5 min, across full comparisons
			l.ttl("x", catalog.Passing, time.Now().String())
			time.Sleep(10 * time.Second)
		}
		want(t, "outputs", s.take())
		last := l.Checks()["x"].Output
		time.Sleep(7 * time.Minute)
		want(t, "outputs", s.take(), "11m16.005s register x=passing")
		if got := s.check("x").Output; got != last {
			t.Errorf("output %q in the catalog, want %q", got, last)
		}
		// A status takes its output along at once.
		l.ttl("x", catalog.Passing, "waits")
		l.ttl("x", catalog.Critical, "does not")
		time.Sleep(time.Second)
		if got := s.check("x"); got.Status != catalog.Critical || got.Output != "does not" {
			t.Errorf("check %+v in the catalog", got)
		}
	})
}

// A service that is registered over and over does not bring its checks' outputs out sooner.
func TestOutputWaitsAcrossRegistrations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		cfg := testConfig()
		cfg.CheckUpdateInterval = 10 * time.Minute
		l := open(t, s, cfg)
		body := `{"Name":"web","Check":{"CheckID":"x","TTL":"100h"}}`
		l.service(body)
		l.ttl("x", catalog.Passing, "0")
		time.Sleep(time.Second)
		s.take()
		for i := range 240 { // for an hour
			l.ttl("x", catalog.Passing, time.Now().String())
			if i%2 == 0 {
				l.service(body)
			}
			time.Sleep(15 * time.Second)
		}
		if got := s.take(); len(got) < 4 || len(got) > 6 {
			t.Errorf("in an hour with an interval of 10 min the outputs were written %d times: %q", len(got), got)
		}
	})
}

func TestSyncInterval(t *testing.T) {
	for size, minutes := range map[int]int{1: 1, 128: 1, 129: 2, 256: 2, 257: 3, 512: 3, 513: 4, 1024: 4, 8192: 7} {
		s := newSyncer(testConfig(), Deps{Rand: func(int64) int64 { return 0 }, ClusterSize: func() int { return size }}.withDefaults())
		if got := s.interval(); got != time.Duration(minutes)*time.Minute {
			t.Errorf("%d members: %v, want %d min", size, got, minutes)
		}
	}
}

func TestReaper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		l := open(t, s, testConfig())
		l.service(`{"Name":"gone","Check":{"TTL":"10s","DeregisterCriticalServiceAfter":"1s"}}`) // 1 min is the least
		l.service(`{"Name":"back","Check":{"TTL":"1h","DeregisterCriticalServiceAfter":"70s"}}`)
		l.service(`{"Name":"stays","Check":{"TTL":"10s"}}`)
		time.Sleep(50 * time.Second)
		l.ttl("service:back", catalog.Passing, "")
		l.ttl("service:back", catalog.Critical, "") // its time starts afresh
		if len(l.Services()) != 3 {
			t.Error("a service was deregistered before a minute")
		}
		time.Sleep(45 * time.Second)
		if all := l.Services(); len(all) != 2 || all["gone"] != nil {
			t.Errorf("services after 95 s: %v", all)
		}
		time.Sleep(60 * time.Second)
		if all := l.Services(); len(all) != 1 || all["stays"] == nil {
			t.Errorf("services after 155 s: %v", all)
		}
		time.Sleep(time.Second)
		want(t, "catalog", s.holds(), "service stays", "check service:stays=critical")
	})
}

func TestAliasChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		l := open(t, s, testConfig())
		l.service(`{"Name":"db","Check":{"CheckID":"dbc","Name":"db check","TTL":"1h"}}`)
		l.check(`{"ID":"here","Name":"here","AliasService":"db"}`)
		l.check(`{"ID":"node","Name":"node","AliasNode":"n1"}`)
		l.check(`{"ID":"nothing","Name":"nothing","AliasService":"nope"}`)
		l.check(`{"ID":"there","Name":"there","AliasNode":"other","AliasService":"db"}`)
		l.check(`{"ID":"missing","Name":"missing","AliasNode":"other","AliasService":"nope"}`)
		synctest.Wait()
		want(t, "checks", l.states(), "dbc=critical", `here=critical Aliased check "db check" failing:`,
			`missing=critical Service "nope" could not be found`, "node=passing No checks found.",
			`nothing=critical Service "nope" could not be found`, "there=passing No checks found.")
		l.ttl("dbc", catalog.Passing, "")
		s.setOther(&catalog.Check{CheckID: "x", Name: "x", ServiceID: "db", Status: catalog.Warning, Output: "slow"},
			&catalog.Check{CheckID: "y", ServiceID: "web", Status: catalog.Critical})
		l.check(`{"ID":"disk","Name":"disk","TTL":"1h","Status":"warning"}`)
		synctest.Wait()
		want(t, "checks", l.states(), "dbc=passing", "disk=warning", `here=warning Aliased check "disk" failing:`,
			`missing=critical Service "nope" could not be found`, `node=warning Aliased check "disk" failing:`,
			`nothing=critical Service "nope" could not be found`, `there=warning Aliased check "x" failing: slow`)
		l.ttl("disk", catalog.Passing, "")
		synctest.Wait()
		if got := l.Checks()["here"]; got.Status != catalog.Passing {
			t.Errorf("here is %+v", got)
		}
		s.setOther()
		synctest.Wait()
		if got := l.Checks()["there"]; got.Status != catalog.Passing {
			t.Errorf("there without checks is %+v", got)
		}
		s.emptyOther()
		synctest.Wait()
		if got := l.Checks()["there"]; got.Status != catalog.Critical {
			t.Errorf("there, which went without a check, is %+v", got)
		}
	})
}
