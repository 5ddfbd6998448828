package agent

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"consul.internal/checks"
	"consul.internal/internal/fault"
)

// kind is the JSON type of a member of a registration.
type kind int

const (
	aText kind = iota
	aNumber
	aBool
	aDuration
	aList   // of texts
	aMap    // of texts
	aLists  // a map of lists of texts
	anyMap_ // an object with anything in it
	anObject
	objects // a list of objects
	ignored // anything goes
)

// samples are a value of each JSON type, and the kinds that take it.
var samples = []struct {
	json  string
	kinds []kind
}{
	{`"x"`, []kind{aText}},
	{`7`, []kind{aNumber, aDuration}},
	{`"7s"`, []kind{aText, aDuration}},
	{`7.5`, nil},
	{`99999999999999999999`, nil},
	{`true`, []kind{aBool}},
	{`["x"]`, []kind{aList}},
	{`[7]`, nil},
	{`[{}]`, []kind{objects}},
	{`{"k":"x"}`, []kind{aMap, anyMap_}},
	{`{"k":["x"]}`, []kind{aLists, anyMap_}},
	{`{"k":{"k":7}}`, []kind{anyMap_}},
}

// checkMembers are the members of a check; the names are those of checks.Definition where it has the field.
var checkMembers = map[string]kind{
	"ID": aText, "CheckID": aText, "Name": aText, "Notes": aText, "ServiceID": aText, "Status": aText, "Token": aText,
	"TTL": aDuration, "HTTP": aText, "Method": aText, "Header": aLists, "Body": aText, "DisableRedirects": aBool,
	"TCP": aText, "TCPUseTLS": aBool, "UDP": aText, "GRPC": aText, "GRPCUseTLS": aBool, "H2PING": aText, "H2PINGUseTLS": aBool,
	"Args": aList, "ScriptArgs": aList, "DockerContainerID": aText, "Shell": aText, "OSService": aText,
	"AliasNode": aText, "AliasService": aText, "TLSServerName": aText, "TLSSkipVerify": aBool,
	"Interval": aDuration, "Timeout": aDuration, "SuccessBeforePassing": aNumber, "FailuresBeforeWarning": aNumber,
	"FailuresBeforeCritical": aNumber, "DeregisterCriticalServiceAfter": aDuration, "OutputMaxSize": aNumber, "ExposedPort": aNumber,
	"Namespace": ignored, "Partition": ignored, "PeerName": ignored,
}

var serviceMembers = map[string]kind{
	"Kind": aText, "ID": aText, "Name": aText, "Tags": aList, "Address": aText, "TaggedAddresses": anObject, "Meta": aMap,
	"Port": aNumber, "SocketPath": aText, "Weights": anObject, "EnableTagOverride": aBool, "Token": aText,
	"Check": anObject, "Checks": objects, "Proxy": anObject, "Connect": anObject,
	"Namespace": ignored, "Partition": ignored, "PeerName": ignored, "Locality": ignored, "Ports": ignored, "AI": ignored,
}

var nested = map[string]map[string]kind{
	"Weights":             {"Passing": aNumber, "Warning": aNumber},
	"TaggedAddresses.lan": {"Address": aText, "Port": aNumber},
	"Connect":             {"Native": aBool},
	"Proxy": {"DestinationServiceName": aText, "DestinationServiceID": aText, "LocalServiceAddress": aText, "LocalServicePort": aNumber,
		"Mode": aText, "Config": anyMap_, "MeshGateway": anyMap_, "Expose": anyMap_, "Upstreams": objects},
}

// badInput registers what is wrong and looks at what it left behind.
type badInput struct {
	t *testing.T
	l *testLocal
}

func newBadInput(t *testing.T) *badInput {
	cfg := persistent(t)
	cfg.EnableScriptChecks = true
	return &badInput{t, open(t, newServers(), cfg)}
}

// refused registers a body, which must be refused as invalid with a text.
func (b *badInput) refused(what, body, text string) {
	b.t.Helper()
	var err error
	if what == "service" {
		var def *ServiceDefinition
		if def, err = DecodeService(strings.NewReader(body)); err == nil {
			err = b.l.RegisterService(def, RegisterOptions{})
		}
	} else {
		var def *checks.Definition
		if def, err = DecodeCheck(strings.NewReader(body)); err == nil {
			err = b.l.RegisterCheck(def)
		}
	}
	if err == nil || !strings.Contains(err.Error(), text) || !errors.Is(err, fault.Invalid) {
		b.t.Errorf("%.120s: error %v, want an invalid one with %q", body, err, text)
	}
}

