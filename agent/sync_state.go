package agent

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"consul.internal/catalog"
)

// job is one write to the catalog: what to register, or what to take out. What
// it holds is compared by pointer afterwards: an entry that got a new value
// meanwhile is not synchronised by it.
type job struct {
	node         *catalog.Node // alone: the node's own entry
	service      *catalog.Service
	checks       []*catalog.Check
	token        string
	dropService  string
	dropCheck    string
	skipNodeInfo bool
}

// jobs lists what the servers have to be told, deregistrations first: a service
// that takes over a check's ID must not lose it again.
func (s *state) jobs() []*job {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*job
	for _, id := range slices.Sorted(maps.Keys(s.goneServices)) {
		out = append(out, &job{dropService: id, token: s.goneServices[id]})
	}
	for _, id := range slices.Sorted(maps.Keys(s.goneChecks)) {
		g := s.goneChecks[id]
		if _, ok := s.goneServices[g.serviceID]; ok && g.serviceID != "" {
			continue // goes with its service
		}
		out = append(out, &job{dropCheck: id, token: g.token})
	}
	if !s.nodeSynced {
		out = append(out, &job{node: s.node})
	}
	type group struct{ serviceID, token string }
	pending := make(map[group][]*catalog.Check)
	for _, id := range unsynced(s.checks, func(e *checkEntry) bool { return e.synced }) {
		e := s.checks[id]
		g := group{e.check.ServiceID, s.tokenFor(e.token, e.from, isMaintenance(id))}
		pending[g] = append(pending[g], e.check)
	}
	for _, id := range unsynced(s.services, func(e *serviceEntry) bool { return e.synced }) {
		e := s.services[id]
		g := group{id, s.tokenFor(e.token, e.from, false)}
		out = append(out, &job{node: s.node, service: e.service, checks: pending[g], token: g.token, skipNodeInfo: true})
		delete(pending, g)
	}
	groups := slices.SortedFunc(maps.Keys(pending), func(a, b group) int {
		return bytes.Compare([]byte(a.serviceID+"\x00"+a.token), []byte(b.serviceID+"\x00"+b.token))
	})
	for _, g := range groups {
		out = append(out, &job{node: s.node, checks: pending[g], token: g.token, skipNodeInfo: true})
	}
	return out
}

// tokenFor is the token that the servers are told of something with: its own, else
// the agent's for where it comes from.
func (s *state) tokenFor(own string, from source, agents bool) string {
	switch {
	case own != "":
		return own
	case agents:
		return s.tokens.Agent()
	case from == fromFile:
		return s.tokens.FileServices()
	}
	return s.tokens.Default()
}

// unsynced returns the IDs of the entries that are not synchronised, sorted.
func unsynced[E any](entries map[string]E, synced func(E) bool) []string {
	var out []string
	for id, e := range entries {
		if !synced(e) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// done notes that the servers know what a job told them (or have refused it for good).
func (s *state) done(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case j.dropService != "":
		delete(s.goneServices, j.dropService)
		for id, g := range s.goneChecks {
			if g.serviceID == j.dropService {
				delete(s.goneChecks, id)
			}
		}
		return
	case j.dropCheck != "":
		delete(s.goneChecks, j.dropCheck)
		return
	case !j.skipNodeInfo:
		s.nodeSynced = s.node == j.node
		return
	}
	if j.service != nil {
		if e := s.services[j.service.ID]; e != nil && e.service == j.service {
			e.synced, e.changed = true, false
		}
	}
	for _, c := range j.checks {
		if e := s.checks[c.CheckID]; e != nil && e.check == c {
			e.synced = true
		}
	}
}

// compare holds the catalog's view of this node against the state and notes
// every difference; jobs tells them afterwards.
func (s *state) compare(node *catalog.Node, services []*catalog.Service, checks []*catalog.Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodeSynced = node != nil && sameNode(node, s.node)
	s.compareServices(services)
	s.compareChecks(checks)
}

func (s *state) compareServices(services []*catalog.Service) {
	remote := make(map[string]*catalog.Service, len(services))
	for _, svc := range services {
		remote[svc.ID] = svc
		if _, ok := s.services[svc.ID]; !ok && svc.ID != catalog.ServiceConsul {
			if _, ok := s.goneServices[svc.ID]; !ok {
				s.goneServices[svc.ID] = ""
			}
		}
	}
	for id, e := range s.services {
		r := remote[id]
		if r == nil {
			e.synced = false
			continue
		}
		if e.base.EnableTagOverride && !e.changed && !slices.Equal(e.service.Tags, r.Tags) {
			next := *e.service
			next.Tags = append([]string{}, r.Tags...)
			e.service = &next
			for _, c := range s.checks {
				if c.check.ServiceID == id {
					s.adopt(c, e.service)
				}
			}
			s.ring()
		}
		e.synced = sameService(e.service, r)
	}
}

func (s *state) compareChecks(checks []*catalog.Check) {
	remote := make(map[string]*catalog.Check, len(checks))
	for _, c := range checks {
		remote[c.CheckID] = c
		// The leader's: what tells that the node lives, and whatever it puts on a server's own service.
		if c.CheckID == catalog.SerfHealth || c.ServiceID == catalog.ServiceConsul {
			continue
		}
		if _, ok := s.checks[c.CheckID]; !ok {
			if _, ok := s.goneChecks[c.CheckID]; !ok {
				s.goneChecks[c.CheckID] = goneCheck{serviceID: c.ServiceID}
			}
		}
	}
	for id, e := range s.checks {
		r := remote[id]
		e.synced = r != nil && sameCheck(e.check, r, e.deferred != nil)
		if !e.synced && (r == nil || r.Status != e.check.Status) {
			e.undefer() // the whole check goes out now, its output with it
		}
	}
}

func sameNode(remote, own *catalog.Node) bool {
	r := *remote
	r.Datacenter = own.Datacenter
	return own.SameContent(&r)
}

// sameService compares a mesh part by its JSON: numbers of other types in it
// are no difference, and re-registering it for ever would be one.
func sameService(own, remote *catalog.Service) bool {
	a, b := *own, *remote
	a.Proxy, b.Proxy = catalog.Proxy{}, catalog.Proxy{}
	if !a.SameContent(&b) {
		return false
	}
	if own.SameContent(remote) {
		return true
	}
	x, errX := json.Marshal(own.Proxy)
	y, errY := json.Marshal(remote.Proxy)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// sameCheck leaves out what an agent's check does not carry, and the output
// while a change of it is to wait.
func sameCheck(own, remote *catalog.Check, ignoreOutput bool) bool {
	r := *remote
	r.Definition, r.Node = own.Definition, own.Node
	if ignoreOutput {
		r.Output = own.Output
	}
	return own.SameContent(&r)
}
