package httpapi

import (
	"net/http"
	"slices"

	"consul.internal/catalog"
	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

// coordinateAPI answers /v1/coordinate.
type coordinateAPI struct{ *Server }

func (s coordinateAPI) datacenters(_ http.ResponseWriter, r *http.Request) (any, error) {
	out, err := rpc.Call(r.Context(), s.deps.Caller, rpc.CoordinateDatacenters, &rpc.CoordinateDatacentersRequest{Target: edge.Target(r)})
	if err != nil {
		return nil, edge.Remote(err)
	}
	for i := range out.Datacenters {
		out.Datacenters[i].Coordinates = edge.List(out.Datacenters[i].Coordinates)
	}
	return edge.List(out.Datacenters), nil
}

func (s coordinateAPI) nodes(w http.ResponseWriter, r *http.Request) (any, error) {
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	out, err := rpc.Call(r.Context(), s.deps.Caller, rpc.CoordinateNodes, &rpc.CoordinateNodesRequest{ReadOptions: opts})
	if err != nil {
		return nil, edge.Remote(err)
	}
	coordinateMeta(w, r, out)
	return inSegment(r, out), nil
}

func (s coordinateAPI) node(w http.ResponseWriter, r *http.Request) (any, error) {
	name, err := edge.Item(r, "Missing node name")
	if err != nil {
		return nil, err
	}
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	out, err := rpc.Call(r.Context(), s.deps.Caller, rpc.CoordinateNode, &rpc.CoordinateNodeRequest{ReadOptions: opts, Node: name})
	if err != nil {
		return nil, edge.Remote(err)
	}
	found := inSegment(r, out)
	if len(found) == 0 {
		return nil, edge.Failed(http.StatusNotFound, "No coordinate is known for node \""+name+"\"")
	}
	coordinateMeta(w, r, out)
	return found, nil
}

func (s coordinateAPI) update(_ http.ResponseWriter, r *http.Request) (any, error) {
	in := &rpc.CoordinateUpdateRequest{Target: edge.Target(r)}
	if err := edge.Decode(r, &in.NodeCoordinate); err != nil {
		return nil, err
	}
	if _, err := rpc.Call(r.Context(), s.deps.Caller, rpc.CoordinateUpdate, in); err != nil {
		return nil, edge.Remote(err)
	}
	return nil, nil
}

// coordinateMeta writes the headers of a read. These endpoints have never told the
// consistency.
func coordinateMeta(w http.ResponseWriter, r *http.Request, out *rpc.CoordinatesReply) {
	edge.SetMeta(w, r, &out.ReadMeta)
	w.Header().Del("X-Consul-Effective-Consistency")
}

// inSegment keeps the coordinates of the segment that is asked for, "" being one too.
func inSegment(r *http.Request, out *rpc.CoordinatesReply) []*catalog.NodeCoordinate {
	q := r.URL.Query()
	if !q.Has("segment") {
		return edge.List(out.Coordinates)
	}
	others := func(c *catalog.NodeCoordinate) bool { return c.Segment != q.Get("segment") }
	return edge.List(slices.DeleteFunc(slices.Clone(out.Coordinates), others))
}
