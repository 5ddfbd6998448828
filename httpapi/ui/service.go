package ui

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"strings"

	"consul.internal/catalog"
	"consul.internal/httpapi/charts"
	"consul.internal/rpc"
	"golang.org/x/sync/errgroup"
)

// health counts things by their state.
type health struct{ Passing, Warning, Critical int }

func (h *health) add(s catalog.Status) {
	switch s {
	case catalog.Critical, catalog.Maintenance:
		h.Critical++
	case catalog.Warning:
		h.Warning++
	default:
		h.Passing++
	}
}

func (h health) All() int { return h.Passing + h.Warning + h.Critical }

// State is the worst of them.
func (h health) State() string {
	switch {
	case h.Critical > 0:
		return "critical"
	case h.Warning > 0:
		return "warning"
	case h.Passing > 0:
		return "passing"
	}
	return "empty"
}

// Part is a piece of a bar that is 100 wide.
type part struct {
	State    string
	At, Wide float64
}

// Bar is the shares of the states.
func (h health) Bar() []part {
	all, at := float64(max(1, h.All())), 0.0
	var out []part
	for _, one := range []struct {
		state string
		n     int
	}{{"passing", h.Passing}, {"warning", h.Warning}, {"critical", h.Critical}} {
		if one.n > 0 {
			wide := 100 * float64(one.n) / all
			out = append(out, part{one.state, at, wide})
			at += wide
		}
	}
	return out
}

// severity orders states, the worst first.
func severity(state string) int {
	return slices.Index([]string{"critical", "warning", "empty", "passing"}, state)
}

// filters are what a list can be narrowed by.
type filters struct {
	Search, State, Tag string
	States             []choice
}

type choice struct {
	Value, Title string
	Chosen       bool
}

func filtersOf(c *call) filters {
	f := filters{Search: c.q.Get("q"), State: c.q.Get("state"), Tag: c.q.Get("tag")}
	if f.Search == "" {
		f.Search = c.q.Get("filter") // as addresses of old have it
	}
	for _, one := range []choice{{"", "any state", false}, {"passing", "passing", false}, {"warning", "warning", false}, {"critical", "critical", false}} {
		one.Chosen = one.Value == f.State
		f.States = append(f.States, one)
	}
	return f
}

type serviceRow struct {
	Name   string
	Tags   []string
	More   int // tags that are not shown
	Nodes  int
	Health health
}

type servicesData struct {
	filters
	pager
	Rows    []*serviceRow
	Total   int
	Summary health // services by their worst state
	TooMany bool   // to look at the health of all
}

func instancesMeta(o *rpc.InstancesReply) *rpc.ReadMeta { return &o.ReadMeta }

// services is the list of all services and how they are.
func services(c *call, pg *page) error {
	pg.Title = "Services"
	d := &servicesData{filters: filtersOf(c)}
	pg.Data = d
	out, err := follow(c, pg, rpc.CatalogServices, &rpc.ServicesRequest{ReadOptions: c.options()},
		func(o *rpc.ServicesReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return err
	}
	d.Total = len(out.Services)
	var rows []*serviceRow
	for _, name := range slices.Sorted(maps.Keys(out.Services)) {
		tags := out.Services[name]
		if d.Tag != "" && !slices.ContainsFunc(tags, func(t string) bool { return strings.EqualFold(t, d.Tag) }) {
			continue
		}
		if has(d.Search, append([]string{name}, tags...)...) {
			rows = append(rows, &serviceRow{Name: name, Tags: tags})
		}
	}
	if d.TooMany = len(rows) > maxHealth; d.TooMany {
		rows, d.pager = cut(c, rows, servicesPerPage)
		if err := readHealth(c, rows); err != nil {
			return err
		}
		pg.every = manyEvery
	} else {
		out, err := follow(c, pg, rpc.CatalogInventory, &rpc.NodeRequest{ReadOptions: c.options()},
			func(o *rpc.InventoryReply) *rpc.ReadMeta { return &o.ReadMeta })
		if err != nil {
			return err
		}
		countHealth(out.Nodes, rows)
	}
	for _, row := range rows {
		switch row.Health.State() {
		case "critical":
			d.Summary.Critical++
		case "warning":
			d.Summary.Warning++
		case "passing":
			d.Summary.Passing++
		}
		if len(row.Tags) > tagsShown {
			row.Tags, row.More = row.Tags[:tagsShown], len(row.Tags)-tagsShown
		}
	}
	rows = slices.DeleteFunc(rows, func(r *serviceRow) bool { return d.State != "" && r.Health.State() != d.State })
	if !d.TooMany {
		slices.SortStableFunc(rows, func(a, b *serviceRow) int {
			return cmp.Compare(severity(a.Health.State()), severity(b.Health.State()))
		})
		rows, d.pager = cut(c, rows, servicesPerPage)
	}
	d.Rows = rows
	return nil
}

// countHealth counts the instances of all services.
func countHealth(all []*catalog.Inventory, rows []*serviceRow) {
	byName := make(map[string]*serviceRow, len(rows))
	for _, row := range rows {
		byName[catalog.Fold(row.Name)] = row
	}
	for _, node := range all {
		checks := map[string][]*catalog.Check{} // by service ID
		for _, check := range node.Checks {
			checks[check.ServiceID] = append(checks[check.ServiceID], check)
		}
		here := map[*serviceRow]bool{}
		for _, svc := range node.Services {
			row := byName[catalog.Fold(svc.Name)]
			if row == nil {
				continue
			}
			row.Health.add(catalog.Worst(slices.Concat(checks[""], checks[svc.ID])))
			if !here[row] {
				here[row] = true
				row.Nodes++
			}
		}
	}
}

// readHealth reads the instances of some services, one after another in a few ways at
// once, up to the first error.
func readHealth(c *call, rows []*serviceRow) error {
	g, ctx := errgroup.WithContext(c.r.Context())
	g.SetLimit(parallel)
	for _, row := range rows {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			out, err := rpc.Call(ctx, c.Caller, rpc.HealthService, &rpc.ServiceRequest{ReadOptions: c.options(), Service: row.Name})
			if err != nil {
				return err
			}
			seen := map[string]struct{}{}
			for _, inst := range out.Instances {
				row.Health.add(inst.Status())
				seen[inst.Node.Name] = struct{}{}
			}
			row.Nodes = len(seen)
			return nil
		})
	}
	return g.Wait()
}

