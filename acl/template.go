package acl

import (
	"fmt"
	"strings"
)

// TemplatedPolicy grants what a template says of a name.
type TemplatedPolicy struct {
	TemplateID        string `json:",omitempty"` // that of TemplateName
	TemplateName      string
	TemplateVariables *TemplateVariables `json:",omitempty"`
	Datacenters       []string           `json:",omitempty"`
}

// TemplateVariables fill a template.
type TemplateVariables struct {
	Name string `json:"name"`
}

// Template is a policy with a name to be filled in.
type Template struct {
	ID           string `json:"-"`
	TemplateName string
	Schema       string
	Template     string
	Description  string
}

// nameSchema is the JSON schema of the variables of a template that needs a name.
const nameSchema = `{
	"type": "object",
	"properties": {
		"name": { "type": "string", "$ref": "#/definitions/min-length-one" }
	},
	"required": ["name"],
	"definitions": {
		"min-length-one": {
			"type": "string",
			"minLength": 1
		}
	}
}`

// templateIDs is how the IDs of all templates begin.
const templateIDs = "00000000-0000-0000-0000-00000000000"

// hole is where a template takes the name.
const hole = "{{.Name}}"

// Templates returns the templates that there are, in the order of their names.
func Templates() []Template {
	instance := block("service", hole, Write) + block("service", hole+"-sidecar-proxy", Write) +
		block("service_prefix", "", Read) + block("node_prefix", "", Read)
	return []Template{
		{templateIDs + "7", "builtin/api-gateway", nameSchema, "mesh = \"read\"" + block("node_prefix", "", Read) + block("service_prefix", "", Read) + block("service", hole, Write),
			"Gives the token or role permissions for a Consul api gateway"},
		{templateIDs + "5", "builtin/dns", "", block("node_prefix", "", Read) + block("service_prefix", "", Read) + block("query_prefix", "", Read),
			"Gives the token or role permissions for the DNS to discover services in the network."},
		{templateIDs + "4", "builtin/node", nameSchema, block("node", hole, Write) + block("service_prefix", "", Read),
			"Gives the token or role permissions for a node and all services to be discoverable"},
		{templateIDs + "8", "builtin/nomad-client", "", block("agent_prefix", "", Read) + block("node_prefix", "", Read) + block("service_prefix", "", Write) + block("key_prefix", "", Read),
			"Gives the token or role permissions required for integration with a nomad client."},
		{templateIDs + "6", "builtin/nomad-server", "", "acl  = \"write\"" + block("agent_prefix", "", Read) + block("node_prefix", "", Read) + block("service_prefix", "", Write),
			"Gives the token or role permissions required for integration with a nomad server."},
		{templateIDs + "3", "builtin/service", nameSchema, instance,
			"Gives the token or role permissions to register a service and discover services in the Consul catalog. It also gives the specified service's sidecar proxy the permission to discover and route traffic to other services."},
	}
}

// FindTemplate returns a template by name.
func FindTemplate(name string) (Template, bool) {
	for _, t := range Templates() {
		if t.TemplateName == name {
			return t, true
		}
	}
	return Template{}, false
}

// Needs reports whether the template wants a name.
func (t *Template) Needs() bool { return t.Schema != "" }

// Validate refuses a grant that cannot become rules.
func (t *TemplatedPolicy) Validate() error {
	template, ok := FindTemplate(t.TemplateName)
	if !ok {
		return fmt.Errorf("no such ACL templated policy with Name %q", t.TemplateName)
	}
	name := ""
	if t.TemplateVariables != nil {
		name = t.TemplateVariables.Name
	}
	switch {
	case !template.Needs():
		return nil
	case name == "":
		return fmt.Errorf("templated policy %q needs a name in its variables", t.TemplateName)
	case len(name) > maxIdentityName || !serviceIdentityName.MatchString(name):
		return fmt.Errorf("templated policy %q: %q is not a name. Only lowercase alphanumeric characters, '-' and '_' are allowed", t.TemplateName, name)
	}
	return nil
}

// Policy is what the template grants; it has been validated.
func (t *TemplatedPolicy) Policy() *Policy {
	template, _ := FindTemplate(t.TemplateName)
	name := ""
	if t.TemplateVariables != nil {
		name = t.TemplateVariables.Name
	}
	return synthetic(fmt.Sprintf("synthetic policy generated from templated policy: %s", t.TemplateName), t.Datacenters,
		strings.ReplaceAll(template.Template, hole, name))
}
