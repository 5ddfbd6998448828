package httpapi

import (
	"net/http"

	"consul.internal/catalog"
	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

// healthAPI answers /v1/health.
type healthAPI struct{ *Server }

func (s healthAPI) service(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.instances(w, r, func(*rpc.ServiceRequest) {})
}

func (s healthAPI) connect(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.instances(w, r, func(in *rpc.ServiceRequest) { in.Connect = true })
}

func (s healthAPI) ingress(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.instances(w, r, func(in *rpc.ServiceRequest) { in.Ingress = true })
}

func (s healthAPI) instances(w http.ResponseWriter, r *http.Request, set func(*rpc.ServiceRequest)) (any, error) {
	in, err := s.serviceRequest(r)
	if err != nil {
		return nil, err
	}
	if in.Passing, err = edge.Bool(r, "passing"); err != nil {
		return nil, err
	}
	set(in)
	out, err := edge.Read(w, r, s.deps.Caller, rpc.HealthService, in,
		func(o *rpc.InstancesReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	// The state's instances are shared: an absent list of checks becomes [] in a copy.
	instances := make([]*catalog.Instance, len(out.Instances))
	for i, inst := range out.Instances {
		copied := s.Translator().Instance(inst)
		copied.Checks = edge.List(copied.Checks)
		instances[i] = copied
	}
	return instances, nil
}

func checksMeta(o *rpc.ChecksReply) *rpc.ReadMeta { return &o.ReadMeta }

func (s healthAPI) checks(w http.ResponseWriter, r *http.Request) (any, error) {
	in, err := s.serviceRequest(r)
	if err != nil {
		return nil, err
	}
	out, err := edge.Read(w, r, s.deps.Caller, rpc.HealthChecks,
		&rpc.ChecksRequest{ReadOptions: in.ReadOptions, Service: in.Service}, checksMeta)
	if err != nil {
		return nil, err
	}
	return edge.List(out.Checks), nil
}

func (s healthAPI) node(w http.ResponseWriter, r *http.Request) (any, error) {
	name, err := edge.Item(r, "Missing node name")
	if err != nil {
		return nil, err
	}
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	out, err := edge.Read(w, r, s.deps.Caller, rpc.HealthNode, &rpc.NodeRequest{ReadOptions: opts, Node: name}, checksMeta)
	if err != nil {
		return nil, err
	}
	return edge.List(out.Checks), nil
}

func (s healthAPI) state(w http.ResponseWriter, r *http.Request) (any, error) {
	state, err := edge.Item(r, "Missing check state")
	if err != nil {
		return nil, err
	}
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	out, err := edge.Read(w, r, s.deps.Caller, rpc.HealthState,
		&rpc.StateRequest{ReadOptions: opts, State: catalog.Status(state)}, checksMeta)
	if err != nil {
		return nil, err
	}
	return edge.List(out.Checks), nil
}
