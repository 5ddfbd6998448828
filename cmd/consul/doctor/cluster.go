package doctor

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// skew is the difference between clocks that nobody notices; the header that is
	// compared counts whole seconds.
	skew = 2 * time.Second
	// roundTrip is what raft's timers are good to when raft_multiplier is 1.
	roundTrip = 200 * time.Millisecond
	// maxMultiplier is the largest raft_multiplier.
	maxMultiplier = 10
	// httpTimeout bounds a question to another server.
	httpTimeout = 2 * time.Second
)

// What AgentMember.Status counts.
const (
	memberAlive  = 1
	memberLeft   = 3
	memberFailed = 4
)

// servers are the other servers of this datacenter.
func (p *patient) servers() (out []*api.AgentMember) {
	for _, m := range p.members {
		if m.Tags["role"] == "consul" && m.Name != p.Node.Name && m.Status == memberAlive {
			out = append(out, m)
		}
	}
	return out
}

// clocksElsewhere compares clocks by the Date of HTTP answers, where the other
// servers answer HTTP to this machine.
func (p *patient) clocksElsewhere(ctx context.Context) {
	if p.self == nil || p.Ports.HTTP <= 0 || len(p.servers()) == 0 {
		return
	}
	client := &http.Client{Timeout: httpTimeout}
	compared, good := 0, true
	for _, m := range p.servers() {
		off, err := p.difference(ctx, client, "http://"+net.JoinHostPort(m.Addr, strconv.Itoa(p.Ports.HTTP))+"/v1/status/leader")
		if err != nil {
			continue // most servers answer HTTP on loopback only
		}
		compared++
		if off.Abs() > skew {
			good = false
			p.fault("clock", "have both machines synchronise: timedatectl set-ntp true", "the clock of %s differs from this one by %s", m.Name, off.Round(time.Second))
		}
	}
	switch {
	case compared == 0:
		p.ok("clock", "not compared: no other server answers HTTP to this machine")
	case good:
		p.ok("clock", "agrees with %d of %d other servers, those that answer HTTP to this machine", compared, len(p.servers()))
	}
}

// difference is how much the other clock is ahead.
func (p *patient) difference(ctx context.Context, client *http.Client, url string) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	before := p.now()
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	if err := resp.Body.Close(); err != nil {
		return 0, err
	}
	there, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0, err
	}
	here := before.Add(p.now().Sub(before) / 2)
	return there.Add(time.Second / 2).Sub(here), nil
}

// distances holds the round trips between the servers, as gossip has measured
// them, against raft's timers.
func (p *patient) distances(ctx context.Context) {
	if p.self == nil || len(p.servers()) == 0 {
		return
	}
	entries, _, err := p.client.Coordinate().Nodes(new(api.QueryOptions).WithContext(ctx))
	if err != nil {
		p.fault("raft", "look for a leader: consul operator raft list-peers", "the distances between servers cannot be read: %v", err)
		return
	}
	names := map[string]bool{}
	for _, m := range p.members {
		if m.Tags["role"] == "consul" {
			names[m.Name] = true
		}
	}
	entries = slices.DeleteFunc(entries, func(e *api.CoordinateEntry) bool { return !names[e.Node] || e.Coord == nil })
	var worst time.Duration
	var a, b string
	for i, x := range entries {
		for _, y := range entries[:i] {
			if !x.Coord.IsCompatibleWith(y.Coord) {
				continue
			}
			if d := x.Coord.DistanceTo(y.Coord); d > worst {
				worst, a, b = d, y.Node, x.Node
			}
		}
	}
	good := roundTrip * time.Duration(max(p.Raft.Multiplier, 1))
	switch {
	case worst > good:
		need := min(int((worst+roundTrip-1)/roundTrip), maxMultiplier)
		p.fault("raft", fmt.Sprintf("on all servers: performance { raft_multiplier = %d }, then restart them one by one; better: place the servers of a datacenter closer together", need),
			"%s between %s and %s, but raft_multiplier = %d is good to %s", worst.Round(time.Millisecond), a, b, max(p.Raft.Multiplier, 1), good)
	case worst > 0:
		p.ok("raft", "servers are %s apart at most", worst.Round(time.Microsecond))
	}
}

