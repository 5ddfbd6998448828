package inventory

import (
	"maps"
	"net/http"
	"slices"

	"consul.internal/catalog"
	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

// api answers the requests.
type api struct{ *edge.Base }

// Routes are the ways to what there is. operatorRead lets through who may see all.
func Routes(b *edge.Base, operatorRead func(edge.Handler) edge.Handler) []edge.Route {
	a := api{b}
	return []edge.Route{
		edge.Get("/v1/internal/ui/catalog-overview", operatorRead(a.overview)),
		edge.Get("/v1/internal/ui/node/", a.node),
		edge.Get("/v1/internal/ui/nodes", a.nodes),
		edge.Get("/v1/internal/ui/services", a.services),
	}
}

// read asks for a node and what is on it, or for all of them if it has no name.
func (a api) read(w http.ResponseWriter, r *http.Request, node string) ([]*catalog.Inventory, error) {
	opts, err := a.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	out, err := edge.Read(w, r, a.Caller, rpc.CatalogInventory, &rpc.NodeRequest{ReadOptions: opts, Node: node},
		func(o *rpc.InventoryReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	w.Header().Del("X-Consul-Effective-Consistency") // of these answers nobody knows it
	t := a.Translator()
	for _, i := range out.Nodes {
		for k, svc := range i.Services {
			i.Services[k] = t.Service(svc, i.Node)
		}
		i.Node, i.Services, i.Checks = t.Node(i.Node), edge.List(i.Services), edge.List(i.Checks)
	}
	return edge.List(out.Nodes), nil
}

func (a api) nodes(w http.ResponseWriter, r *http.Request) (any, error) {
	return a.read(w, r, "")
}

func (a api) node(w http.ResponseWriter, r *http.Request) (any, error) {
	name, err := edge.Item(r, "Missing node name")
	if err != nil {
		return nil, err
	}
	all, err := a.read(w, r, name)
	switch {
	case err != nil:
		return nil, err
	case len(all) == 0:
		return nil, edge.Failed(http.StatusNotFound, "")
	}
	return all[0], nil
}

// serviceSummary is all instances of a service in one.
type serviceSummary struct {
	Kind                 string
	Name                 string
	Datacenter           string
	Tags                 []string
	Nodes                []string
	ExternalSources      []string
	InstanceCount        int
	ChecksPassing        int
	ChecksWarning        int
	ChecksCritical       int
	GatewayConfig        struct{}
	TransparentProxy     bool
	ConnectNative        bool
	ConnectedWithProxy   bool
	ConnectedWithGateway bool
}

func (a api) services(w http.ResponseWriter, r *http.Request) (any, error) {
	all, err := a.read(w, r, "")
	if err != nil {
		return nil, err
	}
	byName, proxied := map[string]*serviceSummary{}, map[string]bool{}
	for _, i := range all {
		for _, svc := range i.Services {
			one := byName[svc.Name]
			if one == nil {
				one = &serviceSummary{Kind: svc.Kind, Name: svc.Name, Datacenter: i.Datacenter, Tags: []string{}, ExternalSources: []string{}}
				byName[svc.Name] = one
			}
			one.InstanceCount++
			one.ConnectNative = one.ConnectNative || svc.Connect.Native
			one.Tags = append(one.Tags, svc.Tags...)
			one.Nodes = append(one.Nodes, i.Name)
			if source := svc.Meta["external-source"]; source != "" {
				one.ExternalSources = append(one.ExternalSources, source)
			}
			if to := svc.Proxy.DestinationServiceName; to != "" {
				proxied[to] = true
			}
			for _, c := range bearing(i, svc.ID) {
				count(&one.ChecksPassing, &one.ChecksWarning, &one.ChecksCritical, c.Status)
			}
		}
	}
	out := make([]*serviceSummary, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		one := byName[name]
		one.ConnectedWithProxy = proxied[name]
		for _, list := range []*[]string{&one.Tags, &one.Nodes, &one.ExternalSources} {
			slices.Sort(*list)
			*list = slices.Compact(*list)
		}
		out = append(out, one)
	}
	return out, nil
}

func count(passing, warning, critical *int, s catalog.Status) {
	switch s {
	case catalog.Passing:
		*passing++
	case catalog.Warning:
		*warning++
	default:
		*critical++
	}
}

// tally counts things by their worst check.
type tally struct {
	Name                              string `json:",omitempty"`
	Total, Passing, Warning, Critical int
}

func (t *tally) add(worst catalog.Status) {
	t.Total++
	count(&t.Passing, &t.Warning, &t.Critical, worst)
}

// overview counts nodes, and the instances and checks of each name.
func (a api) overview(_ http.ResponseWriter, r *http.Request) (any, error) {
	opts, err := a.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	opts.MinIndex = 0
	got, err := rpc.Call(r.Context(), a.Caller, rpc.CatalogInventory, &rpc.NodeRequest{ReadOptions: opts})
	if err != nil {
		return nil, edge.Remote(err)
	}
	nodes, services, checks := new(tally), map[string]*tally{}, map[string]*tally{}
	named := func(of map[string]*tally, name string) *tally {
		if of[name] == nil {
			of[name] = &tally{Name: name}
		}
		return of[name]
	}
	for _, i := range got.Nodes {
		for _, c := range i.Checks {
			named(checks, c.Name).add(c.Status)
		}
		nodes.add(catalog.Worst(bearing(i, "")))
		for _, svc := range i.Services {
			named(services, svc.Name).add(catalog.Worst(bearing(i, svc.ID)))
		}
	}
	sorted := func(of map[string]*tally) []*tally {
		out := []*tally{}
		for _, name := range slices.Sorted(maps.Keys(of)) {
			out = append(out, of[name])
		}
		return out
	}
	return map[string][]*tally{"Nodes": {nodes}, "Services": sorted(services), "Checks": sorted(checks)}, nil
}

// bearing are a node's own checks and those of one of its services, "" = none.
func bearing(i *catalog.Inventory, serviceID string) []*catalog.Check {
	var out []*catalog.Check
	for _, c := range i.Checks {
		if c.ServiceID == "" || c.ServiceID == serviceID {
			out = append(out, c)
		}
	}
	return out
}