// nothingLeft fails if anything of what was refused is in memory or on disk.
func (b *badInput) nothingLeft() {
	b.t.Helper()
	if n := len(b.l.Services()) + len(b.l.Checks()); n != 0 {
		b.t.Errorf("%d refused registrations are known", n)
	}
	err := filepath.WalkDir(b.l.cfg.DataDir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			b.t.Errorf("a refused registration has left the file %s", path)
		}
		return err
	})
	if err != nil {
		b.t.Error(err)
	}
}

func TestEveryMemberWithWrongTypes(t *testing.T) {
	b := newBadInput(t)
	try := func(what, path string, members map[string]kind, body func(member string) string) {
		for _, name := range slices.Sorted(maps.Keys(members)) {
			k := members[name]
			if k == ignored {
				continue
			}
			for _, s := range samples {
				if slices.Contains(s.kinds, k) || k == objects && s.json == `[{}]` || k == anObject && strings.HasPrefix(s.json, "{") {
					continue
				}
				b.refused(what, body(fmt.Sprintf("%q:%s", name, s.json)), path+name)
			}
			for _, other := range []string{name, strings.ToLower(name), strings.ToLower(name[:1]) + "_" + name[1:]} {
				b.refused(what, body(fmt.Sprintf("%q:null,%q:null", name, other)), fmt.Sprintf("field %q is given twice", path+other))
			}
		}
		b.refused(what, body(`"Bogus":null`), fmt.Sprintf("unknown field %q", path+"Bogus"))
	}
	plain := func(member string) string { return "{" + member + "}" }
	try("check", "", checkMembers, plain)
	try("service", "", serviceMembers, plain)
	try("service", "Check.", checkMembers, func(m string) string { return `{"Name":"x","Check":{` + m + `}}` })
	try("service", "Checks[1].", checkMembers, func(m string) string { return `{"Name":"x","Checks":[{"TTL":"1s"},{` + m + `}]}` })
	for path, members := range nested {
		outer, inner, deep := strings.Cut(path, ".")
		try("service", path+".", members, func(m string) string {
			if deep {
				return fmt.Sprintf(`{"Name":"x",%q:{%q:{%s}}}`, outer, inner, m)
			}
			return fmt.Sprintf(`{"Name":"x",%q:{%s}}`, outer, m)
		})
	}
	b.nothingLeft()
}

// The tables above must not fall behind the definitions.
func TestMemberTablesAreWhole(t *testing.T) {
	for _, tt := range []struct {
		def     any
		members map[string]kind
	}{{checks.Definition{}, checkMembers}, {ServiceDefinition{}, serviceMembers}} {
		typ := reflect.TypeOf(tt.def)
		for i := range typ.NumField() {
			if _, ok := tt.members[typ.Field(i).Name]; !ok {
				t.Errorf("%s.%s is in no table of members", typ, typ.Field(i).Name)
			}
		}
	}
}