// datacenters knocks at the servers of other datacenters, and asks each datacenter
// whether its own probes get here.
func (p *patient) datacenters(ctx context.Context) {
	remote := map[string][]*api.AgentMember{}
	for _, m := range p.wan {
		if dc := m.Tags["dc"]; dc != "" && dc != p.Node.Datacenter && m.Status != memberLeft {
			remote[dc] = append(remote[dc], m)
		}
	}
	for _, dc := range slices.Sorted(maps.Keys(remote)) {
		before := len(p.found)
		for _, m := range remote[dc] {
			knock(p, ctx, m)
		}
		backwards(p, ctx, dc)
		if len(p.found) == before {
			p.ok("wan", "%s is reached and reaches this server, %d servers", dc, len(remote[dc]))
		}
	}
}

// knock tries the two TCP ports of a server; gossip needs the first for UDP too.
func knock(p *patient, ctx context.Context, m *api.AgentMember) {
	ports := []string{strconv.Itoa(int(m.Port))}
	if rpc := m.Tags["port"]; rpc != "" {
		ports = append(ports, rpc)
	}
	for _, port := range ports {
		at := net.JoinHostPort(m.Addr, port)
		if err := p.dial(ctx, at); err != nil {
			p.fault("wan", fmt.Sprintf("let TCP (and UDP for gossip, port %d) through from %s to %s; if that address is private, set advertise_addr_wan there", m.Port, p.Addresses.AdvertiseWAN, at),
				"%s cannot be reached at %s: %v", m.Name, at, err)
		}
	}
}

// backwards looks whether the other datacenter has measured its distance to this
// server, which takes an answer of this server to its probes.
func backwards(p *patient, ctx context.Context, dc string) {
	var seen []api.CoordinateDatacenterMap
	q := &api.QueryOptions{Datacenter: dc}
	if _, err := p.client.Raw().Query("/v1/coordinate/datacenters", &seen, q.WithContext(ctx)); err != nil {
		p.fault("wan", "look at the servers there; consul members -wan shows how this one sees them", "%s does not answer: %v", dc, err)
		return
	}
	for _, d := range seen {
		if d.Datacenter != p.Node.Datacenter {
			continue
		}
		for _, e := range d.Coordinates {
			if e.Node == p.Node.Name || e.Node == p.Node.Name+"."+p.Node.Datacenter {
				return
			}
		}
	}
	p.fault("wan", fmt.Sprintf("let TCP and UDP through from there to %s port %d, and TCP to port %d; behind address translation set advertise_addr_wan", p.Addresses.AdvertiseWAN, p.Ports.SerfWAN, p.Ports.Server),
		"%s does not reach this server: it has no measurement of it", dc)
}

// secrets names the protections that are not used.
func (p *patient) secrets(context.Context) {
	if p.ACL.Enabled {
		p.ok("acl", "on, default_policy is %s", p.ACL.DefaultPolicy)
		if p.ACL.DefaultPolicy == "allow" {
			p.advise("acl", `acl { default_policy = "deny" }, once the tokens of agents and programs are in place`, "who has no token may do everything")
		}
	} else {
		p.advise("acl", `acl { enabled = true default_policy = "deny" } on all agents, then: consul acl bootstrap`, "off: everybody who reaches the agent may read and change everything")
	}
	ring := filepath.Join(p.Paths.DataDir, "serf", "local.keyring")
	if _, err := os.Stat(ring); p.Gossip.Key != "" || p.Paths.DataDir != "" && err == nil {
		p.ok("gossip", "is encrypted")
		return
	}
	p.advise("gossip", "encrypt = \"...\" with a key of: consul keygen, the same on all agents; docs/cluster.md tells how without an interruption", "is not encrypted: whoever reaches its port may join")
}
