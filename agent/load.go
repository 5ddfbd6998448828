package agent

import (
	"time"

	"go.uber.org/zap"

	"consul.internal/checks"
)

// load takes in what the files define, and what was registered over HTTP. mu is held.
func (r *registrar) load(plan *setPlan, set *Set) error {
	states, err := r.files.loadStates(time.Now())
	if err != nil {
		return err
	}
	for id, s := range states { // the limit may be lower than when it was saved
		s.Output = checks.Clean(s.Output, r.cfg.CheckOutputMaxSize)
		states[id] = s
	}
	services, err := r.files.loadServices()
	if err != nil {
		return err
	}
	saved, err := r.files.loadChecks(r.cfg)
	if err != nil {
		return err
	}
	r.applySettings(set)
	if err := r.applyServices(plan, states); err != nil {
		return err
	}
	for _, p := range services {
		if !plan.hasService(p.service.ID) {
			if err := r.start(change{from: fromAPI, service: p}); err != nil {
				return err
			}
		}
	}
	if err := r.requireServices(plan); err != nil {
		return err
	}
	if err := r.applyChecks(plan, states); err != nil {
		return err
	}
	return r.loadChecks(saved, states)
}

// loadChecks takes in persisted checks, and removes those whose service is gone
// or is now defined by a file, with checks of the file. mu is held.
func (r *registrar) loadChecks(saved []*checkPlan, states map[string]savedState) error {
	var keep []*checkPlan
	for _, p := range saved {
		if e, ok := r.state.check(p.id); ok && e.from == fromFile {
			continue // its file has been removed
		}
		if id := p.check.ServiceID; id != "" {
			e, ok := r.state.service(id)
			if !ok && r.files.hasService(id) {
				r.log.Warn("A persisted check waits for its service, whose file cannot be read; it is kept",
					zap.String("check", p.id), zap.String("service", id))
				continue
			}
			if !ok || p.ofService && e.from == fromFile {
				r.log.Warn("A persisted check belongs to a service registration that is gone; it is removed",
					zap.String("check", p.id), zap.String("service", id))
				if err := r.files.removeCheck(p.id); err != nil {
					return err
				}
				continue
			}
		}
		keep = append(keep, p)
	}
	return r.start(change{from: fromAPI, checks: keep, restored: states})
}
