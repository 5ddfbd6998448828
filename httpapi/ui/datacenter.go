package ui

import (
	"cmp"
	"math"
	"slices"
	"time"

	"consul.internal/catalog"
	"consul.internal/rpc"
)

// dot is a datacenter on the map, whose middle is the one that is looked at. The
// map is 400 wide and 260 high.
type dot struct {
	Name, Link string
	X, Y, TX   float64
	Here       bool
	RTT        time.Duration
	Known      bool
}

type cell struct {
	RTT   time.Duration
	Known bool
	Same  bool
	Level string // of its colour
}

type datacentersData struct {
	Dots    []dot
	Names   []string
	Rows    []datacenterRow
	Farther int // that are not on the map
}

type datacenterRow struct {
	Name    string
	Link    string
	Here    bool
	Servers int
	Cells   []cell
}

const (
	// mapped is how many datacenters the map and the table have room for.
	mapped = 24
	// datacentersEvery and serversEvery are how often figures are looked at that
	// nobody tells the changes of.
	datacentersEvery = 5 * time.Second
	serversEvery     = 2 * time.Second
)

// between is the median of the round-trip times between the servers of two datacenters.
func between(a, b []*catalog.NodeCoordinate) (time.Duration, bool) {
	var all []float64
	for _, x := range a {
		for _, y := range b {
			if x.Coord != nil && y.Coord != nil && len(x.Coord.Vec) == len(y.Coord.Vec) {
				all = append(all, x.Coord.Distance(y.Coord))
			}
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	return time.Duration(all[len(all)/2] * float64(time.Second)), true
}

// datacenters is how far the datacenters are from one another.
func datacenters(c *call, pg *page) error {
	pg.Title, pg.every = "Datacenters", datacentersEvery
	d := &datacentersData{}
	pg.Data = d
	out, err := rpc.Call(c.r.Context(), c.Caller, rpc.CoordinateDatacenters, &rpc.CoordinateDatacentersRequest{Target: rpc.Target{Token: c.target().Token}})
	if err != nil {
		return err
	}
	places := map[string][]*catalog.NodeCoordinate{}
	for _, dc := range out.Datacenters {
		places[dc.Datacenter] = append(places[dc.Datacenter], dc.Coordinates...)
	}
	names := c.datacenters(c)
	far := func(name string) (time.Duration, bool) { return between(places[c.dc], places[name]) }
	slices.SortStableFunc(names, func(a, b string) int {
		x, _ := far(a)
		y, _ := far(b)
		return cmp.Or(boolFirst(a == c.dc, b == c.dc), cmp.Compare(x, y), cmp.Compare(a, b))
	})
	if len(names) > mapped {
		names, d.Farther = names[:mapped], len(names)-mapped
	}
	d.Names = names
	var longest time.Duration
	for _, name := range names {
		t, _ := far(name)
		longest = max(longest, t)
	}
	for i, name := range names {
		row := datacenterRow{Name: name, Link: c.link(name, "services"), Here: name == c.dc, Servers: len(places[name])}
		for _, other := range names {
			t, ok := between(places[name], places[other])
			row.Cells = append(row.Cells, cell{t, ok, name == other, level(t)})
		}
		d.Rows = append(d.Rows, row)
		t, ok := far(name)
		one := dot{Name: name, Link: row.Link, Here: row.Here, RTT: t, Known: ok, X: 200, Y: 130}
		if i > 0 {
			// The root keeps near ones apart while far ones stay on the map.
			away := 0.35 + 0.65*math.Sqrt(float64(t)/float64(max(longest, 1)))
			angle := 2*math.Pi*float64(i-1)/float64(len(names)-1) - math.Pi/2 + 0.6
			one.X, one.Y = 200+150*away*math.Cos(angle), 130+92*away*math.Sin(angle)
		}
		d.Dots = append(d.Dots, one)
	}
	return nil
}

func boolFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// level is how far away something is, in words of the style sheet: one site, one
// country, one continent, another one.
func level(t time.Duration) string {
	switch {
	case t < 5*time.Millisecond:
		return "near"
	case t < 40*time.Millisecond:
		return "mid"
	case t < 120*time.Millisecond:
		return "far"
	}
	return "away"
}
