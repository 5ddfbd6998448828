package catalog

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/serf/coordinate"
)

func at(x float64) *Coordinate {
	return &Coordinate{Vec: []float64{x, 0, 0, 0, 0, 0, 0, 0}, Error: 1.5, Height: 1e-5}
}

func TestCoordinateValidate(t *testing.T) {
	with := func(change func(*Coordinate)) *Coordinate {
		c := at(1)
		change(c)
		return c
	}
	for name, tt := range map[string]struct {
		c    *Coordinate
		want string
	}{
		"good":       {at(1), ""},
		"none":       {nil, "Must provide coordinate"},
		"NaN":        {with(func(c *Coordinate) { c.Vec[3] = math.NaN() }), "invalid coordinate: it holds a value that is not a finite number"},
		"endless":    {with(func(c *Coordinate) { c.Height = math.Inf(1) }), "invalid coordinate: it holds a value that is not a finite number"},
		"adjustment": {with(func(c *Coordinate) { c.Adjustment = math.Inf(-1) }), "invalid coordinate: it holds a value that is not a finite number"},
		"short":      {with(func(c *Coordinate) { c.Vec = c.Vec[:7] }), "incompatible coordinate: it has 7 dimensions, the others have 8"},
		"empty":      {&Coordinate{}, "incompatible coordinate: it has 0 dimensions, the others have 8"},
	} {
		err := tt.c.Validate()
		if got := errText(err); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestDistance holds ours against that of the library with which agents find
// their places.
func TestDistance(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	random := func() *Coordinate {
		c := at(0)
		for i := range c.Vec {
			c.Vec[i] = r.NormFloat64()
		}
		c.Height, c.Adjustment = r.Float64(), r.NormFloat64()
		return c
	}
	for range 1000 {
		a, b := random(), random()
		want := (*coordinate.Coordinate)(a).DistanceTo((*coordinate.Coordinate)(b))
		got := time.Duration(a.Distance(b) * float64(time.Second))
		if d := got - want; d < -1 || d > 1 {
			t.Fatalf("%+v to %+v: %v, want %v", a, b, got, want)
		}
	}
	huge := at(math.MaxFloat64)
	for name, far := range map[string]float64{
		"unknown":        at(1).Distance(nil),
		"from unknown":   (*Coordinate)(nil).Distance(at(1)),
		"other space":    at(1).Distance(&Coordinate{Vec: []float64{1}}),
		"without bounds": huge.Distance(at(-math.MaxFloat64)),
	} {
		if !math.IsInf(far, 1) {
			t.Errorf("%s: %v", name, far)
		}
	}
}

// TestNodeCoordinateJSON: the official client reads and writes what we do.
func TestNodeCoordinateJSON(t *testing.T) {
	in := NodeCoordinate{Node: "n", Segment: "s", Coord: at(1)}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var theirs api.CoordinateEntry
	if err := json.Unmarshal(raw, &theirs); err != nil {
		t.Fatal(err)
	}
	if theirs.Node != "n" || theirs.Segment != "s" || !reflect.DeepEqual(Coordinate(*theirs.Coord), *in.Coord) {
		t.Errorf("the client reads %+v", theirs)
	}
	if raw, err = json.Marshal(theirs); err != nil {
		t.Fatal(err)
	}
	var back NodeCoordinate
	if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(back, in) {
		t.Errorf("the client wrote %s, read as %+v, %v", raw, back, err)
	}
}
