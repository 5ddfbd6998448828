package ui

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"consul.internal/acl"
	"consul.internal/httpapi/edge"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// call is one request for a page.
type call struct {
	*app
	w  http.ResponseWriter
	r  *http.Request
	dc string
	at []string // the path below the datacenter
	q  url.Values
	// fewer divides the sizes of lists, for things whose names are so long that the
	// page would be too large.
	fewer int
}

// most is how many things of a list a page takes.
func (c *call) most(usual int) int { return max(1, usual/max(1, c.fewer)) }

func (c *call) with(ctx context.Context) *call {
	copied := *c
	copied.r = c.r.WithContext(ctx)
	return &copied
}

// here is the page's own address, the same however it was written.
func (c *call) here() string {
	if len(c.q) == 0 {
		return c.r.URL.EscapedPath()
	}
	return c.r.URL.EscapedPath() + "?" + c.q.Encode()
}

func (c *call) section() string { return c.part(0) }

// part is a segment of the path below the datacenter.
func (c *call) part(i int) string {
	if i < len(c.at) {
		return c.at[i]
	}
	return ""
}

func (c *call) target() rpc.Target {
	return rpc.Target{Datacenter: c.dc, Token: edge.Token(c.r)}
}

// options are those of a read that any server may answer, so that pages are there
// when no leader is.
func (c *call) options() rpc.ReadOptions {
	return rpc.ReadOptions{Target: c.target(), Consistency: rpc.Stale}
}

func (c *call) redirect(to string) (any, error) {
	http.Redirect(c.w, c.r, to, http.StatusSeeOther)
	return edge.Sent{}, nil
}

// may reports whether the visitor may do something, as far as this agent knows.
func (c *call) may(what acl.Resource, name string, want acl.Access) bool {
	who, err := c.Who(c.r)
	return err == nil && who.Allowed(what, name, want)
}

// page is what a loader made.
type page struct {
	Title    string
	Data     any
	Problem  *problem
	Filtered bool // something is not shown, since the token may not see it

	section   string
	template  string
	elsewhere []string // the path below another datacenter that shows the same
	status    int
	watches   []watch
	every     time.Duration // without watches: how often to look
	still     bool          // it is not kept up to date: a form
}

func (pg *page) live() bool { return !pg.still }

// problem is why there is nothing to be seen.
type problem struct {
	Title, Text string
	Denied      bool
}

func problemOf(err error) (*problem, int) {
	if e, ok := errors.AsType[*edge.Status](err); ok && e.Code == http.StatusNotFound {
		return &problem{Title: "There is no such thing", Text: e.Text}, http.StatusNotFound
	}
	switch fault.Of(err) {
	case fault.Denied:
		return &problem{Title: "Not allowed", Text: err.Error(), Denied: true}, http.StatusForbidden
	case fault.NoLeader:
		return &problem{Title: "No leader", Text: "The servers of this datacenter have no leader now: " + err.Error()}, http.StatusInternalServerError
	case fault.NoRoute, fault.Unavailable:
		return &problem{Title: "Not reachable", Text: err.Error()}, http.StatusInternalServerError
	case fault.Invalid:
		return &problem{Title: "That cannot be asked", Text: err.Error()}, http.StatusBadRequest
	}
	return &problem{Title: "This did not work", Text: err.Error()}, edge.StatusOf(err)
}

func missing(text string) error { return edge.Failed(http.StatusNotFound, text) }

// section is a row of the menu.
type section struct{ Path, Title string }

func sections() []section {
	return []section{
		{"services", "Services"}, {"nodes", "Nodes"}, {"kv", "Key/value"}, {"dns", "DNS"}, {"queries", "Queries"}, {"acls", "Access"},
		{"config", "Config entries"}, {"events", "Events"}, {"datacenters", "Datacenters"}, {"servers", "Servers"},
	}
}

// loader fills a page.
type loader func(c *call, pg *page) error

// loaders by section, for its list and for one item of it.
func loaders() map[string][2]struct {
	template string
	load     loader
} {
	type one = struct {
		template string
		load     loader
	}
	return map[string][2]one{
		"services":    {{"services", services}, {"service", service}},
		"nodes":       {{"nodes", nodes}, {"node", node}},
		"kv":          {{"keys", keys}, {"key", key}},
		"dns":         {{"dns", names}, {}},
		"queries":     {{"queries", queries}, {"query", oneQuery}},
		"acls":        {{"acls", access}, {"acl", oneAccess}},
		"config":      {{"entries", entries}, {"entry", entry}},
		"events":      {{"events", events}, {}},
		"datacenters": {{"datacenters", datacenters}, {}},
		"servers":     {{"servers", servers}, {}},
	}
}

// load makes the page that is asked for; what goes wrong is a page, too.
func (c *call) load() *page {
	pg := &page{section: c.section(), template: "problem", status: http.StatusOK, elsewhere: []string{c.section()}}
	err := c.fill(pg)
	if err != nil {
		pg.Problem, pg.status = problemOf(err)
		if pg.Title == "" {
			pg.Title = pg.Problem.Title
		}
	}
	return pg
}

