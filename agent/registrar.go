package agent

import (
	"reflect"
	"slices"
	"sync"

	"go.uber.org/zap"

	"consul.internal/checks"
)

// registrar makes changes: on disk, in the state, and to the running checks, so
// that the three tell the same.
type registrar struct {
	cfg    *Config
	log    *zap.Logger
	files  *files
	state  *state
	runner *checks.Runner

	// mu orders changes. It is held while the disk is written; nobody who only
	// reads needs it.
	mu sync.Mutex
}

func hasCheck(plans []*checkPlan, id string) bool {
	return slices.ContainsFunc(plans, func(p *checkPlan) bool { return p.id == id })
}

// start applies a change to the state and to the running checks. mu is held.
func (r *registrar) start(c change) error {
	if c.service == nil && len(c.checks) == 0 && len(c.dropChecks) == 0 {
		return nil
	}
	var add []*checkPlan
	for _, p := range c.checks {
		old, ok := r.state.check(p.id)
		if ok && carries(&old, p, c.from) && reflect.DeepEqual(old.def, p.def) {
			continue // goes on as it is
		}
		// A result of the old check must not be taken for one of the new.
		r.runner.Remove(p.id)
		if p.def == nil {
			continue
		}
		add = append(add, p)
		if after := p.def.DeregisterCriticalServiceAfter; after > 0 && after < minDeregisterAfter {
			r.log.Warn("check has deregister interval below minimum", zap.String("check", p.id),
				zap.Duration("deregister_interval", after), zap.Duration("minimum_deregister_interval", minDeregisterAfter))
		}
	}
	for _, id := range c.dropChecks {
		r.runner.Remove(id)
	}
	r.state.apply(c)
	for _, p := range add {
		// A heartbeat that was saved some time before the restart is good for
		// what is left of its time, at most the whole TTL.
		var left = p.def.TTL
		if saved, ok := c.restored[p.id]; ok {
			left = ttlLeft(saved, p.def.TTL)
		}
		if err := r.runner.Add(p.id, p.def, left); err != nil {
			return err
		}
	}
	return nil
}

// dropService removes a service from memory. mu is held.
func (r *registrar) dropService(id string, checkIDs []string) {
	r.state.apply(change{dropService: id})
	for _, check := range checkIDs {
		r.runner.Remove(check)
	}
}

// dropCheck removes a check if it is there. mu is held.
func (r *registrar) dropCheck(id string) error {
	if _, ok := r.state.check(id); !ok {
		return nil
	}
	if err := r.files.removeCheck(id); err != nil {
		return err
	}
	r.runner.Remove(id)
	r.state.apply(change{dropChecks: []string{id}})
	return nil
}

// warnUndiscoverable says which names of a service DNS cannot carry.
func (r *registrar) warnUndiscoverable(p *servicePlan) {
	name, tags := undiscoverable(p.service)
	if name {
		r.log.Warn("Service name will not be discoverable via DNS due to invalid characters. "+
			"Valid characters include all alpha-numerics and dashes", zap.String("service", p.service.Name))
	}
	for _, tag := range tags {
		r.log.Warn("Service tag will not be discoverable via DNS due to invalid characters. "+
			"Valid characters include all alpha-numerics and dashes", zap.String("service", p.service.Name), zap.String("tag", tag))
	}
}

// enable is called with mu held.
func (r *registrar) enable(p *checkPlan) error {
	if _, on := r.state.check(p.id); on {
		return nil
	}
	if err := r.files.saveCheck(p); err != nil {
		return err
	}
	r.state.apply(change{from: fromAPI, checks: []*checkPlan{p}})
	return nil
}
