package agent

import (
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"consul.internal/agent/tokens"
	"consul.internal/catalog"
	"consul.internal/checks"
)

// state is what this machine offers, in memory, with a note on each entry
// whether the servers know it. Values of the catalog's types in it are shared
// and never changed; an entry gets a new one. No method waits for anything.
type state struct {
	updateInterval time.Duration
	rand           func(int64) int64
	changed        func() // something is to be synchronised; must not block
	tokens         *tokens.Store

	mu            sync.RWMutex
	closed        bool
	discardOutput bool
	node          *catalog.Node
	nodeSynced    bool
	services      map[string]*serviceEntry
	checks        map[string]*checkEntry
	goneServices  map[string]string // ID to token: the servers may still have them
	goneChecks    map[string]goneCheck
	version       uint64        // grows with each change
	bell          chan struct{} // closed and replaced with each change
}

type serviceEntry struct {
	service *catalog.Service
	base    *catalog.Service // as registered; service may carry the catalog's tags instead
	token   string
	from    source
	synced  bool
	// changed: the definition was changed since the catalog last had it, so that
	// its tags are newer than the catalog's.
	changed bool
}

type checkEntry struct {
	check         *catalog.Check
	def           *checks.Definition // nil for maintenance mode
	token         string
	from          source
	ofService     bool // came in a service's definition
	synced        bool
	criticalSince time.Time   // zero while not critical
	deferred      *time.Timer // set while a change of output alone waits
	due           time.Time   // when deferred ends
}

type goneCheck struct{ serviceID, token string }

func newState(node *catalog.Node, updateInterval time.Duration, rand func(int64) int64, changed func()) *state {
	return &state{
		updateInterval: updateInterval, rand: rand, changed: changed, node: node, tokens: new(tokens.Store),
		services: make(map[string]*serviceEntry), checks: make(map[string]*checkEntry),
		goneServices: make(map[string]string), goneChecks: make(map[string]goneCheck),
		version: 1, bell: make(chan struct{}),
	}
}

// ring tells those who wait that something changed. mu is held.
func (s *state) ring() {
	s.version++
	close(s.bell)
	s.bell = make(chan struct{})
}

func (s *state) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, e := range s.checks {
		e.undefer()
	}
}

func (s *state) setNode(node *catalog.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.node.SameContent(node) {
		s.node, s.nodeSynced = node, false
		s.changed()
	}
}

func (s *state) setDiscardOutput(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discardOutput = on
}

// service returns an entry's copy.
func (s *state) service(id string) (serviceEntry, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.services[id]
	if !ok {
		return serviceEntry{}, false
	}
	return *e, true
}

// check returns an entry's copy.
func (s *state) check(id string) (checkEntry, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.checks[id]
	if !ok {
		return checkEntry{}, false
	}
	return *e, true
}

// allServices returns the services by ID.
func (s *state) allServices() map[string]serviceEntry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make(map[string]serviceEntry, len(s.services))
	for id, e := range s.services {
		out[id] = *e
	}
	return out
}

// allChecks returns the checks by ID.
func (s *state) allChecks() map[string]checkEntry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make(map[string]checkEntry, len(s.checks))
	for id, e := range s.checks {
		out[id] = *e
	}
	return out
}