func TestEveryMemberWithWrongValues(t *testing.T) {
	b := newBadInput(t)
	long := strings.Repeat("x", 600)
	for _, tt := range []struct{ members, err string }{
		{`"TTL":"0s"`, "TTL must be > 0"},
		{`"TTL":"-1s"`, "TTL must be > 0"},
		{`"TTL":"1"`, `TTL: time: missing unit in duration "1"`},
		{`"TTL":"1s","Interval":"x"`, `Interval: time: invalid duration "x"`},
		{`"TTL":"1s","Timeout":"9999999h"`, `Timeout: time: invalid duration`},
		{`"TTL":"1s","Timeout":"-1s"`, "Timeout must not be negative"},
		{`"TTL":"1s","Interval":"1s"`, "Interval and TTL cannot both be specified"},
		{`"TTL":"1s","TCP":"x:1"`, "Interval must be > 0"},
		{`"TTL":"1s","Status":"Passing"`, "Bad check status"},
		{`"TTL":"1s","SuccessBeforePassing":-1`, "SuccessBeforePassing must not be negative"},
		{`"TTL":"1s","FailuresBeforeWarning":-1`, "FailuresBeforeWarning must not be negative"},
		{`"TTL":"1s","FailuresBeforeCritical":-1`, "FailuresBeforeCritical must not be negative"},
		{`"TTL":"1s","FailuresBeforeWarning":3,"FailuresBeforeCritical":2`, "FailuresBeforeWarning can't be higher"},
		{`"TTL":"1s","DeregisterCriticalServiceAfter":"-1s"`, "DeregisterCriticalServiceAfter must not be negative"},
		{`"TTL":"1s","OutputMaxSize":-1`, "OutputMaxSize must be positive"},
		{`"TTL":"1s","ExposedPort":65536`, "ExposedPort 65536"},
		{`"TTL":"1s","Script":"exit 0"`, "Script is no longer supported: use Args"},
		{`"TTL":"1s","Script":["x"]`, "Script is no longer supported: use Args"},
		{`"CheckID":"a","ID":"b","TTL":"1s"`, `ID and CheckID name the same thing, but are "b" and "a"`},
		{`"Args":["a"],"ScriptArgs":["b"],"Interval":"1s"`, "Args and ScriptArgs name the same thing"},
		{`"HTTP":"ftp://x","Interval":"1s"`, "HTTP must be a URL"},
		{`"HTTP":"localhost:80","Interval":"1s"`, "HTTP"},
		{`"HTTP":"http://[::1","Interval":"1s"`, "HTTP is not a URL"},
		{`"HTTP":"http://x/\u0000","Interval":"1s"`, "HTTP is not a URL"},
		{`"HTTP":"http://x:65536","Interval":"1s"`, "between 1 and 65535"},
		{`"HTTP":"http://x","Interval":"1s","Method":"GET /"`, `Method "GET /" is not an HTTP method`},
		{`"HTTP":"http://x","Interval":"1s","Header":{"":["x"]}`, `Header "" is not the name of an HTTP header`},
		{`"HTTP":"http://x","Interval":"1s","Header":{"X":["a\r\nY: b"]}`, "control characters"},
		{`"HTTP":"http://x"`, "Interval must be > 0"},
		{`"HTTP":"http://x","Interval":"-1s"`, "Interval must be > 0"},
		{`"TCP":"x","Interval":"1s"`, "TCP must be HOST:PORT"},
		{`"TCP":"x:70000","Interval":"1s"`, "between 1 and 65535"},
		{`"TCP":"a/b:1","Interval":"1s"`, "TCP must be HOST:PORT"},
		{`"TCP":"x:1"`, "Interval must be > 0"},
		{`"UDP":"x","Interval":"1s"`, "UDP must be HOST:PORT"},
		{`"GRPC":"x/svc","Interval":"1s"`, "GRPC must be HOST:PORT"},
		{`"H2PING":"https://x","Interval":"1s"`, "H2PING must be HOST:PORT"},
		{`"TCP":"x:1","UDP":"x:1","Interval":"1s"`, "only one kind, but this one is tcp and udp"},
		{`"Args":["true"]`, "Interval must be > 0"},
		{`"DockerContainerID":"c","Interval":"1s"`, "a docker check needs Args"},
		{`"DockerContainerID":"a/../b","Args":["x"],"Interval":"1s"`, "neither an ID nor a name"},
		{`"OSService":"a b","Interval":"1s"`, "is not a name of a service"},
		{`"AliasService":"x","Interval":"1s"`, "Interval cannot be set for Alias checks"},
		{`"AliasNode":"x","TTL":"1s"`, "TTL must be not be set for Alias checks"},
		{`"Notes":"nothing to do"`, "TTL must be > 0 for TTL checks"},
	} {
		b.refused("check", `{"Name":"x",`+tt.members+`}`, tt.err)
		b.refused("service", `{"Name":"x","Check":{`+tt.members+`}}`, tt.err)
		b.refused("service", `{"Name":"x","Checks":[{"TTL":"1s"},{`+tt.members+`}]}`, tt.err)
	}
	b.refused("check", `{"Name":"x","CheckID":"_node_maintenance","TTL":"1s"}`, "reserved")
	b.refused("check", `{"Name":"serfHealth","TTL":"1s"}`, "reserved")
	b.refused("check", `{"ID":"x","TTL":"1s"}`, "Missing check name")
	for _, tt := range []struct{ members, err string }{
		{`"Name":""`, "Missing service name"},
		{`"ID":"x"`, "Missing service name"},
		{`"Name":"x","ID":"consul"`, "reserved for the servers"},
		{`"Name":"x","Port":-1`, "Invalid service port -1"},
		{`"Name":"x","Port":65536`, "Invalid service port 65536"},
		{`"Name":"x","Address":"[::]"`, "Invalid service address"},
		{`"Name":"x","SocketPath":"/s","Port":1`, "SocketPath cannot be given together"},
		{`"Name":"x","SocketPath":"/s","Address":"a"`, "SocketPath cannot be given together"},
		{`"Name":"x","TaggedAddresses":{"lan":{"Port":-1}}`, `Invalid port -1 of tagged address "lan"`},
		{`"Name":"x","TaggedAddresses":{"lan":{},"lan":{}}`, `field "TaggedAddresses.lan" is given twice`},
		{`"Name":"x","Weights":{"Warning":1}`, "Passing must be greater than 0"},
		{`"Name":"x","Weights":{"Passing":65536}`, "DNS Weight must be between 0 and 65535"},
		{`"Name":"x","Meta":{"":"x"}`, "Key cannot be blank"},
		{`"Name":"x","Meta":{"a":"` + long + `"}`, "Value is too long"},
		{`"Name":"x","Meta":{"` + long + `":"a"}`, "Key is too long"},
		{`"Name":"x","Meta":{` + pairs(65) + `}`, "more than 64 key/value pairs"},
		{`"Name":"x","Kind":"connect-proxy"`, "DestinationServiceName must be non-empty"},
		{`"Name":"x","Checks":[{"CheckID":"a","TTL":"1s"},{"CheckID":"a","TTL":"1s"}]`, `duplicate check ID "a"`},
		{`"Name":"x","Check":{"CheckID":"a","TTL":"1s"},"Checks":[{"CheckID":"a","TTL":"1s"}]`, `duplicate check ID "a"`},
		{`"Name":"x","Proxy":{"Config":` + strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100) + `}`, "nested deeper"},
	} {
		b.refused("service", "{"+tt.members+"}", tt.err)
	}
	b.nothingLeft()
}

