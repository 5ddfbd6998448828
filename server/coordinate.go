package server

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"consul.internal/acl"
	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/server/vet"
	"consul.internal/store"
	"consul.internal/store/state"
	"github.com/hashicorp/go-memdb"
	"go.uber.org/zap"
)

const (
	// coordinatePeriod is how long updates of coordinates are gathered, as documented.
	coordinatePeriod = 5 * time.Second
	// coordinateBatch and coordinateBatches bound what one period writes: so many
	// updates in a log entry, so many entries. That is twice of what agents send.
	coordinateBatch   = 128
	coordinateBatches = 5
)

// moves are updates of coordinates that wait to be written.
type moves struct {
	mu      sync.Mutex
	waiting map[place]catalog.NodeCoordinate
	dropped int
}

// place is of whom a coordinate is.
type place struct{ node, segment string }

// add keeps the newest update of each place, and no more than a period may write.
func (m *moves) add(c catalog.NodeCoordinate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := place{catalog.Fold(c.Node), c.Segment}
	if _, known := m.waiting[key]; !known && len(m.waiting) >= coordinateBatch*coordinateBatches {
		m.dropped++
		return
	}
	if m.waiting == nil {
		m.waiting = map[place]catalog.NodeCoordinate{}
	}
	m.waiting[key] = c
}

// take gives what was gathered, in an order that does not hang on chance.
func (m *moves) take() (updates []catalog.NodeCoordinate, dropped int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.waiting {
		updates = append(updates, c)
	}
	slices.SortFunc(updates, func(a, b catalog.NodeCoordinate) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Segment, b.Segment))
	})
	dropped = m.dropped
	m.waiting, m.dropped = nil, 0
	return updates, dropped
}

// WriteCoordinates is the leader's duty to write what agents tell of their place,
// until ctx ends.
func (s *Server) WriteCoordinates(ctx context.Context) {
	tick := time.NewTicker(coordinatePeriod)
	defer tick.Stop()
	defer s.moves.take() // they are another leader's now, who is told again
	for {
		select {
		case <-tick.C:
			if err := s.writeMoves(ctx); err != nil && ctx.Err() == nil {
				s.deps.Log.Warn("network coordinates could not be written; agents send them again", zap.Error(err))
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) writeMoves(ctx context.Context) error {
	updates, dropped := s.moves.take()
	if dropped > 0 {
		s.deps.Log.Warn("Discarded coordinate updates: too many at once", zap.Int("number_discarded", dropped))
	}
	// A node that stays where it is costs no write.
	updates = slices.DeleteFunc(updates, func(c catalog.NodeCoordinate) bool { return stays(s.store.State(), c) })
	for batch := range slices.Chunk(updates, coordinateBatch) {
		err := s.write(ctx, func(ctx context.Context) (uint64, error) { return 0, store.UpdateCoordinates(ctx, s.store, batch) })
		if err != nil {
			return err
		}
	}
	return nil
}

func stays(now *state.State, c catalog.NodeCoordinate) bool {
	_, known := now.NodeCoordinates(nil, c.Node)
	return slices.ContainsFunc(known, func(k *catalog.NodeCoordinate) bool { return k.Segment == c.Segment && k.Coord.Same(c.Coord) })
}

// update takes an agent's word of where it is. Only the leader gathers them. That
// a node is not in the catalog is no error: it may just have been removed.
func (s coordinateOps) update(ctx context.Context, in *rpc.CoordinateUpdateRequest) (*rpc.Empty, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	if err := in.Coord.Validate(); err != nil {
		return nil, err
	}
	if len(in.Segment) > maxSegment || strings.ContainsRune(in.Segment, 0) {
		return nil, fault.Newf(fault.Invalid, "invalid segment %q: it may have %d bytes, none of them NUL", in.Segment, maxSegment)
	}
	if err := s.MayWrite(ctx, in.Target, acl.Node, vet.Known(s.store.State(), in.Node)); err != nil {
		return nil, err
	}
	switch {
	case s.store.IsLeader():
	case s.store.LeaderID() == "":
		return nil, fault.Newf(fault.NoLeader, "No cluster leader")
	default:
		return nil, fault.Newf(fault.NotLeader, "this server is not the leader")
	}
	if n, ok := s.store.State().Node(in.Node); ok && catalog.EqualFold(n.Name, in.Node) {
		s.moves.add(in.NodeCoordinate)
	}
	return new(rpc.Empty), nil
}

// maxSegment bounds the name of a segment: that of a DNS label.
const maxSegment = 63

func (s coordinateOps) nodes(ctx context.Context, in *rpc.CoordinateNodesRequest) (*rpc.CoordinatesReply, error) {
	return s.list(ctx, &in.ReadOptions, func(ws memdb.WatchSet, _ *vet.Sight) (uint64, []*catalog.NodeCoordinate, error) {
		index, all := s.store.State().Coordinates(ws)
		return index, all, nil
	})
}

func (s coordinateOps) node(ctx context.Context, in *rpc.CoordinateNodeRequest) (*rpc.CoordinatesReply, error) {
	if in.Node == "" {
		return nil, required("node")
	}
	return s.list(ctx, &in.ReadOptions, func(ws memdb.WatchSet, v *vet.Sight) (uint64, []*catalog.NodeCoordinate, error) {
		index, all := s.store.State().NodeCoordinates(ws, in.Node)
		return index, all, v.Need(acl.Node, vet.Known(s.store.State(), in.Node), acl.Read)
	})
}

func (s coordinateOps) list(ctx context.Context, opts *rpc.ReadOptions, run func(memdb.WatchSet, *vet.Sight) (uint64, []*catalog.NodeCoordinate, error)) (*rpc.CoordinatesReply, error) {
	out := new(rpc.CoordinatesReply)
	err := s.read(ctx, opts, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (index uint64, err error) {
		index, all, err := run(ws, v)
		out.Coordinates = vet.Visible(v, all, func(c *catalog.NodeCoordinate) bool { return v.Sees(acl.Node, c.Node) })
		return index, err
	})
	return out, err
}

func (s coordinateOps) datacenters(_ context.Context, in *rpc.CoordinateDatacentersRequest) (*rpc.CoordinateDatacentersReply, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	return &rpc.CoordinateDatacentersReply{Datacenters: s.deps.Pools.Coordinates()}, nil
}

// nearest sorts a read's result by the round-trip time from the node that the
// read names. What is not known comes last; what is as far keeps its order. The
// given slice stays as it is, since it may be shared.
func nearest[T any](s *Server, opts *rpc.ReadOptions, items []T, node func(T) string) []T {
	if opts.Near == "" || len(items) < 2 {
		return items
	}
	distance := s.store.State().Distances(opts.Near)
	if distance == nil {
		return items
	}
	type placed struct {
		item T
		far  float64
	}
	list := make([]placed, len(items))
	for i, item := range items {
		list[i] = placed{item, distance(node(item))}
	}
	slices.SortStableFunc(list, func(a, b placed) int { return cmp.Compare(a.far, b.far) })
	sorted := make([]T, len(list))
	for i, p := range list {
		sorted[i] = p.item
	}
	return sorted
}

func nodeOfInstance(i *catalog.Instance) string { return i.Node.Name }
func nodeOfCheck(c *catalog.Check) string       { return c.Node }
func nodeName(n *catalog.Node) string           { return n.Name }
