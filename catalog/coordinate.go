package catalog

import (
	"math"
	"slices"

	"consul.internal/internal/fault"
)

// Coordinate is a place in the network: the distance of two places is the
// round-trip time to expect between them (Vivaldi: Dabek, Cox, Kaashoek, Morris,
// SIGCOMM 2004). All values are in seconds but Error, which has no unit.
type Coordinate struct {
	Vec        []float64
	Error      float64
	Adjustment float64
	Height     float64
}

// CoordinateDims is how many dimensions the agents' coordinates have: that is
// what gossip works with, and others cannot be compared with them.
const CoordinateDims = 8

// NodeCoordinate is a node's place. Only those of one segment compare.
type NodeCoordinate struct {
	Node    string
	Segment string
	Coord   *Coordinate
}

// Validate refuses a place that cannot be compared with others.
func (c *Coordinate) Validate() error {
	switch {
	case c == nil:
		return fault.Newf(fault.Invalid, "Must provide coordinate")
	case slices.ContainsFunc(append(slices.Clone(c.Vec), c.Error, c.Adjustment, c.Height), notFinite):
		return fault.Newf(fault.Invalid, "invalid coordinate: it holds a value that is not a finite number")
	case len(c.Vec) != CoordinateDims:
		return fault.Newf(fault.Invalid, "incompatible coordinate: it has %d dimensions, the others have %d", len(c.Vec), CoordinateDims)
	}
	return nil
}

func notFinite(f float64) bool { return math.IsNaN(f) || math.IsInf(f, 0) }

// Distance is the round-trip time to expect, in seconds; +Inf between places that
// do not compare. It is never NaN if both are valid.
func (c *Coordinate) Distance(o *Coordinate) float64 {
	if c == nil || o == nil || len(c.Vec) != len(o.Vec) {
		return math.Inf(1)
	}
	squares := 0.0
	for i := range c.Vec {
		d := c.Vec[i] - o.Vec[i]
		squares += d * d
	}
	raw := math.Sqrt(squares) + c.Height + o.Height
	// An adjustment that leaves nothing is worse than none.
	if adjusted := raw + c.Adjustment + o.Adjustment; adjusted > 0 {
		return adjusted
	}
	return raw
}

// Same reports whether two places are equal.
func (c *Coordinate) Same(o *Coordinate) bool {
	return c.Error == o.Error && c.Adjustment == o.Adjustment && c.Height == o.Height && slices.Equal(c.Vec, o.Vec)
}