// checkIDsOf returns the IDs of a service's checks, sorted.
func (s *state) checkIDsOf(serviceID string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []string
	for id, e := range s.checks {
		if e.check.ServiceID == serviceID {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// change is what one registration or deregistration does to the state, at one
// stroke: a service must not be seen without its checks, not even for a moment.
type change struct {
	from       source
	service    *servicePlan // to take in, its checks are among checks
	checks     []*checkPlan
	restored   map[string]savedState // where checks start that are known from before a restart
	dropChecks []string
	// dropService forgets the service with all its checks.
	dropService string
}

func (s *state) apply(c change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.dropService != "" {
		if e := s.services[c.dropService]; e != nil {
			delete(s.services, c.dropService)
			s.goneServices[c.dropService] = e.token
		}
		for id, e := range s.checks {
			if e.check.ServiceID == c.dropService {
				s.dropCheck(id)
			}
		}
	}
	for _, id := range c.dropChecks {
		s.dropCheck(id)
	}
	if c.service != nil {
		s.putService(c.service, c.from)
	}
	for _, p := range c.checks {
		saved, ok := c.restored[p.id]
		s.putCheck(p, c.from, saved, ok)
	}
	s.ring()
	s.changed()
}

// putService takes in a service. Checks that it has already follow its name and tags. mu is held.
func (s *state) putService(p *servicePlan, from source) {
	svc := p.service
	e := &serviceEntry{service: svc, base: svc, token: p.token, from: from}
	switch old := s.services[svc.ID]; {
	case old == nil:
	case old.base.SameContent(svc) && old.token == p.token:
		e.service, e.base, e.synced, e.changed = old.service, old.base, old.synced, old.changed
	default:
		e.changed = true
	}
	s.services[svc.ID] = e
	delete(s.goneServices, svc.ID)
	for _, c := range s.checks {
		if c.check.ServiceID == svc.ID {
			s.adopt(c, e.service)
		}
	}
}

// adopt gives a check the name and tags of its service. mu is held.
func (s *state) adopt(c *checkEntry, svc *catalog.Service) {
	if c.check.ServiceName == svc.Name && slices.Equal(c.check.ServiceTags, svc.Tags) {
		return
	}
	next := *c.check
	next.ServiceName, next.ServiceTags = svc.Name, svc.Tags
	c.check, c.synced = &next, false
}

// putCheck takes in a check, in the state saved before a restart, or that of
// the check it replaces, or its own. mu is held.
func (s *state) putCheck(p *checkPlan, from source, saved savedState, restored bool) {
	check := *p.check
	check.Node = s.node.Name
	old := s.checks[p.id]
	switch {
	case restored:
		check.Status, check.Output = saved.Status, saved.Output
	case old != nil && carries(old, p, from):
		check.Status, check.Output = old.check.Status, old.check.Output
	}
	if s.discardOutput {
		check.Output = ""
	}
	if svc := s.services[check.ServiceID]; svc != nil {
		check.ServiceName, check.ServiceTags = svc.service.Name, svc.service.Tags
	}
	e := &checkEntry{check: &check, def: p.def, token: p.token, from: from, ofService: p.ofService}
	if check.Status == catalog.Critical {
		e.criticalSince = time.Now()
		if old != nil && !old.criticalSince.IsZero() {
			e.criticalSince = old.criticalSince
		}
	}
	s.checks[p.id] = e
	if old != nil {
		waits := old.deferred != nil
		old.undefer()
		if old.check.SameContent(&check) && old.token == p.token {
			e.check, e.synced = old.check, old.synced
			// A service that is registered every few seconds must not spoil the wait of its checks' outputs.
			if waits {
				s.deferOutput(p.id, e, time.Until(old.due))
			}
		}
	}
	delete(s.goneChecks, p.id)
}

// carries reports whether a check that is registered again goes on in the
// state it is in. A service that is registered again (many do so every few
// seconds) must not look dead meanwhile; nor must anything at a reload.
func carries(old *checkEntry, p *checkPlan, from source) bool {
	if old.def == nil || p.def == nil || old.def.Kind() != p.def.Kind() || old.check.ServiceID != p.check.ServiceID {
		return false
	}
	return p.ofService || from == fromFile || p.def.Status == "" && reflect.DeepEqual(old.def, p.def)
}

// dropCheck forgets a check. mu is held.
func (s *state) dropCheck(id string) {
	e, ok := s.checks[id]
	if !ok {
		return
	}
	e.undefer()
	delete(s.checks, id)
	s.goneChecks[id] = goneCheck{e.check.ServiceID, e.token}
}

// UpdateCheck makes state the checks.Sink. A new status is synchronised at
// once, a new output alone after the update interval.
func (s *state) UpdateCheck(id string, status catalog.Status, output string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.checks[id]
	if !ok || s.closed {
		return
	}
	if s.discardOutput {
		output = ""
	}
	if e.check.Status == status && e.check.Output == output {
		return
	}
	same := e.check.Status == status
	next := *e.check
	next.Status, next.Output = status, output
	e.check = &next
	s.ring()
	if same && s.updateInterval > 0 {
		if e.synced && e.deferred == nil {
			// A whole interval from the first change, so that two writes are never closer. Spread beyond
			// that, so that the outputs of a thousand checks do not go out together.
			s.deferOutput(id, e, s.updateInterval+time.Duration(s.rand(int64(s.updateInterval/4)+1)))
		}
		return
	}
	if !same {
		e.criticalSince = time.Time{}
		if status == catalog.Critical {
			e.criticalSince = time.Now()
		}
	}
	e.undefer()
	e.synced = false
	s.changed()
}

// deferOutput lets a change of output wait. mu is held.
func (s *state) deferOutput(id string, e *checkEntry, wait time.Duration) {
	e.due = time.Now().Add(wait)
	e.deferred = time.AfterFunc(wait, func() { s.outputDue(id, e) })
}

// outputDue ends the wait of a change of output.
func (s *state) outputDue(id string, e *checkEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.checks[id] != e || e.deferred == nil {
		return
	}
	e.undefer()
	e.synced = false
	s.changed()
}

func (e *checkEntry) undefer() {
	if e.deferred != nil {
		e.deferred.Stop()
		e.deferred = nil
	}
}

// overdue lists the services of which a check has been critical for longer
// than its definition allows, with that check.
func (s *state) overdue(now time.Time) map[string]string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make(map[string]string)
	for id, e := range s.checks {
		if e.def == nil || e.def.DeregisterCriticalServiceAfter <= 0 || e.check.ServiceID == "" || e.criticalSince.IsZero() {
			continue
		}
		if now.Sub(e.criticalSince) >= max(e.def.DeregisterCriticalServiceAfter, minDeregisterAfter) {
			out[e.check.ServiceID] = id
		}
	}
	return out
}

// watch returns the version of the state and a channel that is closed with the next change.
func (s *state) watch() (uint64, <-chan struct{}) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.version, s.bell
}

// followed returns the checks that an alias of a service here (or of this node) follows.
func (s *state) followed(self, serviceID string) (found []*catalog.Check, exists bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, id := range slices.Sorted(maps.Keys(s.checks)) {
		e := s.checks[id]
		if id == self || !follows(e.check, serviceID) {
			continue
		}
		found = append(found, e.check)
	}
	_, exists = s.services[serviceID]
	return found, exists || serviceID == ""
}

// follows reports whether an alias of the service follows the check: the
// service's own, and those of its node. Aliases on the node are left out, or two
// of them would keep each other critical for ever.
func follows(c *catalog.Check, serviceID string) bool {
	if c.ServiceID == "" {
		return c.Type != string(checks.KindAlias)
	}
	return c.ServiceID == serviceID
}
