package pools

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/configs"
	"consul.internal/federation"
	"consul.internal/internal/fault"
	"consul.internal/internal/gossip"
	"consul.internal/internal/memnet"
	"consul.internal/lan"
	"consul.internal/rpc"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// teller is a Caller that knows datacenters, and counts who asks.
type teller struct {
	names []string
	asked int
	err   error
}

func (s *teller) Call(_ context.Context, method string, _, out any) error {
	if method != rpc.CatalogDatacenters.Name {
		return fmt.Errorf("unexpected %s", method)
	}
	s.asked++
	if s.err != nil {
		return s.err
	}
	out.(*rpc.DatacentersReply).Datacenters = slices.Clone(s.names)
	return nil
}

// settings are those of an agent at an address.
func settings(name, ip string, server bool) *configs.Settings {
	s := &configs.Settings{Dev: true} // nothing on disk
	s.Node.Name, s.Node.Datacenter, s.Server.Enabled = name, "dc1", server
	s.Ports.Server, s.Ports.SerfLAN = 8300, 8301
	at := netip.MustParseAddr(ip)
	s.Addresses.Bind, s.Addresses.AdvertiseLAN, s.Addresses.AdvertiseWAN = at, at, at
	s.Addresses.SerfLAN = netip.AddrPortFrom(at, 8301)
	s.Joining.Interval, s.Gossip.ReconnectTimeout = time.Second, 8*time.Hour
	if server {
		s.Ports.SerfWAN, s.Addresses.SerfWAN = 8302, netip.AddrPortFrom(at, 8302)
		s.Joining.IntervalWAN, s.Gossip.ReconnectWAN = time.Second, 8*time.Hour
	}
	return s
}

func deps(t *testing.T) Deps {
	return Deps{
		Logger: zap.NewNop(), Caller: &teller{names: []string{"dc1"}},
		Services:  func() iter.Seq2[string, []string] { return func(func(string, []string) bool) {} },
		ClusterID: func() string { return "" }, Mirrored: func() []string { return nil },
		Tell: Tell{
			Servers: func([]federation.Server) {}, Found: func() {}, Datacenters: func([]string) {},
			GaveUp: func(err error) { t.Error(err) },
		},
	}
}

