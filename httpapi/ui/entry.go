package ui

import (
	"cmp"
	"slices"

	"consul.internal/configentry"
	"consul.internal/rpc"
)

type entriesData struct {
	filters
	pager
	Rows  []*configentry.Entry
	Total int
}

func entriesMeta(o *rpc.ConfigEntriesReply) *rpc.ReadMeta { return &o.ReadMeta }

// entries is the list of config entries.
func entries(c *call, pg *page) error {
	pg.Title = "Config entries"
	d := &entriesData{filters: filtersOf(c)}
	pg.Data = d
	out, err := follow(c, pg, rpc.ConfigList, &rpc.ConfigListRequest{ReadOptions: c.options()}, entriesMeta)
	if err != nil {
		return err
	}
	d.Total = len(out.Entries)
	rows := slices.DeleteFunc(slices.Clone(out.Entries), func(e *configentry.Entry) bool { return !has(d.Search, e.Kind, e.Name) })
	slices.SortFunc(rows, func(a, b *configentry.Entry) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	d.Rows, d.pager = cut(c, rows, itemsPerPage)
	return nil
}

type entryData struct {
	*configentry.Entry
	Text string
}

// entry is one config entry.
func entry(c *call, pg *page) error {
	kind, name := c.part(1), c.part(2)
	pg.Title, pg.elsewhere = name, []string{"config"}
	if name == "" {
		return missing("An entry has a kind and a name.")
	}
	out, err := follow(c, pg, rpc.ConfigGet, &rpc.ConfigGetRequest{ReadOptions: c.options(), Kind: kind, Name: name}, entriesMeta)
	if err != nil {
		return err
	}
	if len(out.Entries) == 0 {
		return missing("There is no such entry, or this token may not see it.")
	}
	pg.Data = &entryData{out.Entries[0], asJSON(out.Entries[0])}
	return nil
}