func (c *call) fill(pg *page) error {
	if c.section() == ".login" {
		pg.template, pg.still, pg.elsewhere = "login", true, []string{"services"}
		return loginPage(c, pg)
	}
	both, known := loaders()[c.section()]
	if !known {
		pg.elsewhere = []string{"services"}
		return missing("There is no page of that name.")
	}
	if known, ok := c.knows(); ok && !known {
		pg.elsewhere = nil
		return missing("There is no datacenter of that name.")
	}
	which := both[0]
	switch {
	case c.section() == "kv":
		if _, single := c.key(); single {
			which = both[1]
		}
	case c.section() == "acls":
		pg.elsewhere = c.at[:min(len(c.at), 2)]
		if len(c.at) > 2 {
			which = both[1]
		}
	case len(c.at) > 1:
		which = both[1]
	}
	if which.load == nil {
		return missing("There is no such page.")
	}
	pg.template = which.template
	return which.load(c, pg)
}

// datacenters that are known, the own one at least.
func (a *app) datacenters(c *call) []string {
	own := a.Settings().Datacenter
	out, err := rpc.Call(c.r.Context(), a.Caller, rpc.CatalogDatacenters, &rpc.DatacentersRequest{ReadOptions: rpc.ReadOptions{
		Target: rpc.Target{Token: edge.Token(c.r)}, Consistency: rpc.Stale}})
	if err != nil {
		return []string{own} // the page itself says what is wrong
	}
	list := slices.Clone(out.Datacenters)
	if !slices.Contains(list, own) {
		list = append(list, own)
	}
	slices.Sort(list)
	return list
}

// knows reports whether the datacenter that is asked for is known; not ok = nobody can tell.
func (c *call) knows() (known, ok bool) {
	if c.dc == c.Settings().Datacenter {
		return true, true
	}
	list := c.datacenters(c)
	return slices.Contains(list, c.dc), len(list) > 1
}

// elsewhere is where an address leads that is not that of a page: short ones, and
// those that people have in their bookmarks.
func (a *app) elsewhere(c *call) string {
	own := a.Settings().Datacenter
	switch {
	case strings.HasPrefix(c.dc, "."):
		return ""
	case len(c.at) == 0:
		if slices.ContainsFunc(sections(), func(s section) bool { return s.Path == c.dc }) && c.dc != own {
			return a.link(own, c.dc) // /ui/services
		}
		return a.link(c.dc, "services")
	}
	switch c.section() {
	case "acls":
		if !slices.Contains([]string{"tokens", "policies", "roles"}, c.part(1)) {
			return a.link(c.dc, "acls", "tokens")
		}
	case "overview", "operator":
		return a.link(c.dc, "servers")
	case "kv":
		if len(c.at) == 1 {
			return a.link(c.dc, "kv") + "/"
		}
	case "queries", "config", "services", "nodes":
		return ""
	}
	return ""
}

// link is the address of a page below the path.
func (a *app) link(parts ...string) string {
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = url.PathEscape(p)
	}
	return a.path + strings.Join(escaped, "/")
}

// cut cuts a list into pages; the number is that of ?page, from 1.
func cut[T any](c *call, all []T, size int) ([]T, pager) {
	size = c.most(size)
	if n := number(c.q.Get("per")); n > 0 {
		size = min(size, n) // as on the part before
	}
	p := pager{All: len(all), Pages: max(1, (len(all)+size-1)/size), Page: 1}
	if n := number(c.q.Get("page")); n > 0 {
		p.Page = min(n, p.Pages)
	}
	from := (p.Page - 1) * size
	part := all[min(from, len(all)):min(from+size, len(all))]
	p.From, p.To = from+min(1, len(part)), from+len(part)
	at := func(n int) string {
		q := url.Values{}
		for k, v := range c.q {
			q[k] = v
		}
		q.Set("page", text(n))
		if c.fewer > 1 || q.Has("per") {
			q.Set("per", text(size))
		}
		return "?" + q.Encode()
	}
	if p.Page > 1 {
		p.Before = at(p.Page - 1)
	}
	if p.Page < p.Pages {
		p.After = at(p.Page + 1)
	}
	return part, p
}

// pager says which part of a list is shown.
type pager struct {
	All, Pages, Page, From, To int
	Before, After              string // addresses
}

// has reports whether one of some texts holds what is searched for, whatever its case.
func has(search string, texts ...string) bool {
	search = strings.ToLower(strings.TrimSpace(search))
	return search == "" || slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(strings.ToLower(s), search) })
}

// failed shows why a form did nothing.
func (c *call) failed(err error) (any, error) {
	pg := &page{section: c.section(), template: "problem", still: true, elsewhere: []string{c.section()}, Title: "Nothing was changed"}
	pg.Problem, pg.status = problemOf(err)
	body, err := c.body(pg)
	if err != nil {
		return nil, err
	}
	return c.write(pg, body)
}
