package definition

import (
	"fmt"
	"maps"
	"slices"

	"consul.internal/agent"
	"consul.internal/catalog"
	"consul.internal/checks"
	"consul.internal/internal/hclconf"
)

// Judge turns blocks into definitions, and gathers what is wrong with them.
type Judge struct {
	Scripts bool // checks of files may run commands
	// Lenient: other files may say what these do not, such as that scripts may run.
	Lenient bool

	Errors   []string
	Warnings []string
}

// Set is the services, checks and watches of an agent.
type Set struct {
	Services []agent.ServiceDefinition
	Checks   []checks.Definition
	Watches  []Watch
}

// Definitions checks services and checks and turns them into what the agent takes.
func (j *Judge) Definitions(services []ServiceBlock, single []CheckBlock) (out Set) {
	ids := map[string]hclconf.Range{}      // of services
	checkIDs := map[string]hclconf.Range{} // of checks that name one
	for i := range services {
		s := &services[i]
		def := serviceOf(s)
		at := hclconf.Place(s.Pos) + ": "
		j.service(at, &def)
		id := def.ID
		if id == "" {
			id = def.Name
		}
		if first, twice := ids[id]; twice && id != "" {
			j.Errors = append(j.Errors, fmt.Sprintf("%sservice %q: this ID is already used by the service at %s; give one of them another id", at, id, hclconf.Place(first)))
		} else {
			ids[id] = s.Pos
		}
		where := make([]*CheckBlock, 0, len(def.Checks))
		for n := range s.Check {
			where = append(where, &s.Check[n])
		}
		for n := range s.Checks {
			where = append(where, &s.Checks[n])
		}
		for n := range def.Checks {
			j.check(fmt.Sprintf("service %q: ", def.Name), where[n].Pos, &def.Checks[n])
			j.checkID(checkIDs, where[n].Pos, def.Checks[n].ID)
		}
		out.Services = append(out.Services, def)
	}
	for i := range single {
		c := &single[i]
		def := checkOf(c)
		j.check("", c.Pos, &def)
		id := def.ID
		if id == "" {
			id = def.Name
		}
		if id == "" {
			j.Errors = append(j.Errors, hclconf.Place(c.Pos)+": a check needs a name or an id")
		}
		j.checkID(checkIDs, c.Pos, id)
		out.Checks = append(out.Checks, def)
	}
	return out
}

func (j *Judge) checkID(seen map[string]hclconf.Range, pos hclconf.Range, id string) {
	if id == "" {
		return
	}
	if first, twice := seen[id]; twice {
		j.Errors = append(j.Errors, fmt.Sprintf("%s: check %q: this ID is already used by the check at %s; give one of them another id", hclconf.Place(pos), id, hclconf.Place(first)))
		return
	}
	seen[id] = pos
}

// service checks one definition without its checks. A name that DNS cannot
// carry is taken, since others ask over HTTP.
func (j *Judge) service(at string, d *agent.ServiceDefinition) {
	fail := func(format string, args ...any) {
		j.Errors = append(j.Errors, at+fmt.Sprintf("service %q: ", d.Name)+fmt.Sprintf(format, args...))
	}
	warn := func(format string, args ...any) {
		j.warnf("%sservice %q: %s", at, d.Name, fmt.Sprintf(format, args...))
	}
	switch {
	case d.Name == "":
		j.Errors = append(j.Errors, at+"a service needs a name")
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
	for _, tag := range slices.Sorted(maps.Keys(d.TaggedAddresses)) {
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
	what := at + fmt.Sprintf("service %q: meta", d.Name)
	j.Errors = append(j.Errors, CheckMeta(d.Meta, "", what, func(string) string { return what })...)
}

// check checks one definition; owner begins the messages of a service's check.
func (j *Judge) check(owner string, pos hclconf.Range, d *checks.Definition) {
	id := d.ID
	if owner == "" && id == "" {
		id = d.Name
	}
	what := fmt.Sprintf("%s: %scheck %q: ", hclconf.Place(pos), owner, id)
	if err := d.Validate(); err != nil {
		j.Errors = append(j.Errors, what+err.Error())
		return
	}
	if err := d.Supported(); err != nil {
		j.warnf("%s%v", what, err)
	}
	if d.RunsCommands() && !j.Scripts {
		msg := what + "scripts are disabled on this agent; enable_local_script_checks = true allows those of configuration files"
		if j.Lenient { // the switch may stand in another file
			j.warnf("%s", msg)
			return
		}
		j.Errors = append(j.Errors, msg)
	}
}

func (j *Judge) warnf(format string, args ...any) {
	j.Warnings = append(j.Warnings, fmt.Sprintf(format, args...))
}