// Before the pools are open, everything has an answer.
func TestNotOpen(t *testing.T) {
	p := New(settings("s1", "10.0.0.1", true), "id", deps(t))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := p.Cluster().Opened(ended); ok {
		t.Error("it is open")
	}
	if _, ok := p.Cluster().Address("id"); ok || len(p.Cluster().Candidates())+len(p.Cluster().Members())+p.Size()+p.Others() != 0 || !p.Alone() {
		t.Error("it knows somebody")
	}
	o := p.Operations()
	if err := o.Fire("e", nil); fault.Of(err) != fault.Unavailable {
		t.Errorf("Fire: %v", err)
	}
	if err := o.ForceLeave(t.Context(), &rpc.ForceLeaveRequest{Node: "x"}); fault.Of(err) != fault.Unavailable {
		t.Errorf("ForceLeave: %v", err)
	}
	if err := o.ForgetDatacenter("dc2"); fault.Of(err) != fault.Unavailable {
		t.Errorf("ForgetDatacenter: %v", err)
	}
	if got := o.Keyring(t.Context(), &rpc.KeyringRequest{}); len(got) != 0 {
		t.Errorf("Keyring: %v", got)
	}
	if got := fmt.Sprint(o.Datacenters(), p.Chart()); got != "[dc1] [dc1]" {
		t.Errorf("datacenters %s", got)
	}
	if m := p.Shown().Self(false); m.Name != "s1" || m.Addr != "10.0.0.1" || m.Port != 8301 || m.Status != StatusAlive || m.Tags["id"] != "id" {
		t.Errorf("it shows itself as %+v", m)
	}
	if m := p.Shown().Members(true); len(m) != 1 || m[0].Name != "s1.dc1" || m[0].Port != 8302 {
		t.Errorf("all servers are %+v", m)
	}
	if _, err := p.Shown().Join(t.Context(), []string{"10.0.0.2"}, false); fault.Of(err) != fault.Unavailable {
		t.Errorf("Join: %v", err)
	}
	if got := p.Shown().Stats(); got["serf_lan"]["members"] != "0" || got["serf_wan"] != nil {
		t.Errorf("figures %v", got)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func nodeID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

// Two servers find each other, those who want to know are told, and one that leaves
// is there no more.
func TestTwoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New(1)
		defer net.Close()
		var found, told atomic.Int64
		var all [2]*Pools
		for i := range all {
			s := settings(fmt.Sprint("s", i), fmt.Sprint("10.0.0.", i+1), true)
			if i > 0 {
				s.Joining.LAN = []string{"10.0.0.1"}
			}
			d := deps(t)
			d.Network = net.Host(fmt.Sprint("10.0.0.", i+1))
			if i == 0 {
				d.Tell.Found = func() { found.Add(1) }
				d.Tell.Servers = func(list []federation.Server) { told.Store(int64(len(list))) }
			}
			all[i] = New(s, nodeID(i), d)
			if err := all[i].Open(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		first := all[0]
		if first.Size() != 2 || first.Others() != 1 || first.Alone() || found.Load() != 2 || told.Load() != 2 {
			t.Errorf("%d members, %d others, alone %t, %d found, told of %d", first.Size(), first.Others(), first.Alone(), found.Load(), told.Load())
		}
		if at, ok := first.Cluster().Address(nodeID(1)); !ok || at != "10.0.0.2:8300" {
			t.Errorf("the other server is at %q", at)
		}
		if m := first.Shown().Members(true); len(m) != 2 {
			t.Errorf("the pool of all servers has %+v", m)
		}
		if err := all[1].WAN().Leave(t.Context()); err != nil {
			t.Error(err)
		}
		if err := all[1].LAN().Leave(t.Context()); err != nil {
			t.Error(err)
		}
		if err := all[1].Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if !first.Alone() || told.Load() != 1 {
			t.Errorf("after it left, alone is %t, told of %d", first.Alone(), told.Load())
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A client asks its servers which datacenters there are, not more than once a second,
// and remembers for a while what one server told.
func TestAtlas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := &teller{names: []string{"dc1", "dc2"}}
		var views []string
		d := deps(t)
		d.Caller, d.Mirrored = servers, func() []string { return []string{"dc8", "dc9"} }
		d.Tell.Datacenters = func(names []string) { views = slices.Sorted(slices.Values(names)) }
		p := New(settings("c", "10.0.0.9", false), "id", d)
		if got := strings.Join(p.Chart(), " "); got != "dc1 dc8 dc9" {
			t.Errorf("without servers it lists %s", got)
		}
		known := func(dc string) bool {
			ok, err := p.Known(t.Context(), dc)
			if err != nil {
				t.Error(err)
			}
			return ok
		}
		for range 5 {
			if !known("dc2") || known("dc3") {
				t.Error("dc2 is not known, or dc3 is")
			}
		}
		if servers.asked != 1 {
			t.Errorf("it asked %d times in no time", servers.asked)
		}
		if got := strings.Join(p.Chart(), " "); got != "dc1 dc2" || strings.Join(views, " ") != "dc1 dc2" {
			t.Errorf("it lists %s, the views were told of %v", got, views)
		}
		servers.names = []string{"dc1"} // of a server that has just started
		time.Sleep(atlasFresh)
		if known("dc3"); servers.asked != 2 || !known("dc2") {
			t.Errorf("asked %d times, want 2, and dc2 known", servers.asked)
		}
		time.Sleep(atlasMemory + time.Second)
		if known("dc3"); known("dc2") {
			t.Error("dc2 is known for ever")
		}
		servers.err = fault.Newf(fault.NoLeader, "No cluster leader")
		time.Sleep(atlasFresh)
		if _, err := p.Known(t.Context(), "dc2"); fault.Of(err) != fault.NoLeader {
			t.Errorf("without an answer: %v", err)
		}
	})
}

// What the configuration says lies over a pool's own timers; files are named only
// where there is a directory for them.
func TestConfig(t *testing.T) {
	s := settings("s1", "10.0.0.1", true)
	s.Gossip.LAN = configs.GossipTiming{ProbeInterval: 3 * time.Second, SuspicionMult: 9}
	got, usual := lanConfig(s, "id"), lan.DefaultConfig()
	usual.Gossip.Timers.ProbeInterval, usual.Gossip.Timers.SuspicionMult = 3*time.Second, 9
	if got.Gossip.Timers != usual.Gossip.Timers {
		t.Errorf("timers %+v", got.Gossip.Timers)
	}
	if got.Gossip.SnapshotPath != "" || got.Gossip.Encryption.KeyringFile != "" {
		t.Error("files are named without a directory")
	}
	s.Dev, s.Paths.DataDir = false, "/d"
	at := []string{lanConfig(s, "id").Gossip.SnapshotPath, wanConfig(s, "id").Gossip.SnapshotPath, wanConfig(s, "id").ForgottenPath}
	if got := strings.Join(at, " "); got != "/d/serf/local.snapshot /d/serf/remote.snapshot /d/serf/forgotten.json" {
		t.Errorf("files are %s", got)
	}
}

func TestVersionOf(t *testing.T) {
	for build, want := range map[string]string{"1.21.0:abc": "1.21.0", "1.21.0": "1.21.0", "": ""} {
		if got := versionOf(build); got != want {
			t.Errorf("%q: %q, want %q", build, got, want)
		}
	}
	if wanWords(gossip.Failed) != "Handled event for server in area: member-failed" {
		t.Error("the words that people grep for are others")
	}
}
