package configs

import (
	"fmt"

	"consul.internal/agent"
	"consul.internal/catalog"
	"consul.internal/checks"
	"consul.internal/internal/hclconf"
)

// definitions checks services and checks and turns them into what the agent takes.
func (r *resolver) definitions(switches Checks) Definitions {
	var out Definitions
	ids := map[string]hclconf.Range{}      // of services
	checkIDs := map[string]hclconf.Range{} // of checks that name one
	for i := range r.f.Services {
		s := &r.f.Services[i]
		def := serviceDefinition(s)
		at := hclconf.Place(s.Pos) + ": "
		r.service(at, &def)
		id := def.ID
		if id == "" {
			id = def.Name
		}
		if first, twice := ids[id]; twice && id != "" {
			r.errs = append(r.errs, fmt.Sprintf("%sservice %q: this ID is already used by the service at %s; give one of them another id", at, id, hclconf.Place(first)))
		} else {
			ids[id] = s.Pos
		}
		where := make([]*checkFile, 0, len(def.Checks))
		for j := range s.Check {
			where = append(where, &s.Check[j])
		}
		for j := range s.Checks {
			where = append(where, &s.Checks[j])
		}
		for j := range def.Checks {
			r.check(fmt.Sprintf("service %q: ", def.Name), where[j].Pos, &def.Checks[j], switches)
			r.checkID(checkIDs, where[j].Pos, def.Checks[j].ID)
		}
		out.Services = append(out.Services, def)
	}
	for i := range r.f.Checks {
		c := &r.f.Checks[i]
		def := checkDefinition(c)
		r.check("", c.Pos, &def, switches)
		id := def.ID
		if id == "" {
			id = def.Name
		}
		if id == "" {
			r.errs = append(r.errs, hclconf.Place(c.Pos)+": a check needs a name or an id")
		}
		r.checkID(checkIDs, c.Pos, id)
		out.Checks = append(out.Checks, def)
	}
	return out
}

func (r *resolver) checkID(seen map[string]hclconf.Range, pos hclconf.Range, id string) {
	if id == "" {
		return
	}
	if first, twice := seen[id]; twice {
		r.errs = append(r.errs, fmt.Sprintf("%s: check %q: this ID is already used by the check at %s; give one of them another id", hclconf.Place(pos), id, hclconf.Place(first)))
		return
	}
	seen[id] = pos
}

// service checks one definition without its checks. A name that DNS cannot
// carry is taken, since others ask over HTTP.
func (r *resolver) service(at string, d *agent.ServiceDefinition) {
	fail := func(format string, args ...any) {
		r.errs = append(r.errs, at+fmt.Sprintf("service %q: ", d.Name)+fmt.Sprintf(format, args...))
	}
	warn := func(format string, args ...any) {
		r.warnf("", "%sservice %q: %s", at, d.Name, fmt.Sprintf(format, args...))
	}
	switch {
	case d.Name == "":
		r.errs = append(r.errs, at+"a service needs a name")
	case !catalog.ValidDNSLabel(d.Name):
		warn("this name cannot be asked for by DNS, which takes letters, digits and hyphens only; it can be found over HTTP")
	}
	for _, tag := range d.Tags {
		if !catalog.ValidDNSLabel(tag) {
			warn("the tag %q cannot be asked for by DNS, which takes letters, digits and hyphens only", tag)
		}
	}
	if d.Port < 0 || d.Port > 65535 {
		fail("%d is not a port number", d.Port)
	}
	if d.SocketPath != "" && (d.Port != 0 || d.Address != "") {
		fail("socket_path stands instead of address and port, not beside them")
	}
	for _, tag := range sorted(d.TaggedAddresses) {
		if p := d.TaggedAddresses[tag].Port; p < 0 || p > 65535 {
			fail("tagged_addresses.%s: %d is not a port number", tag, p)
		}
	}
	switch d.Address {
	case "0.0.0.0", "::", "[::]":
		fail("the address %s reaches nothing; leave it out for the node's own", d.Address)
	}
	if w := d.Weights; w != nil {
		if w.Passing < 1 || w.Passing > 65535 {
			fail("weights.passing cannot be %d; use 1 to 65535", w.Passing)
		}
		if w.Warning < 0 || w.Warning > 65535 {
			fail("weights.warning cannot be %d; use 0 to 65535", w.Warning)
		}
	}
	r.meta("", at+fmt.Sprintf("service %q: meta", d.Name), d.Meta)
}

// check checks one definition; owner begins the messages of a service's check.
func (r *resolver) check(owner string, pos hclconf.Range, d *checks.Definition, switches Checks) {
	id := d.ID
	if owner == "" && id == "" {
		id = d.Name
	}
	what := fmt.Sprintf("%s: %scheck %q: ", hclconf.Place(pos), owner, id)
	if err := d.Validate(); err != nil {
		r.errs = append(r.errs, what+err.Error())
		return
	}
	if err := d.Supported(); err != nil {
		r.warnf("", "%s%v", what, err)
	}
	if d.RunsCommands() && !switches.ScriptsLocal {
		msg := what + "scripts are disabled on this agent; enable_local_script_checks = true allows those of configuration files"
		if r.checkOnly { // the switch may stand in another file
			r.warnf("", "%s", msg)
			return
		}
		r.errs = append(r.errs, msg)
	}
}
