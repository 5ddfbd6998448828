package configentry

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"consul.internal/internal/fault"
)

// An entry as users write it, and as it is shown, without indexes and hash.
func TestShown(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"service-defaults": {`{"Kind":"service-defaults","Name":"web","Protocol":"HTTP","Meta":{"a":"b"}}`,
			`{"Kind":"service-defaults","Name":"web","Protocol":"http","Meta":{"a":"b"},"MeshGateway":{},"Expose":{},"TransparentProxy":{}}`},
		"snake case": {`{"kind":"service-defaults","name":"web","upstream_config":{"defaults":{"connect_timeout_ms":"7","passive_health_check":{"interval":"10s","max_failures":2}}}}`,
			`{"Kind":"service-defaults","Name":"web","MeshGateway":{},"Expose":{},"TransparentProxy":{},"UpstreamConfig":{"Defaults":{"ConnectTimeoutMs":7,"MeshGateway":{},"PassiveHealthCheck":{"Interval":10000000000,"MaxFailures":2}}}}`},
		"proxy-defaults": {`{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http","big":9007199254740993,"half":0.5,"list":[1,{"a":null}]}}`,
			`{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http","big":9007199254740993,"half":0.5,"list":[1,{"a":null}]},"AccessLogs":{},"MeshGateway":{},"Expose":{},"TransparentProxy":{}}`},
		"resolver": {`{"Kind":"service-resolver","Name":"web","DefaultSubset":"v1","Subsets":{"v1":{"Filter":"Service.Meta.v == 1"}},"ConnectTimeout":"15s","Failover":{"*":{"Datacenters":["dc2"]}}}`,
			`{"Kind":"service-resolver","Name":"web","DefaultSubset":"v1","Subsets":{"v1":{"Filter":"Service.Meta.v == 1"}},"ConnectTimeout":"15s","Failover":{"*":{"Datacenters":["dc2"]}}}`},
		"router": {`{"Kind":"service-router","Name":"web","Routes":[{"Match":{"HTTP":{"PathPrefix":"/a","Methods":["get"]}},"Destination":{"Service":"a","RequestTimeout":"1m"}}]}`,
			`{"Kind":"service-router","Name":"web","Routes":[{"Match":{"HTTP":{"PathPrefix":"/a","Methods":["GET"]}},"Destination":{"Service":"a","RequestTimeout":"1m0s"}}]}`},
		"splitter": {`{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":33.333},{"Weight":66.67,"Service":"b"}]}`,
			`{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":33.33},{"Weight":66.67,"Service":"b"}]}`},
		"intentions, sorted": {`{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"*","Action":"deny"},{"Name":"api","Action":"allow"}]}`,
			`{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"api","Action":"allow","Precedence":9,"Type":"consul"},{"Name":"*","Action":"deny","Precedence":8,"Type":"consul"}]}`},
		"mesh has no name": {`{"Kind":"mesh","TransparentProxy":{"MeshDestinationsOnly":true}}`, `{"Kind":"mesh","TransparentProxy":{"MeshDestinationsOnly":true}}`},
		"terminating":      {`{"Kind":"terminating-gateway","Name":"tg","Services":[{"Name":"ext"}]}`, `{"Kind":"terminating-gateway","Name":"tg","Services":[{"Name":"ext"}]}`},
		"exported, both spellings of peer": {`{"Kind":"exported-services","Name":"default","Services":[{"Name":"web","Consumers":[{"Peer":"p1"},{"peer_name":"p2"}]}]}`,
			`{"Kind":"exported-services","Name":"default","Services":[{"Name":"web","Consumers":[{"Peer":"p1"},{"Peer":"p2"}]}]}`},
		"ingress": {`{"Kind":"ingress-gateway","Name":"ig","Listeners":[{"Port":8080,"Services":[{"Name":"db"}]}]}`,
			`{"Kind":"ingress-gateway","Name":"ig","TLS":{"Enabled":false},"Listeners":[{"Port":8080,"Protocol":"tcp","Services":[{"Name":"db","Hosts":null}]}]}`},
		"tcp route": {`{"Kind":"tcp-route","Name":"r","Parents":[{"Name":"gw"}],"Services":[{"Name":"db"}]}`,
			`{"Kind":"tcp-route","Name":"r","Parents":[{"Kind":"api-gateway","Name":"gw","SectionName":""}],"Services":[{"Name":"db"}],"Status":{"Conditions":null}}`},
		"jwt": {`{"Kind":"jwt-provider","Name":"p","Issuer":"i","JSONWebKeySet":{"Remote":{"URI":"https://x","CacheDuration":"1s"}}}`,
			`{"Kind":"jwt-provider","Name":"p","Issuer":"i","JSONWebKeySet":{"Remote":{"URI":"https://x","CacheDuration":1000000000}}}`},
		"a router without routes":     {`{"Kind":"service-router","Name":"web"}`, `{"Kind":"service-router","Name":"web"}`},
		"a block is a list of one":    {`{"Kind":"service-resolver","Name":"w","Redirect":[{"Service":"x"}]}`, `{"Kind":"service-resolver","Name":"w","Redirect":{"Service":"x"}}`},
		"the namespace there is":      {`{"Kind":"service-router","Name":"web","Namespace":"default","Partition":"default"}`, `{"Kind":"service-router","Name":"web"}`},
		"as it was shown, with index": {`{"Kind":"service-router","Name":"web","Hash":7,"CreateIndex":3,"ModifyIndex":9}`, `{"Kind":"service-router","Name":"web"}`},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := DecodeJSON([]byte(tt.in))
			if err == nil {
				err = e.Prepare()
			}
			if err != nil {
				t.Fatal(err)
			}
			shown := treeOf(t, e)
			var want any
			if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(shown, want) {
				got, _ := json.Marshal(shown)
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			// Through the log and back it is the same, and says so.
			raw, err := cbor.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			mode, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}.DecMode()
			if err != nil {
				t.Fatal(err)
			}
			var back Entry
			if err := mode.Unmarshal(raw, &back); err != nil {
				t.Fatal(err)
			}
			if !e.Same(&back) {
				t.Errorf("came back as %+v", treeOf(t, &back))
			}
			// Prepared again nothing changes: it may be sent again.
			if err := back.Prepare(); err != nil || !e.Same(&back) {
				t.Errorf("prepared again: %v, %+v", err, treeOf(t, &back))
			}
		})
	}
}

