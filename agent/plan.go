package agent

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"consul.internal/catalog"
	"consul.internal/checks"
	"consul.internal/internal/fault"
)

// source is where a definition comes from.
type source uint8

const (
	fromFile source = iota + 1
	fromAPI
)

// servicePlan is a valid service definition, worked out: defaults filled in,
// ready to be applied, with nothing left that can be refused.
type servicePlan struct {
	service *catalog.Service
	token   string
	checks  []*checkPlan
}

// checkPlan is a valid check definition, worked out.
type checkPlan struct {
	id        string
	def       *checks.Definition // nil for maintenance mode
	ofService bool               // came in a service's definition
	check     *catalog.Check     // Node and the service's name and tags are filled in when applied
	token     string
}

// setPlan is a whole Set, worked out.
type setPlan struct {
	services []*servicePlan
	checks   []*checkPlan
}

// plan works out a Set; the first thing wrong refuses it whole.
func (c *Config) plan(set *Set) (*setPlan, error) {
	out := new(setPlan)
	seen := make(map[string]string) // check ID to what defines it
	services := make(map[string]bool)
	for i := range set.Services {
		def := &set.Services[i]
		p, err := c.planService(def, fromFile)
		if err != nil {
			return nil, fmt.Errorf("service %q: %w", def.Name, err)
		}
		if services[p.service.ID] {
			return nil, fault.Newf(fault.Invalid, "duplicate service ID %q: give each service of this agent an id of its own", p.service.ID)
		}
		services[p.service.ID] = true
		for _, cp := range p.checks {
			if other, ok := seen[cp.id]; ok {
				return nil, fault.Newf(fault.Invalid, "duplicate check ID %q in service %q: %s has it already", cp.id, p.service.ID, other)
			}
			seen[cp.id] = fmt.Sprintf("service %q", p.service.ID)
		}
		out.services = append(out.services, p)
	}
	for i := range set.Checks {
		def := &set.Checks[i]
		p, err := c.planCheck(def, fromFile)
		if err != nil {
			return nil, fmt.Errorf("check %q: %w", def.Name, err)
		}
		if other, ok := seen[p.id]; ok {
			return nil, fault.Newf(fault.Invalid, "duplicate check ID %q: %s has it already", p.id, other)
		}
		seen[p.id] = fmt.Sprintf("check %q", def.Name)
		out.checks = append(out.checks, p)
	}
	return out, nil
}

// planService works out one service and its checks.
func (c *Config) planService(def *ServiceDefinition, from source) (*servicePlan, error) {
	if err := def.Validate(); err != nil {
		return nil, err
	}
	svc := def.service()
	p := &servicePlan{service: svc, token: def.Token}
	seen := make(map[string]bool)
	ids := def.CheckIDs()
	for i := range def.Checks {
		d := def.Checks[i]
		d.ID = ids[i]
		if d.Name == "" {
			d.Name = fmt.Sprintf("Service '%s' check", svc.Name)
		}
		d.ServiceID = svc.ID
		if d.Token == "" {
			d.Token = def.Token
		}
		cp, err := c.planAny(&d, from)
		if err != nil {
			return nil, err
		}
		if seen[cp.id] {
			return nil, fault.Newf(fault.Invalid, "duplicate check ID %q in service %q", cp.id, svc.ID)
		}
		seen[cp.id] = true
		cp.ofService = true
		cp.check.Type = string(d.Kind())
		cp.check.Interval, cp.check.Timeout = durationText(d.Interval), durationText(d.Timeout)
		p.checks = append(p.checks, cp)
	}
	return p, nil
}

// CheckIDs are the IDs that the checks of the definition get.
func (d *ServiceDefinition) CheckIDs() []string {
	service := cmp.Or(d.ID, d.Name)
	ids := make([]string, len(d.Checks))
	for i := range d.Checks {
		own := "service:" + service
		if len(d.Checks) > 1 {
			own = fmt.Sprintf("%s:%d", own, i+1)
		}
		ids[i] = cmp.Or(d.Checks[i].ID, own)
	}
	return ids
}

