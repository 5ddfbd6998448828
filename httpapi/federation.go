package httpapi

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

// forgetDatacenter answers PUT /v1/operator/federation/forget/.
func (s operatorAPI) forgetDatacenter(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := edge.Item(r, "Missing datacenter name")
	if err != nil {
		return nil, err
	}
	in := &rpc.ForgetDatacenterRequest{Target: edge.Target(r), Name: name}
	if _, err := rpc.Call(r.Context(), s.deps.Caller, rpc.ForgetDatacenter, in); err != nil {
		return nil, err
	}
	return nil, nil
}

// others lists all datacenters but the one that a request is for.
func (s *Server) others(ctx context.Context, t rpc.Target) ([]string, error) {
	out, err := rpc.Call(ctx, s.deps.Caller, rpc.CatalogDatacenters, &rpc.DatacentersRequest{ReadOptions: rpc.ReadOptions{Target: t}})
	if err != nil {
		return nil, err
	}
	own := t.Datacenter
	if own == "" {
		own = s.config().Datacenter
	}
	names := slices.DeleteFunc(out.Datacenters, func(dc string) bool { return dc == own })
	slices.Sort(names)
	return names, nil
}

// everywhere asks all of some datacenters at once, and returns the answers in
// their order.
func everywhere[T any](datacenters []string, ask func(dc string) (T, error)) ([]T, []error) {
	out, errs := make([]T, len(datacenters)), make([]error, len(datacenters))
	var wg sync.WaitGroup
	for i, dc := range datacenters {
		wg.Go(func() { out[i], errs[i] = ask(dc) })
	}
	wg.Wait()
	return out, errs
}

// keyringElsewhere asks the pools of other datacenters what the own one's were asked.
func (s operatorAPI) keyringElsewhere(ctx context.Context, in *rpc.KeyringRequest) ([]rpc.KeyringPool, error) {
	names, err := s.others(ctx, in.Target)
	if err != nil {
		return nil, err
	}
	replies, errs := everywhere(names, func(dc string) (*rpc.KeyringReply, error) {
		there := *in
		there.Datacenter, there.LocalOnly = dc, true // the pool of all servers has been asked
		return rpc.Call(ctx, s.deps.Caller, rpc.PoolKeyring, &there)
	})
	var pools []rpc.KeyringPool
	for i, dc := range names {
		if errs[i] != nil {
			pools = append(pools, rpc.KeyringPool{Datacenter: dc, Error: errs[i].Error()})
			continue
		}
		pools = append(pools, replies[i].Pools...)
	}
	return pools, nil
}

// usageElsewhere adds the figures of other datacenters. One that cannot be asked
// makes the whole an error: a sum that lacks something would mislead.
func (s operatorAPI) usageElsewhere(ctx context.Context, opts rpc.ReadOptions, usage map[string]rpc.Usage) error {
	names, err := s.others(ctx, opts.Target)
	if err != nil {
		return err
	}
	replies, errs := everywhere(names, func(dc string) (*rpc.UsageReply, error) {
		there := opts
		there.Datacenter, there.MinIndex = dc, 0
		return rpc.Call(ctx, s.deps.Caller, rpc.OperatorUsage, &rpc.UsageRequest{ReadOptions: there})
	})
	for i := range names {
		if errs[i] != nil {
			return errs[i]
		}
		for dc, u := range replies[i].Usage {
			usage[dc] = u
		}
	}
	return nil
}