func pairs(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`"k%d":""`, i))
	}
	return strings.Join(out, ",")
}

// A body that ends anywhere, or goes on after its end, is refused.
func TestBodiesCutOff(t *testing.T) {
	b := newBadInput(t)
	for what, body := range map[string]string{
		"service": `{"Name":"x","Tags":["a","b"],"Meta":{"k":"\u00e4"},"Port":80,"Check":{"TTL":"1h","Status":"passing"},"EnableTagOverride":true}`,
		"check":   `{"Name":"x","HTTP":"http://x/","Header":{"A":["b"]},"Interval":10000000000,"TLSSkipVerify":false}`,
	} {
		for i := range len(body) {
			b.refused(what, body[:i], "")
		}
		for _, more := range []string{"{}", "]", "x", "\x00", body} {
			b.refused(what, body+more, "")
		}
		for _, other := range []string{"null", "[]", `"x"`, "7", "true", "[" + body + "]", "\xef\xbb\xbf" + body} {
			b.refused(what, other, "")
		}
		b.refused(what, strings.Repeat("[", 1<<20), "")
		b.refused(what, strings.Repeat(`{"Check":`, 100_000), "")
		b.refused(what, `{"Name":"`+strings.Repeat("x", maxBody)+`"}`, "larger than")
	}
	b.nothingLeft()
}

// null is as good as absent, in each member.
func TestNullIsAbsent(t *testing.T) {
	b := newBadInput(t)
	for what, members := range map[string]map[string]kind{"service": serviceMembers, "check": checkMembers} {
		for name := range members {
			if name == "Name" || name == "TTL" {
				continue
			}
			body := fmt.Sprintf(`{"Name":"x","TTL":"1h",%q:null}`, name)
			if what == "service" {
				body = fmt.Sprintf(`{"Name":"x",%q:null}`, name)
				b.l.service(body)
			} else {
				b.l.check(body)
			}
		}
	}
	if len(b.l.Services()) != 1 || len(b.l.Checks()) != 1 {
		t.Errorf("services %v, checks %v", b.l.Services(), b.l.Checks())
	}
}
