package httpapi

import (
	"context"
	"encoding/json"
	"testing"

	"consul.internal/catalog"
	"consul.internal/rpc"
	"github.com/hashicorp/consul/api"
)

// placing answers as servers with two nodes in the network do.
func placing() *fakeCaller {
	at := func(node, segment string) *catalog.NodeCoordinate {
		return &catalog.NodeCoordinate{Node: node, Segment: segment, Coord: &catalog.Coordinate{Vec: make([]float64, 8), Error: 1.5, Height: 1e-5}}
	}
	return &fakeCaller{answer: func(_ context.Context, _ string, in, out any) error {
		switch out := out.(type) {
		case *rpc.CoordinateDatacentersReply:
			out.Datacenters = []rpc.CoordinateDatacenter{
				{Datacenter: "dc1", AreaID: rpc.AreaWAN, Coordinates: []*catalog.NodeCoordinate{at("n1", "")}}, {Datacenter: "dc2", AreaID: rpc.AreaWAN},
			}
		case *rpc.CoordinatesReply:
			out.Index, out.KnownLeader = 7, true
			one, ok := in.(*rpc.CoordinateNodeRequest)
			if !ok || one.Node == "n1" {
				out.Coordinates = []*catalog.NodeCoordinate{at("n1", ""), at("n1", "x")}
			}
		}
		return nil
	}}
}

func TestCoordinateAnswers(t *testing.T) {
	const where = `"Coord":{"Vec":[0,0,0,0,0,0,0,0],"Error":1.5,"Adjustment":0,"Height":0.00001}`
	both := `[{"Node":"n1","Segment":"",` + where + `},{"Node":"n1","Segment":"x",` + where + `}]`
	for _, tt := range []struct {
		name, method, target, body string
		status                     int
		text, index                string
	}{
		{"datacenters", "GET", "/v1/coordinate/datacenters", "", 200, `[{"Datacenter":"dc1","AreaID":"wan","Coordinates":[{"Node":"n1","Segment":"",` + where + `}]},{"Datacenter":"dc2","AreaID":"wan","Coordinates":[]}]`, ""},
		{"nodes", "GET", "/v1/coordinate/nodes", "", 200, both, "7"},
		{"nodes in a segment", "GET", "/v1/coordinate/nodes?segment=x", "", 200, `[{"Node":"n1","Segment":"x",` + where + `}]`, "7"},
		{"nodes in no segment", "GET", "/v1/coordinate/nodes?segment=", "", 200, `[{"Node":"n1","Segment":"",` + where + `}]`, "7"},
		{"nodes in an unknown segment", "GET", "/v1/coordinate/nodes?segment=zz", "", 200, "[]", "7"},
		{"node", "GET", "/v1/coordinate/node/n1", "", 200, both, "7"},
		{"node elsewhere", "GET", "/v1/coordinate/node/n1?segment=zz", "", 404, `No coordinate is known for node "n1"`, ""},
		{"unknown node", "GET", "/v1/coordinate/node/ghost", "", 404, `No coordinate is known for node "ghost"`, ""},
		{"no node", "GET", "/v1/coordinate/node/", "", 400, "Missing node name", ""},
		{"bad wait", "GET", "/v1/coordinate/nodes?wait=x", "", 400, "Invalid wait time", ""},
		{"update", "PUT", "/v1/coordinate/update", `{"Node":"n1","Coord":{"Vec":[1]}}`, 200, "", ""},
		{"bad JSON", "PUT", "/v1/coordinate/update", "{", 400, "Request decode failed: unexpected EOF", ""},
		{"method", "PUT", "/v1/coordinate/nodes", "", 405, "method PUT not allowed", ""},
	} {
		r := do(newTestServer(t, placing(), nil), tt.method, tt.target, tt.body)
		got := text(t, r)
		if r.StatusCode != tt.status || got != tt.text {
			t.Errorf("%s: %d %s, want %d %s", tt.name, r.StatusCode, got, tt.status, tt.text)
		}
		h := r.Header
		if h.Get("X-Consul-Index") != tt.index || h.Get("X-Consul-Effective-Consistency") != "" {
			t.Errorf("%s: headers %v", tt.name, h)
		}
		if tt.name == "datacenters" {
			var theirs []api.CoordinateDatacenterMap
			if err := json.Unmarshal([]byte(got), &theirs); err != nil || theirs[0].AreaID != "wan" || theirs[0].Coordinates[0].Coord.Height != 1e-5 {
				t.Errorf("the official client reads %+v, %v", theirs, err)
			}
		}
	}
}

func TestCoordinateUpdateBody(t *testing.T) {
	c := placing()
	do(newTestServer(t, c, nil), "PUT", "/v1/coordinate/update?dc=dc2&token=s", `{"Node":"n1","Segment":"x","Coord":{"Vec":[1,2],"Error":3,"Adjustment":4,"Height":5}}`)
	in, ok := c.last.(*rpc.CoordinateUpdateRequest)
	if !ok || in.Datacenter != "dc2" || in.Token != "s" || in.Node != "n1" || in.Segment != "x" ||
		!in.Coord.Same(&catalog.Coordinate{Vec: []float64{1, 2}, Error: 3, Adjustment: 4, Height: 5}) {
		t.Errorf("the operation gets %+v", c.last)
	}
}

// TestNearAgent: the agent that is asked is resolved here, and stands for nothing
// in another datacenter.
func TestNearAgent(t *testing.T) {
	for target, want := range map[string]string{
		"/v1/catalog/nodes":                     "",
		"/v1/catalog/nodes?near=n1":             "n1",
		"/v1/catalog/nodes?near=_agent":         "me",
		"/v1/catalog/nodes?near=_agent&dc=dc1":  "me",
		"/v1/catalog/nodes?near=_agent&dc=dc2":  "",
		"/v1/health/service/web?near=_agent":    "me",
		"/v1/health/state/any?near=_agent":      "me",
		"/v1/catalog/service/web?near=n1&dc=d2": "n1",
	} {
		c := &fakeCaller{}
		do(newTestServer(t, c, nil), "GET", target, "")
		if got := rpc.ReadOf(c.last).Near; got != want {
			t.Errorf("%s: near %q, want %q", target, got, want)
		}
	}
}
