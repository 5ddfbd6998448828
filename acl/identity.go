package acl

import (
	"encoding/hex"
	"fmt"
	"regexp"
)

// ServiceIdentity grants what an instance of a service needs.
type ServiceIdentity struct {
	ServiceName string
	Datacenters []string `json:",omitempty"`
}

// NodeIdentity grants what the agent of a node needs, in its datacenter.
type NodeIdentity struct {
	NodeName   string
	Datacenter string
}

// The names that identities may have: they become part of rules.
var (
	serviceIdentityName = regexp.MustCompile(`^[a-z0-9]([a-z0-9\-_]*[a-z0-9])?$`)
	nodeIdentityName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9\-_]*[a-z0-9])?$`)
)

// maxIdentityName bounds the names of identities.
const maxIdentityName = 256

// Validate refuses what cannot be part of rules.
func (s *ServiceIdentity) Validate() error {
	switch {
	case s.ServiceName == "":
		return fmt.Errorf("Service identity is missing the service name field on this token")
	case len(s.ServiceName) > maxIdentityName || !serviceIdentityName.MatchString(s.ServiceName):
		return fmt.Errorf("Service identity %q has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed", s.ServiceName)
	}
	return nil
}

// Validate refuses what cannot be part of rules.
func (n *NodeIdentity) Validate() error {
	switch {
	case n.NodeName == "":
		return fmt.Errorf("Node identity is missing the node name field on this token")
	case n.Datacenter == "":
		return fmt.Errorf("Node identity is missing the datacenter field on this token")
	case len(n.NodeName) > maxIdentityName || !nodeIdentityName.MatchString(n.NodeName):
		return fmt.Errorf("Node identity has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed")
	}
	return nil
}

// Policy is what the identity grants.
func (s *ServiceIdentity) Policy() *Policy {
	return synthetic(fmt.Sprintf("synthetic policy generated from the service identity %q", s.ServiceName), s.Datacenters,
		block("service", s.ServiceName, Write)+block("service", s.ServiceName+"-sidecar-proxy", Write)+
			block("service_prefix", "", Read)+block("node_prefix", "", Read))
}

// Policy is what the identity grants.
func (n *NodeIdentity) Policy() *Policy {
	return synthetic(fmt.Sprintf("synthetic policy generated from the node identity %q", n.NodeName), []string{n.Datacenter},
		block("node", n.NodeName, Write)+block("service_prefix", "", Read))
}

func block(kind, name string, a Access) string {
	return fmt.Sprintf("\n%s %q {\n\tpolicy = %q\n}", kind, name, a)
}

// sealOfNothing ends the names of policies that nobody wrote, as tools know them.
const sealOfNothing = "6c62272e07bb014262b821756295c58d"

// synthetic is a policy that nobody wrote.
func synthetic(description string, datacenters []string, rules string) *Policy {
	name := hex.EncodeToString([]byte(rules)) + sealOfNothing
	p := &Policy{ID: name, Name: "synthetic-policy-" + name, Description: description, Rules: rules, Datacenters: datacenters}
	p.Seal()
	return p
}
