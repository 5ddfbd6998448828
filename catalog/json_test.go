package catalog_test

import (
	"encoding/json"
	"testing"
	"time"

	"consul.internal/catalog"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/consul/api"
)

func fullInstance() *catalog.Instance {
	return &catalog.Instance{
		Node: &catalog.Node{
			ID: "aaaaaaaa-1111-1111-1111-111111111111", Name: "n1", Address: "10.0.0.1", Datacenter: "dc1",
			TaggedAddresses: map[string]string{"lan": "10.0.0.1"}, Meta: map[string]string{"os": "linux"},
			CreateIndex: 1, ModifyIndex: 2,
		},
		Service: &catalog.Service{
			ID: "web-1", Name: "web", Tags: []string{"a"}, Address: "10.0.0.9", Port: 80,
			TaggedAddresses: map[string]catalog.ServiceAddress{"wan": {Address: "198.18.0.1", Port: 81}},
			Meta:            map[string]string{"v": "1"}, Weights: catalog.Weights{Passing: 2, Warning: 1},
			EnableTagOverride: true, CreateIndex: 3, ModifyIndex: 4,
		},
		Checks: []*catalog.Check{{
			Node: "n1", CheckID: "c1", Name: "alive", Status: catalog.Warning, Notes: "n", Output: "o",
			ServiceID: "web-1", ServiceName: "web", ServiceTags: []string{"a"}, Type: "http",
			Interval: "10s", Timeout: "1s", ExposedPort: 1,
			Definition: catalog.CheckDefinition{
				HTTP: "http://x", Interval: catalog.Duration(10 * time.Second),
				Header: map[string][]string{"X": {"y"}},
			},
			CreateIndex: 5, ModifyIndex: 6,
		}},
	}
}

// TestOfficialClientReadsAll holds our JSON against the client's types: what the
// client knows must arrive, and mean the same when it comes back.
func TestOfficialClientReadsAll(t *testing.T) {
	inst := fullInstance()
	var entry api.ServiceEntry
	loose(t, inst, &entry)
	if entry.Node.Node != "n1" || entry.Service.Port != 80 || entry.Checks[0].Definition.IntervalDuration != 10*time.Second {
		t.Errorf("values lost: %+v %+v %+v", entry.Node, entry.Service, entry.Checks[0])
	}
	// What the client writes again must mean the same to us.
	again, err := json.Marshal(entry)
	if err != nil {
		t.Fatal(err)
	}
	var back catalog.Instance
	if err := json.Unmarshal(again, &back); err != nil {
		t.Fatal(err)
	}
	for _, c := range back.Checks { // the reference shows these two, its client drops them
		c.Interval, c.Timeout = inst.Checks[0].Interval, inst.Checks[0].Timeout
	}
	if !back.Node.SameContent(inst.Node) || !back.Checks[0].SameContent(inst.Checks[0]) || !back.Service.SameContent(inst.Service) {
		t.Errorf("a round trip through the client changed: %s", cmp.Diff(inst, &back))
	}

	var flat api.CatalogService
	loose(t, inst.Flat(), &flat)
	if flat.ServicePort != 80 || flat.ServiceTaggedAddresses["wan"].Port != 81 || flat.ServiceWeights.Passing != 2 {
		t.Errorf("flat form lost values: %+v", flat)
	}
}

func loose(t *testing.T, v, into any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{`"10s"`: 10 * time.Second, `""`: 0, `1000000000`: time.Second, `"1h0m0s"`: time.Hour} {
		var d catalog.Duration
		if err := json.Unmarshal([]byte(text), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s = %v, %v", text, time.Duration(d), err)
		}
	}
	for _, text := range []string{`"abc"`, `1.5`, `{}`, `true`} {
		var d catalog.Duration
		if err := json.Unmarshal([]byte(text), &d); err == nil {
			t.Errorf("%s was taken for %v", text, time.Duration(d))
		}
	}
}
