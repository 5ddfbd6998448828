package archtest

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// floors of the house. A package imports only packages on lower floors.
var floors = map[string]float64{
	"internal/fault":         0,
	"internal/version":       0,
	"internal/logx":          0.5,
	"internal/metrics":       0.5,
	"internal/durable":       0.5,
	"internal/door":          0.5,
	"internal/filter":        0.5,
	"internal/filewatch":     0.5,
	"internal/hclconf":       0.5,
	"internal/snapfile":      0.5,
	"internal/rig":           0.5,
	"internal/memnet":        0.5,
	"internal/aclmatrix":     0.5,
	"internal/tlsx":          0.5,
	"internal/watch":         0.5,
	"internal/remoteexec":    0.6,
	"internal/archtest":      0.5,
	"internal/conformance":   0.5,
	"catalog":                1,
	"acl":                    1,
	"acl/idtoken":            1.5,
	"rpc/wire":               1,
	"dnsserver/wire":         1,
	"dnsserver/table":        1,
	"dnsserver/limit":        1,
	"dnsserver/udp":          1,
	"dnsserver/observe":      1,
	"internal/gossip":        1,
	"internal/gossip/roster": 1.5,
	"query":                  1.5, // it filters the instances of catalog
	"configentry":            1.5, // its filters are over the instances of catalog
	"httpapi/config":         4.7,
	"httpapi/guard":          4.6,
	"httpapi/machine":        4.6,
	"rpc/limit":              3.6,
	"internal/audit":         0.6,
	"internal/rotate":        0.5,
	"httpapi/acl":            4.7,
	"cmd/consul/entries":     8.7,
	"cmd/consul/doctor":      8.7,
	"cmd/consul/access":      8.7,
	"kv":                     1.5, // its transactions change nodes, services and checks too
	"checks":                 2,
	"view":                   2,
	"lan":                    2,
	"lan/events":             2,
	"wan":                    2,
	"view/saved":             2.5,
	"view/world":             2.5,
	"rpc":                    3,
	"rpc/remote":             3.5,
	"store/state":            3,
	"store/disklog":          3.5,
	"store/transport":        3.7,
	"store/fsm":              3.5,
	"store/checkpoint":       3.7,
	"dnsserver/zone":         3,
	"dnsserver/recurse":      3,
	"dnsserver/prepared":     3.5,
	"dnsserver/transfer":     3.5,
	"store":                  4,
	"store/keys":             4.5,
	"federation":             4,
	"agent/tokens":           3.9,
	"agent":                  4,
	"dnsserver":              4,
	"server/copied":          4.6,
	"server/login":           4.6,
	"server/vet":             4.5,
	"server/patience":        4.5,
	"server":                 5,
	"httpapi/charts":         4.6,
	"httpapi/edge":           4.5,
	"httpapi/inventory":      4.7,
	"httpapi/keys":           4.7,
	"httpapi/names":          4.6,
	"httpapi/ui":             4.7,
	"httpapi":                5,
	"server/leader":          6,
	"configs":                7,
	"configs/definition":     6.5,
	"configs/older":          6.5,
	"daemon":                 8,
	"daemon/pools":           7.5,
	"cmd/consul/agentlog":    8.5,
	"cmd/consul/command":     8.5,
	"cmd/consul/discover":    8.7,
	"cmd/consul/keys":        8.7,
	"cmd/consul/operate":     8.7,
	"cmd/consul/commandtest": 8.6,
	"internal/lab":           8.5,
	"cmd/consul":             9,
	"internal/doctest":       9,
	"scripts":                9,
	"systemd":                9,
	"monitoring":             9,
	"scripts/bench-dns":      9,
}

// doors: who may import a library that has one room in the house.
var doors = map[string][]string{
	"github.com/miekg/dns":             {"dnsserver", "internal/conformance"},
	"github.com/hashicorp/hcl/v2":      {"internal/hclconf"},
	"github.com/hashicorp/raft":        {"store"},
	"github.com/hashicorp/raft-wal":    {"store"},
	"github.com/hashicorp/go-memdb":    {"store", "server"},
	"github.com/hashicorp/go-bexpr":    {"internal/filter"},
	"github.com/hashicorp/cli":         {"cmd/consul"},
	"github.com/hashicorp/consul/api":  {"cmd/consul", "daemon", "httpapi", "internal/conformance", "internal/watch", "internal/remoteexec"},
	"github.com/hashicorp/go-sockaddr": {"configs"},
	"github.com/hashicorp/go-metrics":  {"internal/metrics", "cmd/consul"},
	"github.com/hashicorp/serf":        {"internal/gossip"},
	"github.com/hashicorp/memberlist":  {"internal/gossip"},
	"google.golang.org/grpc":           {"rpc/remote", "checks"},
}

func TestFloors(t *testing.T) {
	for _, f := range load(t).files {
		mine, known := floors[f.pkg]
		if !known {
			t.Errorf("%s: package %s has no floor; add it to the table", f.path, f.pkg)
			continue
		}
		if f.test {
			continue // tests may look at anything
		}
		for _, imp := range f.file.Imports {
			path, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			below, ours := strings.CutPrefix(path, module+"/")
			if !ours {
				checkDoor(t, f, path)
				continue
			}
			if theirs, ok := floors[below]; !ok || theirs >= mine {
				t.Errorf("%s: %s (floor %v) imports %s (floor %v)", f.path, f.pkg, mine, below, theirs)
			}
		}
	}
}

func checkDoor(t *testing.T, f source, path string) {
	for lib, rooms := range doors {
		if path != lib && !strings.HasPrefix(path, lib+"/") {
			continue
		}
		for _, room := range rooms {
			if f.pkg == room || strings.HasPrefix(f.pkg, room+"/") {
				return
			}
		}
		if lib == "github.com/hashicorp/raft" && strings.HasPrefix(path, lib+"-") {
			continue
		}
		t.Errorf("%s: %s is imported outside its rooms %v", f.path, path, rooms)
	}
}

// TestNothingBanned keeps modules out of the binary that crash or balloon on
// hostile input: go-msgpack before v2 allocates by a length it was told.
func TestNothingBanned(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "consul.internal/cmd/consul").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 100 {
		t.Fatalf("go list found only %d packages", len(deps))
	}
	for _, dep := range deps {
		if strings.HasPrefix(dep, "github.com/hashicorp/go-msgpack") && !strings.HasPrefix(dep, "github.com/hashicorp/go-msgpack/v2") ||
			dep == "github.com/hashicorp/consul" || dep == "C" || dep == "runtime/cgo" && cgoOff() {
			t.Errorf("%s is linked", dep)
		}
	}
}

func cgoOff() bool {
	out, err := exec.Command("go", "env", "CGO_ENABLED").Output()
	return err == nil && strings.TrimSpace(string(out)) == "0"
}
