package access

import (
	"fmt"
	"os"

	"github.com/hashicorp/consul/api"

	"consul.internal/internal/hclconf"
)

// templateFile is what a file of templated policies holds, in HCL or JSON: a block for
// each, with the fields that tokens and roles have in the HTTP API,
//
//	TemplatedPolicies {
//	  TemplateName = "builtin/service"
//	  TemplateVariables { Name = "web" }
//	}
type templateFile struct {
	List []struct {
		Name        string             `hcl:"TemplateName"`
		Variables   *templateVariables `hcl:"TemplateVariables"`
		Datacenters []string           `hcl:"Datacenters"`
	} `hcl:"TemplatedPolicies"`
}

type templateVariables struct {
	Name string `hcl:"Name"`
}

// given are the variables as the API has them.
func (v *templateVariables) given() *api.ACLTemplatedPolicyVariables {
	if v == nil || v.Name == "" {
		return nil
	}
	return &api.ACLTemplatedPolicyVariables{Name: v.Name}
}

// readTemplates reads the templated policies that a file holds.
func readTemplates(path string) (out []*api.ACLTemplatedPolicy, err error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read templated policies: %w", err)
	}
	n, err := hclconf.Parse(path, src)
	if err != nil {
		return nil, err
	}
	var f templateFile
	if _, err := hclconf.Decode(n, &f, hclconf.Options{Loose: true}); err != nil {
		return nil, err
	}
	for i, p := range f.List {
		if p.Name == "" {
			return nil, fmt.Errorf("%s: TemplatedPolicies[%d] has no TemplateName", path, i)
		}
		out = append(out, &api.ACLTemplatedPolicy{TemplateName: p.Name, TemplateVariables: p.Variables.given(), Datacenters: p.Datacenters})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no templated policy: want blocks such as TemplatedPolicies { TemplateName = \"builtin/dns\" }", path)
	}
	return out, nil
}
