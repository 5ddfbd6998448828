package store

import (
	"context"

	"consul.internal/catalog"
	"consul.internal/store/fsm"
)

// UpdateCoordinates places nodes in the network, all in one log entry. Nodes that
// the catalog does not have are left out.
func UpdateCoordinates(ctx context.Context, s *Store, updates []catalog.NodeCoordinate) error {
	_, _, err := s.apply(ctx, fsm.TypePlace, &fsm.PlaceNodes{Nodes: updates})
	return err
}