// shownCheck is a check as a page shows it.
type shownCheck struct {
	*catalog.Check
	State string
	Of    string // what it is about, if that is not the service
	Text  string // its output, cut
}

// State of a check in the words of the style sheet.
func stateOf(s catalog.Status) string {
	var h health
	h.add(s)
	return h.State()
}

func checksOf(list []*catalog.Check, most, output int, outputOfPassing bool) (out []shownCheck, more int) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b *catalog.Check) int {
		return cmp.Or(cmp.Compare(severity(stateOf(a.Status)), severity(stateOf(b.Status))), cmp.Compare(a.Name, b.Name))
	})
	for i, ch := range list {
		if i == most {
			return out, len(list) - most
		}
		s := shownCheck{Check: ch, State: stateOf(ch.Status)}
		if ch.ServiceID == "" {
			s.Of = "node"
		}
		if outputOfPassing || s.State != "passing" {
			s.Text = shorten(strings.TrimSpace(ch.Output), output)
		}
		out = append(out, s)
	}
	return out, 0
}

type instanceRow struct {
	*catalog.Instance
	State  string
	At     string // where it is reached
	Tags   []string
	More   int
	Checks []shownCheck
	Others int // checks that are not shown
}

func instanceOf(i *catalog.Instance, most, output int, all bool) instanceRow {
	row := instanceRow{Instance: i, State: stateOf(i.Status()), Tags: i.Service.Tags}
	row.At = cmp.Or(i.Service.Address, i.Node.Address)
	if i.Service.Port != 0 {
		row.At = net.JoinHostPort(row.At, text(i.Service.Port))
	}
	if len(row.Tags) > tagsShown && !all {
		row.Tags, row.More = row.Tags[:tagsShown], len(row.Tags)-tagsShown
	}
	row.Checks, row.Others = checksOf(i.Checks, most, output, all)
	return row
}

type serviceData struct {
	filters
	pager
	Name    string
	DNSName string
	Charts  string // where they are; "" = nowhere
	Health  health
	Rows    []instanceRow
	Tags    []string
}

// service is the instances of a service, or one of them.
func service(c *call, pg *page) error {
	name := c.part(1)
	pg.Title = name
	if c.part(2) == "instances" && c.part(3) != "" && c.part(4) != "" {
		return instance(c, pg, name)
	}
	if c.part(2) == "intentions" {
		return missing("Intentions belong to the service mesh, which this agent does not have.")
	}
	pg.elsewhere = c.at[:2]
	d := &serviceData{filters: filtersOf(c), Name: name}
	pg.Data = d
	out, err := follow(c, pg, rpc.HealthService, &rpc.ServiceRequest{ReadOptions: c.options(), Service: name}, instancesMeta)
	if err != nil {
		return err
	}
	if len(out.Instances) == 0 {
		return missing("No service of that name is registered in " + c.dc + ", or this token may not see it.")
	}
	d.DNSName = name + ".service." + c.dc + "." + strings.Trim(cmp.Or(c.cfg.Domain, "consul"), ".")
	d.Charts = charts.Link(c.cfg.Dashboard, c.dc, out.Instances[0].Service.Name)
	tags := map[string]struct{}{}
	var kept []*catalog.Instance
	for _, i := range out.Instances {
		d.Health.add(i.Status())
		for _, t := range i.Service.Tags {
			if len(t) <= shortText {
				tags[t] = struct{}{}
			}
		}
		if d.State != "" && stateOf(i.Status()) != d.State || d.Tag != "" && !i.HasTag(d.Tag) ||
			!has(d.Search, i.Node.Name, i.Service.ID, i.Service.Address, i.Node.Address, strings.Join(i.Service.Tags, " ")) {
			continue
		}
		kept = append(kept, i)
	}
	d.Tags = slices.Sorted(maps.Keys(tags))
	d.Tags = d.Tags[:min(len(d.Tags), metaShown)]
	slices.SortStableFunc(kept, func(a, b *catalog.Instance) int {
		return cmp.Or(cmp.Compare(severity(stateOf(a.Status())), severity(stateOf(b.Status()))),
			cmp.Compare(a.Node.Name, b.Node.Name), cmp.Compare(a.Service.ID, b.Service.ID))
	})
	kept, d.pager = cut(c, kept, instancesPerPage)
	for _, i := range kept {
		d.Rows = append(d.Rows, instanceOf(i, checksShown, outputShort, false))
	}
	return nil
}

// instance is one instance with everything that is known of it.
func instance(c *call, pg *page, name string) error {
	node, id := c.part(3), c.part(4)
	pg.Title, pg.template, pg.elsewhere = id, "instance", c.at[:2]
	out, err := follow(c, pg, rpc.HealthService, &rpc.ServiceRequest{ReadOptions: c.options(), Service: name}, instancesMeta)
	if err != nil {
		return err
	}
	for _, i := range out.Instances {
		if strings.EqualFold(i.Node.Name, node) && i.Service.ID == id {
			pg.Data = instanceOf(i, 2*checksShown, outputLong, true)
			return nil
		}
	}
	return missing("There is no such instance of " + name + " now.")
}
