package store

import (
	"context"

	"consul.internal/query"
	"consul.internal/store/fsm"
)

// PutQuery creates a prepared query or, with update, replaces the one of its ID.
func PutQuery(ctx context.Context, s *Store, q *query.Query, update bool) (uint64, error) {
	_, index, err := s.apply(ctx, fsm.TypeQuery, &fsm.ChangeQuery{Query: q, Update: update})
	return index, err
}

// DeleteQuery takes a prepared query away.
func DeleteQuery(ctx context.Context, s *Store, id string) (uint64, error) {
	_, index, err := s.apply(ctx, fsm.TypeQuery, &fsm.ChangeQuery{Delete: id})
	return index, err
}
