package daemon_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

// TestQueryOfficialClient walks a prepared query's life with the official client
// and in DNS, over a restart.
func TestQueryOfficialClient(t *testing.T) {
	addr, dir := freeAddr(t), t.TempDir()
	n := start(t, addr, "-server", "-bootstrap-expect=1", "-data-dir="+dir)
	n.external(t, "n1", "web", api.HealthPassing, "a")
	n.external(t, "n2", "web", api.HealthWarning, "b")
	n.external(t, "n3", "web", api.HealthCritical, "b")
	queries := n.client.PreparedQuery()

	id, _, err := queries.Create(&api.PreparedQueryDefinition{
		Name: "Web-B", Service: api.ServiceQuery{Service: "web", Tags: []string{"b", "!a"}}, DNS: api.QueryDNSOptions{TTL: "7s"},
	}, nil)
	if err != nil || id == "" {
		t.Fatal(id, err)
	}
	got, meta, err := queries.Get(id, nil)
	if err != nil || len(got) != 1 || got[0].Name != "Web-B" || !slices.Equal(got[0].Service.Tags, []string{"b", "!a"}) || meta.LastIndex == 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, name := range []string{id, "Web-B", "web-b"} {
		res, _, err := queries.Execute(name, nil)
		if err != nil || len(res.Nodes) != 1 || res.Nodes[0].Node.Node != "n2" || res.Datacenter != "dc1" || res.Service != "web" || res.DNS.TTL != "7s" {
			t.Errorf("execute %s: %+v, %v", name, res, err)
		}
	}
	answer := n.dig(t, "web-b.query.consul.", dns.TypeSRV)
	if len(answer.Answer) != 1 || answer.Answer[0].(*dns.SRV).Target != "n2.node.dc1.consul." || answer.Answer[0].Header().Ttl != 7 {
		t.Errorf("in DNS: %v", answer)
	}
	got[0].Name, got[0].Service.OnlyPassing = "renamed", true
	if _, err := queries.Update(got[0], nil); err != nil {
		t.Fatal(err)
	}
	if r := n.dig(t, "renamed.query.dc1.consul.", dns.TypeA); r.Rcode != dns.RcodeNameError {
		t.Errorf("only passing: %v", r)
	}
	if r := n.dig(t, "web-b.query.consul.", dns.TypeA); r.Rcode != dns.RcodeNameError {
		t.Errorf("the old name: %v", r)
	}
	_, _, err = queries.Create(&api.PreparedQueryDefinition{
		Name: "any-", Template: api.QueryTemplate{Type: "name_prefix_match", Regexp: "^any-(.+)$"},
		Service: api.ServiceQuery{Service: "${match(1)}"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := n.dig(t, "any-web.query.consul.", dns.TypeA); len(r.Answer) != 1 { // n1 and n2 have one address
		t.Errorf("template: %v", r)
	}
	if list, _, err := queries.List(nil); err != nil || len(list) != 2 {
		t.Errorf("list: %v, %v", list, err)
	}

	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = start(t, addr, "-server", "-bootstrap-expect=1", "-data-dir="+dir)
	queries = n.client.PreparedQuery()
	if list, _, err := queries.List(nil); err != nil || len(list) != 2 {
		t.Errorf("list after a restart: %v, %v", list, err)
	}
	if _, err := queries.Delete(id, nil); err != nil {
		t.Fatal(err)
	}
	_, _, err = queries.Execute(id, nil)
	if status, ok := errors.AsType[api.StatusError](err); !ok || status.Code != http.StatusNotFound {
		t.Errorf("deleted: %v", err)
	}
}
