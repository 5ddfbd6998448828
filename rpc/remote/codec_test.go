package remote

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"consul.internal/catalog"
	"consul.internal/rpc"
)

func sorted(c rpc.Contract) []string { return slices.Sorted(maps.Keys(c)) }

// TestHostileMessages: the worst that was thought of stays within bounds, for
// every type of message.
func TestHostileMessages(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	for _, into := range targets() {
		for i, data := range hostile(t, slices.Collect(maps.Keys(c.shapes.of(into).fields))) {
			if got, most := allocated(c, data, into), uint64(len(data))*allocPerByte+allocFree; got > most {
				t.Errorf("%v, message %d: %d bytes allocated %d, at most %d", into, i, len(data), got, most)
			}
		}
	}
}

// TestRealMessages: what catalogs really hold is never taken for hostile.
func TestRealMessages(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	instances := func(n int) *rpc.InstancesReply {
		out := &rpc.InstancesReply{}
		for range n {
			out.Instances = append(out.Instances, &catalog.Instance{
				Node:    &catalog.Node{Name: "n"},
				Service: &catalog.Service{Name: "s", Tags: []string{"a", "b"}, Meta: map[string]string{"k": "v"}, TaggedAddresses: map[string]catalog.ServiceAddress{"lan": {Port: 1}}},
				Checks:  []*catalog.Check{{CheckID: "c"}, {CheckID: "d"}},
			})
		}
		return out
	}
	servers := func(n int) *rpc.AutopilotHealthReply {
		return &rpc.AutopilotHealthReply{Servers: make([]rpc.AutopilotServer, n)}
	}
	names := func(n int) *rpc.ServicesReply {
		out := &rpc.ServicesReply{Services: map[string][]string{}}
		for i := range n {
			out.Services[string(rune('0'+i%10))+string(rune('a'+i/10%26))+string(rune('a'+i/260))] = []string{}
		}
		return out
	}
	for name, in := range map[string]any{"instances": instances(5000), "servers": servers(500), "names": names(5000)} {
		data, err := c.enc.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > maxMessage {
			t.Fatalf("%s: %d bytes", name, len(data))
		}
		out := reflect.New(reflect.TypeOf(in).Elem()).Interface()
		if err := c.decode(data, out); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(in, out) {
			t.Errorf("%s: differs", name)
		}
	}
}

// TestSameJSON: what the catalog holds looks the same to users on both sides of
// the wire, absent and empty told apart.
func TestSameJSON(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	free := map[string]any{"s": "x", "f": 1.5, "b": true, "nil": nil, "l": []any{}, "m": map[string]any{"k": []any{"v"}}}
	for name, in := range map[string]*catalog.Instance{
		"zero":   {Node: &catalog.Node{}, Service: &catalog.Service{}},
		"absent": {},
		"empty": {
			Node:    &catalog.Node{TaggedAddresses: map[string]string{}, Meta: map[string]string{}},
			Service: &catalog.Service{Tags: []string{}, Meta: map[string]string{}, TaggedAddresses: map[string]catalog.ServiceAddress{}, Proxy: catalog.Proxy{Config: map[string]any{}, Upstreams: []any{}, Expose: catalog.Object{}}},
			Checks:  []*catalog.Check{{ServiceTags: []string{}}},
		},
		"full": {
			Node:    &catalog.Node{ID: "i", Name: "n", Meta: map[string]string{"k": "v"}, CreateIndex: 1 << 60},
			Service: &catalog.Service{ID: "s", Name: "web", Tags: []string{"a"}, Port: 80, Weights: catalog.Weights{Passing: 10, Warning: 1}, Proxy: catalog.Proxy{Config: free, Upstreams: []any{free}, MeshGateway: catalog.Object(free)}, Connect: catalog.Connect{Native: true}},
			Checks:  []*catalog.Check{{CheckID: "c", Status: catalog.Critical, Output: "a\xffb", Definition: catalog.CheckDefinition{Header: map[string][]string{"h": {"v"}}, Interval: catalog.Duration(time.Minute)}}},
		},
	} {
		data, err := c.enc.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		out := new(catalog.Instance)
		if err := c.decode(data, out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s:\n%s\nwas\n%s", name, got, want)
		}
	}
}

// TestRefused: what no honest sender writes.
func TestRefused(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"empty":               "",
		"cut off":             "\xa1\x64Name",
		"indefinite length":   "\xbf\xff",
		"reserved":            "\x1c",
		"more than there is":  "\x5a\xff\xff\xff\xff",
		"a tag":               "\xa1\x65Index\xc2\x41\x01",
		"bytes after the end": "\xa0\xa0",
		"a wrong type":        "\xa1\x65Index\x61x",
	} {
		if err := c.decode([]byte(data), new(rpc.NodesReply)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	many := append([]byte{0xa1, 0x66}, "Checks\x9a\x00\x01\x00\x00"...)
	for range 1 << 16 {
		many = append(many, 0xa0)
	}
	if err := c.decode(many, new(rpc.ChecksReply)); !errors.Is(err, errTooCostly) {
		t.Errorf("65,536 empty checks: %v", err)
	}
	if err := c.decode([]byte("\xa1\x67Unknown\x01"), new(rpc.NodesReply)); err != nil {
		t.Errorf("an unknown field: %v", err)
	}
}
