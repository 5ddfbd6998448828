package ui

import (
	"cmp"
	"net"
	"slices"
	"strings"

	"consul.internal/query"
	"consul.internal/rpc"
)

type queriesData struct {
	filters
	pager
	Rows  []*query.Query
	Total int
}

func queriesMeta(o *rpc.QueriesReply) *rpc.ReadMeta { return &o.ReadMeta }

// queries is the list of prepared queries.
func queries(c *call, pg *page) error {
	pg.Title = "Prepared queries"
	d := &queriesData{filters: filtersOf(c)}
	pg.Data = d
	out, err := follow(c, pg, rpc.QueryList, &rpc.QueryListRequest{ReadOptions: c.options()}, queriesMeta)
	if err != nil {
		return err
	}
	d.Total = len(out.Queries)
	var rows []*query.Query
	for _, q := range out.Queries {
		if has(d.Search, q.Name, q.ID, q.Service.Service) {
			rows = append(rows, q)
		}
	}
	slices.SortFunc(rows, func(a, b *query.Query) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	d.Rows, d.pager = cut(c, rows, itemsPerPage)
	return nil
}

type queryData struct {
	*query.Query
	Definition string
	DNSName    string
	Result     *rpc.QueryExecuteReply
	Rows       []instanceRow
	Failed     string
	More       int
}

// oneQuery is a prepared query and what it gives now.
func oneQuery(c *call, pg *page) error {
	id := c.part(1)
	pg.Title, pg.elsewhere = id, []string{"queries"}
	out, err := follow(c, pg, rpc.QueryGet, &rpc.QueryGetRequest{ReadOptions: c.options(), ID: id}, queriesMeta)
	if err != nil {
		return err
	}
	if len(out.Queries) == 0 {
		return missing("There is no such query, or this token may not see it.")
	}
	q := out.Queries[0].Clone()
	pg.Title = cmp.Or(q.Name, q.ID)
	q.Token = "" // it is a secret, whoever may see it elsewhere
	d := &queryData{Query: q, Definition: shorten(asJSON(q), valueEdited/2)}
	pg.Data = d
	d.DNSName = cmp.Or(q.Name, q.ID) + ".query." + c.dc + "." + strings.Trim(cmp.Or(c.cfg.Domain, "consul"), ".")
	if q.IsTemplate() {
		d.Failed = "It is a template: what it gives hangs on the name that is asked for. Ask for one at DNS explain."
		return nil
	}
	in := &rpc.QueryExecuteRequest{ReadOptions: c.options(), Query: q.ID, Origin: rpc.QueryOrigin{Node: c.Settings().NodeName, IP: hostOf(c.r.RemoteAddr)}}
	d.Result, err = rpc.Call(c.r.Context(), c.Caller, rpc.QueryExecute, in)
	if err != nil {
		d.Failed = err.Error()
		return nil
	}
	pg.every = serversEvery
	list := d.Result.Instances
	if most := c.most(instancesPerPage); len(list) > most {
		list, d.More = list[:most], len(list)-most
	}
	for _, i := range list {
		d.Rows = append(d.Rows, instanceOf(i, 1, outputShort, false))
	}
	return nil
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	return host
}
