package httpapi

import (
	"net/http"
	"slices"

	"consul.internal/catalog"
	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

// catalogAPI answers /v1/catalog.
type catalogAPI struct{ *Server }

// registration is the body of /v1/catalog/register.
type registration struct {
	ID              string
	Node            string
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	NodeMeta        map[string]string
	SkipNodeUpdate  bool
	Service         *catalogService
	Check           *catalog.Check
	Checks          []*catalog.Check
}

// catalogService is a service with weights that may be absent.
type catalogService struct {
	catalog.Service
	Weights *catalog.Weights
}

func (s catalogAPI) register(_ http.ResponseWriter, r *http.Request) (any, error) {
	var body registration
	if err := edge.Decode(r, &body); err != nil {
		return nil, err
	}
	t := edge.Target(r)
	if body.Datacenter != "" {
		t.Datacenter = body.Datacenter
	}
	in := &rpc.RegisterRequest{
		Target: t,
		Node: &catalog.Node{
			ID: body.ID, Name: body.Node, Address: body.Address, Datacenter: t.Datacenter,
			TaggedAddresses: body.TaggedAddresses, Meta: body.NodeMeta,
		},
		SkipNodeUpdate: body.SkipNodeUpdate,
		Checks:         body.Checks,
	}
	if body.Service != nil {
		in.Service = &body.Service.Service
		in.Service.Weights = catalog.DefaultWeights
		if body.Service.Weights != nil {
			in.Service.Weights = *body.Service.Weights
		}
	}
	if body.Check != nil {
		in.Checks = append(in.Checks, body.Check)
	}
	if _, err := rpc.Call(r.Context(), s.deps.Caller, rpc.CatalogRegister, in); err != nil {
		return nil, edge.Remote(err)
	}
	return true, nil
}

func (s catalogAPI) deregister(_ http.ResponseWriter, r *http.Request) (any, error) {
	var body struct{ Datacenter, Node, ServiceID, CheckID string }
	if err := edge.Decode(r, &body); err != nil {
		return nil, err
	}
	t := edge.Target(r)
	if body.Datacenter != "" {
		t.Datacenter = body.Datacenter
	}
	in := &rpc.DeregisterRequest{Target: t, Node: body.Node, ServiceID: body.ServiceID, CheckID: body.CheckID}
	if _, err := rpc.Call(r.Context(), s.deps.Caller, rpc.CatalogDeregister, in); err != nil {
		return nil, edge.Remote(err)
	}
	return true, nil
}

func (s catalogAPI) datacenters(_ http.ResponseWriter, r *http.Request) (any, error) {
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	out, err := rpc.Call(r.Context(), s.deps.Caller, rpc.CatalogDatacenters, &rpc.DatacentersRequest{ReadOptions: opts})
	if err != nil {
		return nil, edge.Remote(err)
	}
	return edge.List(out.Datacenters), nil
}

func (s catalogAPI) nodes(w http.ResponseWriter, r *http.Request) (any, error) {
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	out, err := edge.Read(w, r, s.deps.Caller, rpc.CatalogNodes, &rpc.NodesRequest{ReadOptions: opts},
		func(o *rpc.NodesReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	return edge.List(s.Translator().Nodes(out.Nodes)), nil
}

func (s catalogAPI) services(w http.ResponseWriter, r *http.Request) (any, error) {
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	out, err := edge.Read(w, r, s.deps.Caller, rpc.CatalogServices, &rpc.ServicesRequest{ReadOptions: opts},
		func(o *rpc.ServicesReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	if out.Services == nil {
		return map[string][]string{}, nil
	}
	return out.Services, nil
}

// mergeCentral asks for proxies as config entries have them, not as they were registered.
const mergeCentral = "merge-central-config"

// serviceRequest takes from a request what the reads of one service understand.
func (s *Server) serviceRequest(r *http.Request) (*rpc.ServiceRequest, error) {
	name, err := edge.Item(r, "Missing service name")
	if err != nil {
		return nil, err
	}
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	return &rpc.ServiceRequest{ReadOptions: opts, Service: name, Tags: q["tag"], Central: q.Has(mergeCentral)}, nil
}

func (s catalogAPI) service(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.instances(w, r, func(*rpc.ServiceRequest) {})
}

func (s catalogAPI) connect(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.instances(w, r, func(in *rpc.ServiceRequest) { in.Connect = true })
}

func (s catalogAPI) instances(w http.ResponseWriter, r *http.Request, set func(*rpc.ServiceRequest)) (any, error) {
	in, err := s.serviceRequest(r)
	if err != nil {
		return nil, err
	}
	set(in)
	out, err := edge.Read(w, r, s.deps.Caller, rpc.CatalogService, in,
		func(o *rpc.InstancesReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	flat := make([]*catalog.ServiceNode, len(out.Instances))
	for i, inst := range out.Instances {
		flat[i] = s.Translator().Instance(inst).Flat()
	}
	return flat, nil
}

// catalogGatewayServices lists what is bound to a gateway: nothing, without the mesh.
func (s catalogAPI) gatewayServices(w http.ResponseWriter, r *http.Request) (any, error) {
	in, err := s.serviceRequest(r)
	if err != nil {
		return nil, err
	}
	in.Ingress = true
	if _, err := edge.Read(w, r, s.deps.Caller, rpc.CatalogService, in,
		func(o *rpc.InstancesReply) *rpc.ReadMeta { return &o.ReadMeta }); err != nil {
		return nil, err
	}
	return []struct{}{}, nil
}

func (s catalogAPI) readNode(w http.ResponseWriter, r *http.Request) (*rpc.NodeReply, error) {
	name, err := edge.Item(r, "Missing node name")
	if err != nil {
		return nil, err
	}
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	return edge.Read(w, r, s.deps.Caller, rpc.CatalogNode, &rpc.NodeRequest{ReadOptions: opts, Node: name, Central: r.URL.Query().Has(mergeCentral)},
		func(o *rpc.NodeReply) *rpc.ReadMeta { return &o.ReadMeta })
}

func (s catalogAPI) node(w http.ResponseWriter, r *http.Request) (any, error) {
	out, err := s.readNode(w, r)
	if err != nil {
		return nil, err
	}
	if out.Node == nil {
		return edge.Raw("null"), nil
	}
	t := s.Translator()
	byID := make(map[string]*catalog.Service, len(out.Services))
	for _, svc := range out.Services {
		byID[svc.ID] = t.Service(svc, out.Node)
	}
	return struct {
		Node     *catalog.Node
		Services map[string]*catalog.Service
	}{t.Node(out.Node), byID}, nil
}

func (s catalogAPI) nodeServices(w http.ResponseWriter, r *http.Request) (any, error) {
	out, err := s.readNode(w, r)
	if err != nil {
		return nil, err
	}
	t := s.Translator()
	services := out.Services
	if out.Node != nil {
		services = edge.List(slices.Clone(services))
		for i, svc := range services {
			services[i] = t.Service(svc, out.Node)
		}
	}
	return struct {
		Node     *catalog.Node
		Services []*catalog.Service
	}{t.Node(out.Node), services}, nil
}
