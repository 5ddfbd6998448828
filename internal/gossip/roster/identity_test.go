package roster

import (
	"errors"
	"maps"
	"net/netip"
	"testing"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/internal/gossip"
	"github.com/google/go-cmp/cmp"
)

func TestTags(t *testing.T) {
	client := map[string]string{"role": "node", "dc": "dc1", "id": uuid(1), "build": "1.21.0", "vsn": "2", "vsn_min": "2", "vsn_max": "3", "segment": ""}
	id := Identity{Name: "a", ID: uuid(1), Datacenter: "dc1", Build: "1.21.0"}
	if d := cmp.Diff(client, id.Tags()); d != "" {
		t.Error(d)
	}
	id.Reconnect = 15 * time.Minute
	wishing := maps.Clone(client)
	wishing["rc_tm"] = "15m0s"
	if d := cmp.Diff(wishing, id.Tags()); d != "" || id.Validate() != nil {
		t.Error(d, id.Validate())
	}
	id.Reconnect = -1
	if id.Validate() == nil {
		t.Error("a negative time was taken")
	}
	id.Reconnect = 0
	id.Server, id.ServerPort, id.Bootstrap, id.Expect, id.ReadReplica = true, 8300, true, 3, true
	server := maps.Clone(client)
	maps.Copy(server, map[string]string{"role": "consul", "port": "8300", "raft_vsn": "3", "bootstrap": "1", "expect": "3", "read_replica": "1"})
	if d := cmp.Diff(server, id.Tags()); d != "" {
		t.Error(d)
	}
	id.Expect, id.Reconnect = 0, time.Hour
	if err := id.Validate(); !errors.Is(err, fault.Invalid) || id.Tags()["rc_tm"] != "" {
		t.Errorf("a server that is to be forgotten: %v", err)
	}
}

func TestParseServer(t *testing.T) {
	good := Identity{Name: "a", ID: uuid(1), Datacenter: "dc1", Server: true, ServerPort: 8300}.Tags()
	addr := netip.MustParseAddr("10.0.0.1")
	for name, c := range map[string]struct {
		change map[string]string
		addr   netip.Addr
		want   error
	}{
		"good":        {nil, addr, nil},
		"v6":          {nil, netip.MustParseAddr("fd00::1"), nil},
		"client":      {map[string]string{"role": "node"}, addr, NotServer},
		"no id":       {map[string]string{"id": ""}, addr, fault.Invalid},
		"odd id":      {map[string]string{"id": "../../etc/passwd"}, addr, fault.Invalid},
		"port 0":      {map[string]string{"port": "0"}, addr, fault.Invalid},
		"port":        {map[string]string{"port": "70000"}, addr, fault.Invalid},
		"port text":   {map[string]string{"port": "x"}, addr, fault.Invalid},
		"expect":      {map[string]string{"expect": "-1"}, addr, fault.Invalid},
		"expect huge": {map[string]string{"expect": "99999999999999999999"}, addr, fault.Invalid},
		"level":       {map[string]string{"level": "a"}, addr, fault.Invalid},
		"WAN address": {map[string]string{"wan_join_addr": "10.0.0"}, addr, fault.Invalid},
		"dc":          {map[string]string{"dc": "d c"}, addr, fault.Invalid},
		"no address":  {nil, netip.Addr{}, fault.Invalid},
	} {
		tags := maps.Clone(good)
		maps.Copy(tags, c.change)
		s, err := ParseServer(gossip.Member{Name: "a", ID: tags["id"], Addr: c.addr, Port: 8301, Tags: tags})
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && s.Addr != netip.AddrPortFrom(c.addr, 8300) {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestWANAddress: where a server is met by those of its own datacenter.
func TestWANAddress(t *testing.T) {
	id := Identity{Name: "a", ID: uuid(1), Datacenter: "dc1", Server: true, ServerPort: 8300, WANPort: 8302}
	for want, addr := range map[string]netip.Addr{"10.0.0.1:8302": {}, "10.3.0.1:8302": netip.MustParseAddr("10.3.0.1")} {
		id.WANAddr = addr
		s, err := ParseServer(gossip.Member{Name: "a", ID: id.ID, Addr: netip.MustParseAddr("10.0.0.1"), Port: 8301, Tags: id.Tags()})
		if err != nil || s.WAN.String() != want {
			t.Errorf("%v, %v; want %s", s.WAN, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	id := Identity{Name: "a", ID: uuid(1), Datacenter: "dc1", Server: true, ServerPort: 8300}
	for name, c := range map[string]struct {
		change map[string]string
		good   bool
	}{
		"server": {nil, true}, "client": {map[string]string{"role": "node"}, true}, "case": {map[string]string{"dc": "DC1"}, true},
		"dc": {map[string]string{"dc": "dc2"}, false}, "segment": {map[string]string{"segment": "x"}, false},
		"role": {map[string]string{"role": "king"}, false}, "id": {map[string]string{"role": "node", "id": "x"}, false}, "port": {map[string]string{"port": ""}, false},
	} {
		tags := id.Tags()
		maps.Copy(tags, c.change)
		err := id.Check(gossip.Member{Name: "b", ID: tags["id"], Addr: netip.MustParseAddr("10.0.0.1"), Tags: tags})
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSplit(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a 8301", "a:1": "a 1", "1.2.3.4": "1.2.3.4 8301", "1.2.3.4:99": "1.2.3.4 99", "::1": "::1 8301", "[::1]": "::1 8301", "[::1]:7": "::1 7",
		"a:0": "", "a:b": "", "a:99999": "", ":1": "", "http://a": "", "a b": "",
	} {
		host, port, err := split(in, 8301)
		if want == "" {
			if !errors.Is(err, fault.Invalid) {
				t.Errorf("%q: %v", in, err)
			}
		} else if got := host + " " + itoa(int(port)); err != nil || got != want {
			t.Errorf("%q: %s %v", in, got, err)
		}
	}
}
