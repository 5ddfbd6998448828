package ui

import (
	"context"
	"slices"
	"unicode/utf8"

	"consul.internal/acl"
	"consul.internal/kv"
)

type eventRow struct {
	*kv.Event
	Text string
}

type eventsData struct {
	filters
	pager
	Off       bool
	Elsewhere bool // another datacenter is looked at, whose events this agent does not see
	Rows      []eventRow
	Total     int
}

// events are those that this agent has seen, the last one first.
func events(c *call, pg *page) error {
	pg.Title = "Events"
	d := &eventsData{filters: filtersOf(c), Off: c.Events == nil, Elsewhere: c.dc != c.Settings().Datacenter}
	pg.Data = d
	if d.Off || d.Elsewhere {
		pg.still = true
		return nil
	}
	who, err := c.Who(c.r)
	if err != nil {
		return err
	}
	index, list := c.Events.List(c.r.Context(), "", func(*kv.Event) bool { return true }, 0)
	pg.watches = append(pg.watches, func(ctx context.Context) error {
		c.Events.List(ctx, "", func(*kv.Event) bool { return true }, index)
		return nil
	})
	list = slices.DeleteFunc(slices.Clone(list), func(e *kv.Event) bool { return !who.Allowed(acl.Event, e.Name, acl.Read) })
	d.Total = len(list)
	slices.Reverse(list)
	list = slices.DeleteFunc(list, func(e *kv.Event) bool { return !has(d.Search, e.Name, e.ID, string(e.Payload)) })
	list, d.pager = cut(c, list, itemsPerPage)
	for _, e := range list {
		row := eventRow{Event: e, Text: "(binary)"}
		if utf8.Valid(e.Payload) {
			row.Text = shorten(string(e.Payload), shortText)
		}
		d.Rows = append(d.Rows, row)
	}
	return nil
}
