package acl

import (
	"fmt"

	"consul.internal/internal/hclconf"
)

// Access is how far a rule lets somebody go. A higher one includes the lower
// ones, except that Deny refuses all.
type Access uint8

// The accesses. None is the absence of a rule.
const (
	None Access = iota
	Deny
	Read
	List // of keys: also to list them
	Write
)

var accessNames = [...]string{"", "deny", "read", "list", "write"}

// String is the word that rules use.
func (a Access) String() string { return accessNames[min(int(a), len(accessNames)-1)] }

// Resource is a kind of things that rules speak of.
type Resource uint8

// The resources. Those from Agent on are told apart by name.
const (
	ACL Resource = iota
	Keyring
	Mesh
	Operator
	Peering
	Agent
	Event
	Intention
	Key
	Node
	Query
	Service
	Session
	resources // how many there are
)

var resourceNames = [resources]string{
	"acl", "keyring", "mesh", "operator", "peering",
	"agent", "event", "intention", "key", "node", "query", "service", "session",
}

// String is the word that rules and refusals use.
func (r Resource) String() string { return resourceNames[r] }

// named reports whether things of the resource are told apart by name.
func (r Resource) named() bool { return r >= Agent }

// Rules are what one policy says, or several together.
type Rules struct {
	whole [resources]Access // of the resources without names
	names [resources]names  // of those with names
}

// names are the rules of things that are told apart by name.
type names struct {
	exact, prefix map[string]Access
}

func (n *names) set(prefix bool, name string, a Access) {
	m := &n.exact
	if prefix {
		m = &n.prefix
	}
	if *m == nil {
		*m = map[string]Access{}
	}
	(*m)[name] = stronger((*m)[name], a)
}

// stronger is what holds where several policies speak of the same thing: a
// refusal before all, else the one that goes furthest.
func stronger(a, b Access) Access {
	if a == Deny || b == Deny {
		return Deny
	}
	return max(a, b)
}

// Merge joins the rules of several policies.
func Merge(all ...*Rules) *Rules {
	sum := &Rules{}
	for _, r := range all {
		for i := range resources {
			sum.whole[i] = stronger(sum.whole[i], r.whole[i])
			for name, a := range r.names[i].exact {
				sum.names[i].set(false, name, a)
			}
			for name, a := range r.names[i].prefix {
				sum.names[i].set(true, name, a)
			}
		}
	}
	return sum
}

// rule is a block of a resource with names. The source of a key's sentinel is
// taken and has no effect, as in the free product.
type rule struct {
	Policy     string         `hcl:"policy"`
	Intentions string         `hcl:"intentions"`
	Sentinel   map[string]any `hcl:"sentinel"`
}

// document is the text of a policy.
type document struct {
	ACL      string `hcl:"acl"`
	Keyring  string `hcl:"keyring"`
	Mesh     string `hcl:"mesh"`
	Operator string `hcl:"operator"`
	Peering  string `hcl:"peering"`

	Agent         map[string]rule `hcl:"agent"`
	AgentPrefix   map[string]rule `hcl:"agent_prefix"`
	Event         map[string]rule `hcl:"event"`
	EventPrefix   map[string]rule `hcl:"event_prefix"`
	Key           map[string]rule `hcl:"key"`
	KeyPrefix     map[string]rule `hcl:"key_prefix"`
	Node          map[string]rule `hcl:"node"`
	NodePrefix    map[string]rule `hcl:"node_prefix"`
	Query         map[string]rule `hcl:"query"`
	QueryPrefix   map[string]rule `hcl:"query_prefix"`
	Service       map[string]rule `hcl:"service"`
	ServicePrefix map[string]rule `hcl:"service_prefix"`
	Session       map[string]rule `hcl:"session"`
	SessionPrefix map[string]rule `hcl:"session_prefix"`
}

// maxRules bounds the text of one policy: far more than a person writes, and
// little enough to be parsed at every use.
const maxRules = 512 << 10

// Parse reads the text of a policy, HCL or JSON.
func Parse(text string) (*Rules, error) {
	if len(text) > maxRules {
		return nil, fmt.Errorf("the rules have %d bytes; at most %d are taken", len(text), maxRules)
	}
	tree, err := hclconf.Parse("rules", []byte(text))
	if err != nil {
		return nil, err
	}
	var d document
	if _, err := hclconf.Decode(tree, &d, hclconf.Options{}); err != nil {
		return nil, err
	}
	r := &Rules{}
	for res, word := range map[Resource]string{ACL: d.ACL, Keyring: d.Keyring, Mesh: d.Mesh, Operator: d.Operator, Peering: d.Peering} {
		if word == "" {
			continue
		}
		if r.whole[res] = access(word, false); r.whole[res] == None {
			return nil, fmt.Errorf("Invalid %s policy: %#v", res, word)
		}
	}
	for _, part := range []struct {
		resource Resource
		prefix   bool
		rules    map[string]rule
	}{
		{Agent, false, d.Agent}, {Agent, true, d.AgentPrefix},
		{Event, false, d.Event}, {Event, true, d.EventPrefix},
		{Key, false, d.Key}, {Key, true, d.KeyPrefix},
		{Node, false, d.Node}, {Node, true, d.NodePrefix},
		{Query, false, d.Query}, {Query, true, d.QueryPrefix},
		{Service, false, d.Service}, {Service, true, d.ServicePrefix},
		{Session, false, d.Session}, {Session, true, d.SessionPrefix},
	} {
		for name, rule := range part.rules {
			if err := r.enter(part.resource, part.prefix, name, rule); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// enter takes one block in.
func (r *Rules) enter(res Resource, prefix bool, name string, rule rule) error {
	kind := res.String()
	if prefix {
		kind += "_prefix"
	}
	a := access(rule.Policy, res == Key)
	if a == None {
		return fmt.Errorf("Invalid %s policy: %#v of %q", kind, rule.Policy, name)
	}
	r.names[res].set(prefix, name, a)
	if res != Service {
		if rule.Intentions != "" {
			return fmt.Errorf("Invalid %s policy: %q has intentions, which only services have", kind, name)
		}
		return nil
	}
	intentions := Read // whoever knows of a service may know who speaks to it
	switch {
	case rule.Intentions != "":
		if intentions = access(rule.Intentions, false); intentions == None {
			return fmt.Errorf("Invalid %s intentions policy: %#v of %q", kind, rule.Intentions, name)
		}
	case a == Deny:
		intentions = Deny
	}
	r.names[Intention].set(prefix, name, intentions)
	return nil
}

// access reads a word.
func access(word string, list bool) Access {
	switch word {
	case "deny":
		return Deny
	case "read":
		return Read
	case "write":
		return Write
	case "list":
		if list {
			return List
		}
	}
	return None
}
