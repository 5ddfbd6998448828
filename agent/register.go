package agent

import (
	"consul.internal/checks"
	"consul.internal/internal/fault"
)

// RegisterOptions are the options of a registration over HTTP.
type RegisterOptions struct {
	// ReplaceExistingChecks removes the service's checks that the definition does not name.
	ReplaceExistingChecks bool
}

// RegisterService takes in a service that came over HTTP, in place of one with
// the same ID, and persists it. It does not wait for the servers.
func (l *Local) RegisterService(def *ServiceDefinition, opts RegisterOptions) error {
	p, err := l.cfg.planService(def, fromAPI)
	if err != nil {
		return err
	}
	l.reg.warnUndiscoverable(p)
	l.reg.mu.Lock()
	defer l.reg.mu.Unlock()
	c := change{from: fromAPI, service: p, checks: p.checks}
	if opts.ReplaceExistingChecks {
		for _, id := range l.state.checkIDsOf(p.service.ID) {
			// Maintenance was switched on by a person and is left to one.
			if !isMaintenance(id) && !hasCheck(p.checks, id) {
				c.dropChecks = append(c.dropChecks, id)
			}
		}
	}
	// The checks go first: a service found after a crash must not lack the checks that guard it.
	for _, cp := range p.checks {
		if err := l.reg.files.saveCheck(cp); err != nil {
			return err
		}
	}
	if err := l.reg.files.saveService(p); err != nil {
		return err
	}
	for _, id := range c.dropChecks {
		if err := l.reg.files.removeCheck(id); err != nil {
			return err
		}
	}
	return l.reg.start(c)
}

// DeregisterService removes a service and its checks, from disk and, soon, from the catalog.
func (l *Local) DeregisterService(id string) error {
	l.reg.mu.Lock()
	defer l.reg.mu.Unlock()
	if _, ok := l.state.service(id); !ok {
		return errUnknownService(id)
	}
	// The service goes first: it must not be found after a crash without its checks.
	if err := l.reg.files.remove(l.reg.files.servicePath(id)); err != nil {
		return err
	}
	ids := l.state.checkIDsOf(id)
	for _, check := range ids {
		if err := l.reg.files.removeCheck(check); err != nil {
			return err
		}
	}
	l.reg.dropService(id, ids)
	return nil
}

// RegisterCheck takes in a check that came over HTTP, of the node or of a
// service that is registered here, and persists it.
func (l *Local) RegisterCheck(def *checks.Definition) error {
	p, err := l.cfg.planCheck(def, fromAPI)
	if err != nil {
		return err
	}
	l.reg.mu.Lock()
	defer l.reg.mu.Unlock()
	if id := p.check.ServiceID; id != "" {
		e, ok := l.state.service(id)
		if !ok {
			return fault.Newf(fault.NotFound, "ServiceID %q does not exist", id)
		}
		if p.token == "" {
			p.token = e.token
		}
	}
	if err := l.reg.files.saveCheck(p); err != nil {
		return err
	}
	return l.reg.start(change{from: fromAPI, checks: []*checkPlan{p}})
}

// DeregisterCheck removes a check.
func (l *Local) DeregisterCheck(id string) error {
	l.reg.mu.Lock()
	defer l.reg.mu.Unlock()
	if _, ok := l.state.check(id); !ok {
		return errUnknownCheck(id)
	}
	return l.reg.dropCheck(id)
}