func treeOf(t *testing.T, e *Entry) map[string]any {
	t.Helper()
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"Hash", "CreateIndex", "ModifyIndex"} {
		delete(tree, k)
	}
	return tree
}

func TestRefused(t *testing.T) {
	for in, want := range map[string]string{
		`{"Name":"x"}`:                                       "Payload does not contain a kind/Kind key at the top level",
		`{"Kind":7}`:                                         "Kind value in payload is not a string",
		`{"Kind":"nonsense"}`:                                "invalid config entry kind: nonsense",
		`{"Kind":"sameness-group","Name":"x"}`:               "sameness-group is an enterprise-only feature",
		`{"Kind":"service-defaults"}`:                        "Name is required",
		`{"Kind":"service-defaults","Name":""}`:              "Name is required",
		`{"Kind":"service-defaults","Name":"web","Bogus":1}`: "1 error occurred:\n\t* invalid config key \"Bogus\"\n\n",
		`{"Kind":"service-defaults","Name":"web","Bogus":1,"Expose":{"Foo":1}}`:                                          "2 errors occurred:\n\t* invalid config key \"Bogus\"\n\t* invalid config key \"Expose.Foo\"\n\n",
		`{"Kind":"service-defaults","Name":"web","Protocol":{}}`:                                                         "'Protocol' expected type 'string', got 'map'",
		`{"Kind":"service-defaults","Name":"web","MaxInboundConnections":"x"}`:                                           "cannot parse 'MaxInboundConnections' as int",
		`{"Kind":"service-defaults","Name":"web","Namespace":"n"}`:                                                       `Invalid namespace "n"`,
		`{"Kind":"service-defaults","Name":"web","MeshGateway":{"Mode":"x"}}`:                                            `Invalid Mesh Gateway Mode: "x"`,
		`{"Kind":"service-defaults","Name":"web","UpstreamConfig":{"Overrides":[null]}}`:                                 "Name is required",
		`{"Kind":"proxy-defaults","Name":"mine"}`:                                                                        `invalid name ("mine"), only "global" is supported`,
		`{"Kind":"proxy-defaults","Name":"global","Config":{"a":1e999}}`:                                                 "cannot parse 'Config.a' as a number",
		`{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":90}]}`:                                              "the sum of all split weights must be 100, not 90.000000",
		`{"Kind":"service-splitter","Name":"web"}`:                                                                       "no splits configured",
		`{"Kind":"service-resolver","Name":"web","ConnectTimeout":"x"}`:                                                  "error decoding 'ConnectTimeout'",
		`{"Kind":"service-resolver","Name":"web","DefaultSubset":"v"}`:                                                   `DefaultSubset "v" is not a valid subset`,
		`{"Kind":"service-resolver","Name":"web","Subsets":{"v":{"Filter":"nope =="}}}`:                                  `Filter for subset "v" is not a valid expression`,
		`{"Kind":"service-resolver","Name":"web","Redirect":{}}`:                                                         "Redirect is empty",
		`{"Kind":"service-resolver","Name":"web","Failover":{"v":{"Service":"x"}}}`:                                      `Bad Failover["v"]: not a valid subset`,
		`{"Kind":"service-intentions","Name":"web"}`:                                                                     "At least one source is required",
		`{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"api"}]}`:                                          "Sources[0].Action must be set to 'allow' or 'deny'",
		`{"Kind":"service-router","Name":"web","Routes":[{"Match":{"HTTP":{"PathPrefix":"a"}}}]}`:                        `Route[0] PathPrefix doesn't start with '/': "a"`,
		`{"Kind":"ingress-gateway","Name":"ig","Listeners":[{"Port":80}]}`:                                               "No service declared for listener with port 80",
		`{"Kind":"jwt-provider","Name":"p"}`:                                                                             "JSONWebKeySet is required",
		`{"Kind":"inline-certificate","Name":"c","Certificate":"x","PrivateKey":"y"}`:                                    "certificate and private key do not fit",
		`{"Kind":"bound-api-gateway","Name":"g"}`:                                                                        "made by the servers",
		`{"Kind":"service-defaults","Name":"web","Meta":{"":"x"}}`:                                                       "Meta keys cannot be blank",
		`{"Kind":"service-defaults","Name":"` + strings.Repeat("x", 513) + `"}`:                                          "Name is too long",
		`{"Kind":"service-defaults","Name":"a\u0000b"}`:                                                                  "NUL",
		`{"Kind":"exported-services","Name":"default","Services":[{"Name":"web","Consumers":[{"Partition":"p"}]}]}`:      "enterprise-only",
		`{"Kind":"http-route","Name":"r","Rules":[{"Matches":[{"Method":"BREW"}]}]}`:                                     `Method "BREW" is invalid`,
		`{"Kind":"api-gateway","Name":"g","Listeners":[{"Name":"l","Port":0,"Protocol":"tcp"}]}`:                         "port 0 not in the range",
		`{"Kind":"terminating-gateway","Name":"g","Services":[{"Name":"a","CertFile":"c"}]}`:                             "TLS origination",
		`{"Kind":"mesh","TLS":{"Incoming":{"TLSMinVersion":"TLSv1_3","TLSMaxVersion":"TLSv1_2"}}}`:                       "lower than the minimum",
		`{"Kind":"service-resolver","Name":"web","LoadBalancer":{"Policy":"random","HashPolicies":[{"SourceIP":true}]}}`: "non-hash-based",
	} {
		e, err := DecodeJSON([]byte(in))
		if err == nil {
			err = e.Prepare()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
			continue
		}
		if !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v is not invalid", in, err)
		}
	}
}

