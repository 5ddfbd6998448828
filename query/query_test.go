package query_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/query"
)

func TestValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*query.Query)
		want   string
	}{
		"right":            {func(*query.Query) {}, ""},
		"no service":       {func(q *query.Query) { q.Service.Service = "" }, "Must provide a Service name to query"},
		"negative nearest": {func(q *query.Query) { q.Service.Failover.NearestN = -1 }, "Bad NearestN '-1', must be >= 0"},
		"targets and nearest": {func(q *query.Query) {
			q.Service.Failover = query.Failover{NearestN: 1, Targets: []query.Target{{Datacenter: "dc2"}}}
		}, "Targets cannot be populated with NearestN or Datacenters"},
		"targets and datacenters": {func(q *query.Query) {
			q.Service.Failover = query.Failover{Datacenters: []string{"dc2"}, Targets: []query.Target{{Datacenter: "dc2"}}}
		}, "Targets cannot be populated with NearestN or Datacenters"},
		"TTL":          {func(q *query.Query) { q.DNS.TTL = "10s" }, ""},
		"no duration":  {func(q *query.Query) { q.DNS.TTL = "ten" }, `Bad DNS TTL 'ten': time: invalid duration "ten"`},
		"negative TTL": {func(q *query.Query) { q.DNS.TTL = "-1s" }, "DNS TTL '-1s', must be >=0"},
		"NUL":          {func(q *query.Query) { q.Name = "a\x00b" }, "ID, Name and Session must not hold a NUL character"},
	} {
		q := &query.Query{Name: "q", Service: query.Service{Service: "web"}}
		tt.change(q)
		got := ""
		if err := q.Validate(); err != nil {
			got = err.Error()
			if !errors.Is(err, fault.Invalid) {
				t.Errorf("%s: %v is not invalid", name, err)
			}
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestDuration(t *testing.T) {
	if d, ok := (query.DNS{}).Duration(); ok || d != 0 {
		t.Errorf("no TTL gives %v, %v", d, ok)
	}
	if d, ok := (query.DNS{TTL: "1m"}).Duration(); !ok || d.Seconds() != 60 {
		t.Errorf("1m gives %v, %v", d, ok)
	}
}

func TestRender(t *testing.T) {
	const pattern = `^geo-(.*?)-([^\-]+?)$`
	for name, tt := range map[string]struct {
		asked, regexp, service, want string
	}{
		"groups":                              {"geo-web-b", pattern, "${match(1)}/${match(2)}", "web/b"},
		"the whole match":                     {"geo-web-b", pattern, "${match(0)}", "geo-web-b"},
		"no such group":                       {"geo-web-b", pattern, "<${match(3)}${match(-1)}>", "<>"},
		"no match":                            {"geo-web", pattern, "<${match(1)}>", "<>"},
		"no regexp":                           {"geo-web", "", "<${match(0)}>", "<>"},
		"parts of the name":                   {"geo-web", "", "${name.full},${name.prefix},${name.suffix}", "geo-web,geo-,web"},
		"case of the asker":                   {"GEO-Web", "", "${name.full},${name.prefix},${name.suffix}", "GEO-Web,geo-,Web"},
		"blanks":                              {"geo-web", "", "${ name.suffix }", "web"},
		"segment":                             {"geo-web", "", "<${agent.segment}>", "<alpha>"},
		"escaped":                             {"geo-web", "", "$${name.full} ${name.suffix}", "${name.full} web"},
		"nothing to replace":                  {"geo-web", "", "a $ b {c}", "a $ b {c}"},
		"no interpolation of what was put in": {"geo-${name.full}", "", "${name.suffix}", "${name.full}"},
	} {
		q := &query.Query{
			Name: "geo-", Template: query.Template{Type: query.PrefixMatch, Regexp: tt.regexp},
			Service: query.Service{Service: tt.service, Tags: []string{tt.service}, NodeMeta: map[string]string{"k": tt.service}},
		}
		got, err := q.Render(query.Asked{Name: tt.asked, Segment: "alpha"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s := got.Service; s.Service != tt.want || s.Tags[0] != tt.want || s.NodeMeta["k"] != tt.want {
			t.Errorf("%s: %+v, want %q", name, s, tt.want)
		}
		if q.Service.Tags[0] != tt.service || q.Service.NodeMeta["k"] != tt.service {
			t.Errorf("%s: the template itself was changed: %+v", name, q.Service)
		}
	}
}

// TestRenderFields: every text of a service may hold interpolations.
func TestRenderFields(t *testing.T) {
	const v = "${name.suffix}"
	q := &query.Query{
		Name: "p-", Template: query.Template{Type: query.PrefixMatch, RemoveEmptyTags: true},
		DNS: query.DNS{TTL: "5s"},
		Service: query.Service{
			Service: v, Near: v, Tags: []string{"!" + v, "${match(1)}"}, IgnoreCheckIDs: []string{v},
			NodeMeta: map[string]string{"a": v}, ServiceMeta: map[string]string{"b": v},
			Failover: query.Failover{Datacenters: []string{v}, Targets: []query.Target{{Peer: v, Datacenter: v}}},
		},
	}
	got, err := q.Render(query.Asked{Name: "p-x"})
	if err != nil {
		t.Fatal(err)
	}
	s := got.Service
	if s.Service != "x" || s.Near != "x" || !slices.Equal(s.Tags, []string{"!x"}) || s.IgnoreCheckIDs[0] != "x" ||
		s.NodeMeta["a"] != "x" || s.ServiceMeta["b"] != "x" || s.Failover.Datacenters[0] != "x" ||
		s.Failover.Targets[0] != (query.Target{Peer: "x", Datacenter: "x"}) || got.DNS.TTL != "5s" {
		t.Errorf("%+v", got)
	}
	q.Template.RemoveEmptyTags = false
	if got, err = q.Render(query.Asked{Name: "p-x"}); err != nil || !slices.Equal(got.Service.Tags, []string{"!x", ""}) {
		t.Errorf("empty tags stay: %v, %v", got, err)
	}
}

func TestCompile(t *testing.T) {
	for name, tt := range map[string]struct{ typ, regexp, service, want string }{
		"no template":     {"", "(", "${x}", ""},
		"right":           {query.PrefixMatch, "^(.*)$", "${match(1)}", ""},
		"type":            {"magic", "", "x", "Bad Template.Type 'magic'"},
		"regexp":          {query.PrefixMatch, "(", "x", "Bad Regexp: error parsing regexp: missing closing ): `(`"},
		"unknown":         {query.PrefixMatch, "", "${nope}", "Bad format '${nope}' in Service.Service: unknown variable"},
		"no group number": {query.PrefixMatch, "", "${match(x)}", "Bad format '${match(x)}' in Service.Service: match wants"},
		"not closed":      {query.PrefixMatch, "", "${name.full", "Bad format '${name.full' in Service.Service: "},
		"no bracket":      {query.PrefixMatch, "", "${match(1}", "Bad format '${match(1}' in Service.Service: unknown"},
	} {
		q := &query.Query{Template: query.Template{Type: tt.typ, Regexp: tt.regexp}, Service: query.Service{Service: tt.service}}
		err := q.Compile()
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestPlan(t *testing.T) {
	known := []string{"dc1", "near", "mid", "far"} // nearest first
	for name, tt := range map[string]struct {
		failover query.Failover
		want     string
	}{
		"none":                    {query.Failover{}, ""},
		"the nearest":             {query.Failover{NearestN: 2}, "near mid"},
		"more than there are":     {query.Failover{NearestN: 9}, "near mid far"},
		"a list":                  {query.Failover{Datacenters: []string{"far", "near"}}, "far near"},
		"both, each once":         {query.Failover{NearestN: 1, Datacenters: []string{"far", "near"}}, "near far"},
		"unknown ones":            {query.Failover{Datacenters: []string{"nope", "far", "FAR"}}, "far"},
		"not the own one":         {query.Failover{NearestN: 1, Datacenters: []string{"DC1"}}, "near"},
		"targets":                 {query.Failover{Targets: []query.Target{{Datacenter: "mid"}, {Peer: "p"}, {Datacenter: "near"}}}, "mid near"},
		"a target without a name": {query.Failover{Targets: []query.Target{{}}}, ""},
	} {
		if got := strings.Join(tt.failover.Plan("dc1", known), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
		if got := tt.failover.Wanted(); got != (name != "none") {
			t.Errorf("%s: wanted %v", name, got)
		}
	}
}

func TestKeeps(t *testing.T) {
	inst := func(status ...catalog.Status) *catalog.Instance {
		i := &catalog.Instance{
			Node:    &catalog.Node{Meta: map[string]string{"os": "linux", "empty": ""}},
			Service: &catalog.Service{Tags: []string{"Blue", "v1"}, Meta: map[string]string{"v": "1"}},
		}
		for n, s := range status {
			i.Checks = append(i.Checks, &catalog.Check{CheckID: string(rune('a' + n)), Status: s})
		}
		return i
	}
	for name, tt := range map[string]struct {
		service query.Service
		inst    *catalog.Instance
		want    bool
	}{
		"no checks":              {query.Service{}, inst(), true},
		"warning":                {query.Service{}, inst(catalog.Warning), true},
		"warning, only passing":  {query.Service{OnlyPassing: true}, inst(catalog.Passing, catalog.Warning), false},
		"passing, only passing":  {query.Service{OnlyPassing: true}, inst(catalog.Passing), true},
		"critical":               {query.Service{}, inst(catalog.Critical), false},
		"critical, ignored":      {query.Service{IgnoreCheckIDs: []string{"b"}}, inst(catalog.Passing, catalog.Critical), true},
		"another one is ignored": {query.Service{IgnoreCheckIDs: []string{"a"}}, inst(catalog.Passing, catalog.Critical), false},
		"warning stays":          {query.Service{IgnoreCheckIDs: []string{"b"}, OnlyPassing: true}, inst(catalog.Warning, catalog.Critical), false},
		"tag":                    {query.Service{Tags: []string{"blue"}}, inst(), true},
		"both tags":              {query.Service{Tags: []string{"blue", "V1"}}, inst(), true},
		"one is missing":         {query.Service{Tags: []string{"blue", "v2"}}, inst(), false},
		"unwanted tag":           {query.Service{Tags: []string{"blue", "!v1"}}, inst(), false},
		"unwanted, not there":    {query.Service{Tags: []string{"!v2"}}, inst(), true},
		"an empty tag":           {query.Service{Tags: []string{""}}, inst(), false},
		"node meta":              {query.Service{NodeMeta: map[string]string{"os": "linux"}}, inst(), true},
		"other node meta":        {query.Service{NodeMeta: map[string]string{"os": "bsd"}}, inst(), false},
		"absent is not empty":    {query.Service{NodeMeta: map[string]string{"rack": ""}}, inst(), false},
		"empty node meta":        {query.Service{NodeMeta: map[string]string{"empty": ""}}, inst(), true},
		"service meta":           {query.Service{ServiceMeta: map[string]string{"v": "1"}}, inst(), true},
		"other service meta":     {query.Service{ServiceMeta: map[string]string{"v": "2"}}, inst(), false},
	} {
		if got := tt.service.Keeps(tt.inst); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
