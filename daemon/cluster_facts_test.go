package daemon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"consul.internal/agent"
	"consul.internal/catalog"
	"consul.internal/checks"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/gossip"
	"consul.internal/rpc"
	"github.com/miekg/dns"
)

// queryTimeout is what the DNS door gives a name of the own datacenter.
const queryTimeout = 100 * time.Millisecond

// dig asks an agent's names as its DNS door does, and words the answer: the code,
// whether it is marked stale, and the records' types and data.
func (c *cluster) dig(n *labNode, name string, qtype uint16) string {
	z := zone.New(zone.Options{Domain: "consul.", Datacenter: "dc1"}, n.d.Names(), func(int, func(i, j int)) {})
	ctx, cancel := context.WithTimeout(c.t.Context(), queryTimeout)
	defer cancel()
	r := z.Answer(ctx, z.Parse(dns.Fqdn(name)), qtype)
	out := dns.RcodeToString[r.Rcode]
	if r.Stale {
		out += " stale"
	}
	var records []string
	for _, rr := range r.Answer {
		data := strings.TrimPrefix(rr.String(), rr.Header().String())
		records = append(records, dns.TypeToString[rr.Header().Rrtype]+" "+data)
	}
	slices.Sort(records)
	return strings.Join(append([]string{out}, records...), ", ")
}

// members lists the pool as an agent sees it.
func (c *cluster) members(n *labNode) []string {
	pool := n.d.Pool()
	if pool == nil {
		return []string{"no pool"}
	}
	var out []string
	for _, m := range pool.Members() {
		role := "client"
		if m.Server != nil {
			role = "server"
		}
		out = append(out, fmt.Sprintf("%s %s %s", m.Name, role, m.Status))
	}
	slices.Sort(out)
	return out
}

func alive(n *labNode) (count int) {
	for _, m := range n.d.Pool().Members() {
		if m.Status == gossip.StatusAlive {
			count++
		}
	}
	return count
}

// peers lists the raft cluster as an agent is told it.
func (c *cluster) peers(n *labNode) []string {
	in := &rpc.RaftConfigurationRequest{}
	in.Consistency = rpc.Stale
	out, err := rpc.Call(c.t.Context(), n.d.Caller(), rpc.RaftConfiguration, in)
	if err != nil {
		return []string{"error: " + err.Error()}
	}
	var lines []string
	for _, s := range out.Servers {
		what := "voter"
		if !s.Voter {
			what = "non-voter"
		}
		lines = append(lines, s.Node+" "+what)
	}
	slices.Sort(lines)
	return lines
}

func stale() rpc.ReadOptions { return rpc.ReadOptions{Consistency: rpc.Stale} }

// catalog lists the nodes with their checks and services, as an agent is told them.
func (c *cluster) catalog(n *labNode, how rpc.Consistency) ([]string, error) {
	opt := rpc.ReadOptions{Consistency: how}
	nodes, err := rpc.Call(c.t.Context(), n.d.Caller(), rpc.CatalogNodes, &rpc.NodesRequest{ReadOptions: opt})
	if err != nil {
		return nil, err
	}
	states, err := rpc.Call(c.t.Context(), n.d.Caller(), rpc.HealthState, &rpc.StateRequest{ReadOptions: opt, State: catalog.Any})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, one := range nodes.Nodes {
		if one.Address == scribbled {
			continue // there are hundreds of them
		}
		line := one.Name
		for _, check := range states.Checks {
			if check.Node == one.Name && check.CheckID == catalog.SerfHealth {
				line += " " + string(check.Status)
			}
		}
		full, err := rpc.Call(c.t.Context(), n.d.Caller(), rpc.CatalogNode, &rpc.NodeRequest{ReadOptions: opt, Node: one.Name})
		if err != nil {
			return nil, err
		}
		for _, s := range full.Services {
			line += " " + s.ID
			for _, check := range states.Checks {
				if check.Node == one.Name && check.ServiceID == s.ID {
					line += "=" + string(check.Status)
				}
			}
		}
		out = append(out, line)
	}
	return out, nil
}