// What came over the wire need not have been decoded here.
func TestPrepareForeign(t *testing.T) {
	e := &Entry{Kind: KindServiceDefaults, Name: "web"}
	if err := e.Prepare(); !errors.Is(err, fault.Invalid) {
		t.Errorf("without a body: %v", err)
	}
	e.Body = Body{ServiceDefaults: &ServiceDefaults{}, Mesh: &Mesh{}}
	if err := e.Prepare(); err != nil || e.Body.Mesh != nil {
		t.Errorf("with another kind's body: %v, %+v", err, e.Body)
	}
	for _, k := range Kinds() {
		e := &Entry{Kind: k, Name: "x"}
		if err := e.Prepare(); err == nil {
			t.Errorf("%s without a body is taken", k)
		}
	}
}

// entrySet is entries by kind and name.
type entrySet map[[2]string]*Entry

func (s entrySet) Get(kind, name string) *Entry { return s[[2]string{kind, name}] }

func (s entrySet) List(kind string) iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		for _, e := range s {
			if e.Kind == kind && !yield(e) {
				return
			}
		}
	}
}

func setOf(t *testing.T, texts ...string) entrySet {
	t.Helper()
	s := entrySet{}
	for _, text := range texts {
		e, err := DecodeJSON([]byte(text))
		if err == nil {
			err = e.Prepare()
		}
		if err != nil {
			t.Fatal(text, err)
		}
		s[[2]string{e.Kind, e.Name}] = e
	}
	return s
}