// durationText is how a check inside a service's definition shows a time.
func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// planCheck works out a check that is registered by itself.
func (c *Config) planCheck(def *checks.Definition, from source) (*checkPlan, error) {
	d := *def
	if d.Name == "" {
		return nil, fault.Newf(fault.Invalid, "Missing check name")
	}
	if d.ID == "" {
		d.ID = d.Name
	}
	p, err := c.planAny(&d, from)
	if err != nil {
		return nil, err
	}
	p.check.Interval, p.check.Timeout = d.Interval.String(), d.Timeout.String()
	if from == fromAPI {
		p.check.Type = string(d.Kind())
	}
	return p, nil
}

func (c *Config) planAny(d *checks.Definition, from source) (*checkPlan, error) {
	if d.Status != "" && !d.Status.Valid() {
		return nil, fault.Newf(fault.Invalid, "Bad check status %q: use passing, warning or critical", string(d.Status))
	}
	if err := d.Validate(); err != nil {
		if from == fromFile {
			return nil, err
		}
		return nil, fault.Newf(fault.Invalid, "Invalid check: %w", err)
	}
	if isReservedCheck(d.ID) {
		return nil, fault.Newf(fault.Invalid, "Check ID %q is reserved; choose another", d.ID)
	}
	if d.RunsCommands() {
		if err := c.permitCommand(from); err != nil {
			return nil, err
		}
	}
	if err := c.Systemd.Supports(d); err != nil {
		return nil, err
	}
	status := d.Status
	if status == "" {
		status = catalog.Critical
	}
	return &checkPlan{id: d.ID, def: d, token: d.Token, check: &catalog.Check{
		CheckID: d.ID, Name: d.Name, Notes: d.Notes, Status: status, ServiceID: d.ServiceID,
		ServiceTags: []string{}, ExposedPort: d.ExposedPort,
	}}, nil
}

// isMaintenance reports whether the ID is that of a maintenance mode.
func isMaintenance(id string) bool {
	return id == catalog.NodeMaintenance || strings.HasPrefix(id, catalog.ServiceMaintenancePrefix)
}

func isReservedCheck(id string) bool { return id == catalog.SerfHealth || isMaintenance(id) }

// service is the catalog's form of the definition.
func (d *ServiceDefinition) service() *catalog.Service {
	svc := &catalog.Service{
		Kind: d.Kind, ID: d.ID, Name: d.Name, Tags: slices.Clone(d.Tags), Address: d.Address,
		TaggedAddresses: maps.Clone(d.TaggedAddresses), Meta: maps.Clone(d.Meta), Port: d.Port,
		SocketPath: d.SocketPath, Weights: catalog.DefaultWeights, EnableTagOverride: d.EnableTagOverride,
		Proxy: d.Proxy, Connect: d.Connect,
	}
	if svc.ID == "" {
		svc.ID = svc.Name
	}
	if svc.Tags == nil {
		svc.Tags = []string{}
	}
	if svc.Meta == nil {
		svc.Meta = map[string]string{}
	}
	if d.Weights != nil {
		svc.Weights = *d.Weights
	}
	// An address of the service is also its address of that family, on both networks, unless said otherwise.
	var lan, wan string
	switch addressFamily(svc.Address) {
	case 4:
		lan, wan = catalog.TaggedLANIPv4, catalog.TaggedWANIPv4
	case 6:
		lan, wan = catalog.TaggedLANIPv6, catalog.TaggedWANIPv6
	default:
		return svc
	}
	if svc.TaggedAddresses == nil {
		svc.TaggedAddresses = make(map[string]catalog.ServiceAddress, 2)
	}
	for _, tag := range []string{lan, wan} {
		if _, ok := svc.TaggedAddresses[tag]; !ok {
			svc.TaggedAddresses[tag] = catalog.ServiceAddress{Address: svc.Address, Port: svc.Port}
		}
	}
	return svc
}
