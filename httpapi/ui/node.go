package ui

import (
	"cmp"
	"net"
	"slices"

	"consul.internal/catalog"
	"consul.internal/kv"
	"consul.internal/rpc"
)

type nodeRow struct {
	*catalog.Node
	Health health // of its checks, those of its services too
	Leader bool
}

type nodesData struct {
	filters
	pager
	Rows    []*nodeRow
	Total   int
	Summary health
}

func checksMeta(o *rpc.ChecksReply) *rpc.ReadMeta { return &o.ReadMeta }

// nodes is the list of nodes and how they are.
func nodes(c *call, pg *page) error {
	pg.Title = "Nodes"
	d := &nodesData{filters: filtersOf(c)}
	pg.Data = d
	out, err := follow(c, pg, rpc.CatalogNodes, &rpc.NodesRequest{ReadOptions: c.options()},
		func(o *rpc.NodesReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return err
	}
	checks, err := follow(c, pg, rpc.HealthState, &rpc.StateRequest{ReadOptions: c.options(), State: catalog.Any}, checksMeta)
	if err != nil {
		return err
	}
	d.Total = len(out.Nodes)
	byName := make(map[string]*nodeRow, len(out.Nodes))
	for _, n := range out.Nodes {
		byName[n.Name] = &nodeRow{Node: n}
	}
	for _, ch := range checks.Checks {
		if row := byName[ch.Node]; row != nil {
			row.Health.add(ch.Status)
		}
	}
	var rows []*nodeRow
	leader := leaderAddress(c)
	for _, n := range out.Nodes {
		row := byName[n.Name]
		row.Leader = leader != "" && n.Address == leader
		switch row.Health.State() {
		case "critical":
			d.Summary.Critical++
		case "warning":
			d.Summary.Warning++
		default:
			d.Summary.Passing++
		}
		if (d.State == "" || row.Health.State() == d.State) && has(d.Search, n.Name, n.Address, n.ID) {
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, func(a, b *nodeRow) int {
		return cmp.Or(cmp.Compare(severity(a.Health.State()), severity(b.Health.State())), cmp.Compare(a.Name, b.Name))
	})
	d.Rows, d.pager = cut(c, rows, nodesPerPage)
	return nil
}

// leaderAddress is where the datacenter's leader is, "" if nobody says so.
func leaderAddress(c *call) string {
	out, err := rpc.Call(c.r.Context(), c.Caller, rpc.StatusLeader, &rpc.StatusRequest{Target: c.target()})
	if err != nil {
		return "" // it is only a mark on the page
	}
	host, _, err := net.SplitHostPort(out.Leader)
	if err != nil {
		return ""
	}
	return host
}

type nodeData struct {
	pager
	*catalog.Node
	Health   health
	Checks   []shownCheck // of the node itself
	Others   int
	Services []nodeService
	Sessions []*kv.Session
	More     int // sessions that are not shown
}

type nodeService struct {
	*catalog.Service
	State string
	Tags  []string
	More  int
}

// node is one node with its checks and services.
func node(c *call, pg *page) error {
	name := c.part(1)
	pg.Title, pg.elsewhere = name, []string{"nodes"}
	out, err := follow(c, pg, rpc.CatalogNode, &rpc.NodeRequest{ReadOptions: c.options(), Node: name},
		func(o *rpc.NodeReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return err
	}
	if out.Node == nil {
		return missing("No node of that name is registered in " + c.dc + ", or this token may not see it.")
	}
	checks, err := follow(c, pg, rpc.HealthNode, &rpc.NodeRequest{ReadOptions: c.options(), Node: name}, checksMeta)
	if err != nil {
		return err
	}
	d := &nodeData{Node: out.Node}
	pg.Data = d
	own, byService := []*catalog.Check(nil), map[string][]*catalog.Check{}
	for _, ch := range checks.Checks {
		d.Health.add(ch.Status)
		if ch.ServiceID == "" {
			own = append(own, ch)
			continue
		}
		byService[ch.ServiceID] = append(byService[ch.ServiceID], ch)
	}
	d.Checks, d.Others = checksOf(own, checksShown, outputLong, true)
	list := slices.Clone(out.Services)
	slices.SortFunc(list, func(a, b *catalog.Service) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	list, d.pager = cut(c, list, itemsPerPage)
	for _, s := range list {
		row := nodeService{Service: s, State: stateOf(catalog.Worst(append(slices.Clone(byService[s.ID]), own...))), Tags: s.Tags}
		if len(row.Tags) > tagsShown {
			row.Tags, row.More = row.Tags[:tagsShown], len(row.Tags)-tagsShown
		}
		d.Services = append(d.Services, row)
	}
	sessions, err := follow(c, pg, rpc.SessionList, &rpc.SessionListRequest{ReadOptions: c.options(), Node: name},
		func(o *rpc.SessionsReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err == nil { // who may not see them sees the node all the same
		d.Sessions = sessions.Sessions[:min(len(sessions.Sessions), metaShown)]
		d.More = len(sessions.Sessions) - len(d.Sessions)
	}
	return nil
}