func TestCheck(t *testing.T) {
	const (
		proxyHTTP = `{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http"}}`
		webGRPC   = `{"Kind":"service-defaults","Name":"web","Protocol":"grpc"}`
		router    = `{"Kind":"service-router","Name":"web","Routes":[{"Match":{"HTTP":{"PathPrefix":"/a"}},"Destination":{"Service":"admin"}}]}`
		subsets   = `{"Kind":"service-resolver","Name":"web","Subsets":{"v1":{},"v2":{}}}`
		splitter  = `{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":90,"ServiceSubset":"v1"},{"Weight":10,"ServiceSubset":"v2"}]}`
		ingress   = `{"Kind":"ingress-gateway","Name":"ig","Listeners":[{"Port":8080,"Protocol":"tcp","Services":[{"Name":"db"}]}]}`
	)
	for name, tt := range map[string]struct {
		have     []string
		kind, of string
		want     string
	}{
		"inconsistent":          {[]string{proxyHTTP, webGRPC, router}, KindServiceRouter, "web", `discovery chain "web" uses inconsistent protocols; service "admin" has "http" which is not "grpc"`},
		"consistent":            {[]string{proxyHTTP, router}, KindServiceRouter, "web", ""},
		"tcp cannot be routed":  {[]string{router}, KindServiceRouter, "web", `discovery chain "web" uses a protocol "tcp" that does not permit advanced routing or splitting behavior`},
		"subsets":               {[]string{proxyHTTP, subsets, splitter}, KindServiceSplitter, "web", ""},
		"no such subset":        {[]string{proxyHTTP, splitter}, KindServiceResolver, "web", `service "web" does not have a subset named "v1"`},
		"ingress":               {[]string{proxyHTTP, ingress}, KindIngressGateway, "ig", `service "db" has protocol "http", which does not match defined listener protocol "tcp"`},
		"ingress later":         {[]string{proxyHTTP, ingress}, KindProxyDefaults, "global", `which does not match`},
		"ingress of tcp":        {[]string{ingress}, KindIngressGateway, "ig", ""},
		"another chain's fault": {[]string{router, `{"Kind":"service-defaults","Name":"db","Protocol":"http"}`}, KindServiceDefaults, "db", ""},
		"on the way of a chain": {[]string{router, `{"Kind":"service-defaults","Name":"web","Protocol":"http"}`, `{"Kind":"service-defaults","Name":"admin","Protocol":"grpc"}`}, KindServiceDefaults, "admin", "inconsistent"},
		"splitters in a circle": {[]string{proxyHTTP,
			`{"Kind":"service-splitter","Name":"a","Splits":[{"Weight":100,"Service":"b"}]}`,
			`{"Kind":"service-splitter","Name":"b","Splits":[{"Weight":100,"Service":"a"}]}`}, KindServiceSplitter, "b", "circular reference"},
		"redirects in a circle": {[]string{
			`{"Kind":"service-resolver","Name":"a","Redirect":{"Service":"b"}}`,
			`{"Kind":"service-resolver","Name":"b","Redirect":{"Service":"a"}}`}, KindServiceResolver, "b", "circular resolver redirect"},
		"redirect to another datacenter": {[]string{`{"Kind":"service-resolver","Name":"a","Redirect":{"Datacenter":"dc2"}}`}, KindServiceResolver, "a", ""},
		"nothing of a chain":             {[]string{`{"Kind":"mesh"}`}, KindMesh, "mesh", ""},
	} {
		err := Check(setOf(t, tt.have...), tt.kind, tt.of)
		if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// Each of two splitters leads to both of the next two: twice as many ways at each step.
func TestCheckManyWays(t *testing.T) {
	texts := []string{`{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http"}}`}
	for i := range 60 {
		for _, side := range []string{"a", "b"} {
			texts = append(texts, fmt.Sprintf(`{"Kind":"service-splitter","Name":"%s%d","Splits":[{"Weight":50,"Service":"a%d"},{"Weight":50,"Service":"b%d"}]}`, side, i, i+1, i+1))
		}
	}
	if err := Check(setOf(t, texts...), KindProxyDefaults, ProxyDefaultsName); err != nil {
		t.Fatal(err)
	}
}