// dump is a server's whole catalog, indexes included.
func (c *cluster) dump(n *labNode) string {
	s := n.d.Store()
	var all []any
	ctx := c.t.Context()
	nodes, err := rpc.Call(ctx, n.d.Caller(), rpc.CatalogNodes, &rpc.NodesRequest{ReadOptions: stale()})
	if err != nil {
		return err.Error()
	}
	for _, one := range nodes.Nodes {
		full, err := rpc.Call(ctx, n.d.Caller(), rpc.CatalogNode, &rpc.NodeRequest{ReadOptions: stale(), Node: one.Name})
		if err != nil {
			return err.Error()
		}
		states, err := rpc.Call(ctx, n.d.Caller(), rpc.HealthNode, &rpc.NodeRequest{ReadOptions: stale(), Node: one.Name})
		if err != nil {
			return err.Error()
		}
		all = append(all, one, full.Services, states.Checks)
	}
	text, err := json.Marshal(append(all, s.State().Cluster()))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// same reports which servers hold the same catalog; they get some time to catch up.
func (c *cluster) same() string {
	servers := c.running(true)
	dumps := make([]string, len(servers))
	equal := c.await(3*time.Second, func() bool {
		for i, n := range servers {
			dumps[i] = c.dump(n)
		}
		return len(slices.Compact(slices.Clone(dumps))) == 1
	})
	var names []string
	for i, n := range servers {
		names = append(names, n.key)
		if !equal {
			c.t.Logf("%s holds %s", n.key, dumps[i])
		}
	}
	if !equal {
		return strings.Join(names, " ") + " differ"
	}
	return strings.Join(names, " ") + " hold the same"
}

// register gives an agent a service with a TTL check that passes.
func (n *labNode) register(name string, port int) error {
	return n.d.Local().RegisterService(&agent.ServiceDefinition{
		Name: name, Port: port, Checks: []checks.Definition{{TTL: 24 * time.Hour, Status: catalog.Passing}},
	}, agent.RegisterOptions{})
}

// scribbled is the address of what put writes.
const scribbled = "192.0.2.1"

// put writes a node into the catalog through an agent.
func (c *cluster) put(n *labNode, name string) error {
	ctx, cancel := context.WithTimeout(c.t.Context(), 15*time.Second)
	defer cancel()
	_, err := rpc.Call(ctx, n.d.Caller(), rpc.CatalogRegister, &rpc.RegisterRequest{
		Node: &catalog.Node{Name: name, Address: scribbled},
	})
	return err
}

// asker asks one agent for one name every 10 ms.
type asker struct {
	mu    sync.Mutex
	quit  bool
	asked int
	wrong map[string]int
	wg    sync.WaitGroup
}

func (c *cluster) ask(n *labNode, name string, qtype uint16, want string) *asker {
	a := &asker{wrong: map[string]int{}}
	a.wg.Go(func() {
		for {
			a.mu.Lock()
			quit := a.quit
			a.mu.Unlock()
			if quit || n.d == nil {
				return
			}
			got := strings.Replace(c.dig(n, name, qtype), " stale", "", 1)
			a.mu.Lock()
			a.asked++
			if got != want {
				a.wrong[got]++
			}
			a.mu.Unlock()
			time.Sleep(10 * time.Millisecond)
		}
	})
	return a
}

func (a *asker) halt() {
	a.mu.Lock()
	a.quit = true
	a.mu.Unlock()
	a.wg.Wait()
}

// scribe writes through one agent every 50 ms.
type scribe struct {
	mu     sync.Mutex
	quit   bool
	known  []string // acknowledged
	worst  time.Duration
	errors map[string]int
	wg     sync.WaitGroup
}

func (c *cluster) scribble(n *labNode, round int) *scribe {
	s := &scribe{errors: map[string]int{}}
	s.wg.Go(func() {
		last := time.Now()
		for i := 0; ; i++ {
			s.mu.Lock()
			quit := s.quit
			s.mu.Unlock()
			if quit || n.d == nil {
				return
			}
			name := fmt.Sprintf("w%d-%d", round, i)
			err := c.put(n, name)
			s.mu.Lock()
			if err == nil {
				s.known = append(s.known, name)
				s.worst = max(s.worst, time.Since(last))
				last = time.Now()
			} else {
				s.errors[err.Error()]++
			}
			s.mu.Unlock()
			time.Sleep(50 * time.Millisecond)
		}
	})
	return s
}

func (s *scribe) halt() {
	s.mu.Lock()
	s.quit = true
	s.mu.Unlock()
	s.wg.Wait()
}
