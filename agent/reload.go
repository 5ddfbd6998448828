package agent

import (
	"consul.internal/internal/fault"
)

// Reload puts a new Set in the place of what the files defined so far. What was
// registered over HTTP stays, unless the Set defines the same ID. A Set with
// anything wrong in it changes nothing; what did not change keeps running.
func (l *Local) Reload(set *Set) error {
	plan, err := l.cfg.plan(set)
	if err != nil {
		return err
	}
	l.reg.mu.Lock()
	defer l.reg.mu.Unlock()
	if err := l.reg.requireServices(plan); err != nil {
		return err
	}
	if err := l.reg.dropOldSet(plan); err != nil {
		return err
	}
	l.reg.applySettings(set)
	if err := l.reg.applyServices(plan, nil); err != nil {
		return err
	}
	return l.reg.applyChecks(plan, nil)
}

// requireServices refuses checks for services that there will not be. mu is held.
func (r *registrar) requireServices(plan *setPlan) error {
	for _, p := range plan.checks {
		id := p.check.ServiceID
		if id == "" || plan.hasService(id) {
			continue
		}
		if e, ok := r.state.service(id); !ok || e.from == fromFile {
			return fault.Newf(fault.Invalid, "check %q: ServiceID %q does not exist", p.id, id)
		}
	}
	return nil
}

func (p *setPlan) hasService(id string) bool {
	for _, s := range p.services {
		if s.service.ID == id {
			return true
		}
	}
	return false
}

func (r *registrar) applySettings(set *Set) {
	if set.NodeMeta != nil {
		r.state.setNode(r.cfg.node(set.NodeMeta))
	}
	r.state.setDiscardOutput(set.DiscardCheckOutput)
}

// dropOldSet removes what files defined and the plan does not. mu is held.
func (r *registrar) dropOldSet(plan *setPlan) error {
	for id, e := range r.state.allServices() {
		if e.from != fromFile || plan.hasService(id) {
			continue
		}
		ids := r.state.checkIDsOf(id)
		for _, check := range ids {
			if err := r.files.removeCheck(check); err != nil {
				return err
			}
		}
		r.dropService(id, ids)
	}
	for id, e := range r.state.allChecks() {
		if e.from == fromFile && !e.ofService && !hasCheck(plan.checks, id) {
			if err := r.dropCheck(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// applyServices takes in the services that files define. mu is held.
func (r *registrar) applyServices(plan *setPlan, restored map[string]savedState) error {
	for _, p := range plan.services {
		r.warnUndiscoverable(p)
		// The file wins over what was registered under the same ID, for good:
		// else the old registration would be back when the file goes.
		if err := r.files.remove(r.files.servicePath(p.service.ID)); err != nil {
			return err
		}
		c := change{from: fromFile, service: p, checks: p.checks, restored: restored}
		for _, id := range r.state.checkIDsOf(p.service.ID) {
			if e, ok := r.state.check(id); ok && e.ofService && !hasCheck(p.checks, id) {
				c.dropChecks = append(c.dropChecks, id)
				if err := r.files.removeCheck(id); err != nil {
					return err
				}
			}
		}
		if err := r.forgetFiles(p.checks); err != nil {
			return err
		}
		if err := r.start(c); err != nil {
			return err
		}
	}
	return nil
}

// applyChecks takes in the checks that files define by themselves. mu is held.
func (r *registrar) applyChecks(plan *setPlan, restored map[string]savedState) error {
	for _, p := range plan.checks {
		if e, ok := r.state.service(p.check.ServiceID); ok && p.token == "" {
			p.token = e.token
		}
	}
	if err := r.forgetFiles(plan.checks); err != nil {
		return err
	}
	return r.start(change{from: fromFile, checks: plan.checks, restored: restored})
}

// forgetFiles removes the persisted definitions of checks that a file defines
// now; their states stay. mu is held.
func (r *registrar) forgetFiles(plans []*checkPlan) error {
	for _, p := range plans {
		if err := r.files.remove(r.files.checkPath(p.id)); err != nil {
			return err
		}
	}
	return nil
}
