package vet

import (
	"consul.internal/acl"
	"consul.internal/configentry"
)

// Needs is the right that something takes.
type Needs struct {
	Resource acl.Resource
	Name     string
	Free     bool // none
}

// ConfigRead is what it takes to see an entry. The mesh's right is the operator's
// where no rule speaks of the mesh.
func ConfigRead(kind, name string) Needs {
	switch kind {
	case configentry.KindServiceDefaults, configentry.KindServiceResolver, configentry.KindServiceRouter, configentry.KindServiceSplitter,
		configentry.KindIngressGateway, configentry.KindTerminatingGateway, configentry.KindAPIGateway, configentry.KindBoundAPIGateway:
		return Needs{Resource: acl.Service, Name: name}
	case configentry.KindServiceIntentions:
		return Needs{Resource: acl.Intention, Name: name}
	case configentry.KindProxyDefaults:
		return Needs{Free: true}
	case configentry.KindRequestLimit:
		return Needs{Resource: acl.Operator}
	}
	return Needs{Resource: acl.Mesh}
}

// ConfigWrite is what it takes to write an entry.
func ConfigWrite(kind, name string) Needs {
	switch kind {
	case configentry.KindServiceDefaults, configentry.KindServiceResolver, configentry.KindServiceRouter, configentry.KindServiceSplitter:
		return Needs{Resource: acl.Service, Name: name}
	case configentry.KindServiceIntentions:
		return Needs{Resource: acl.Intention, Name: name}
	case configentry.KindRequestLimit:
		return Needs{Resource: acl.Operator}
	}
	return Needs{Resource: acl.Mesh}
}

// Entry reports whether a config entry may be seen.
func (v *Sight) Entry(e *configentry.Entry) bool {
	n := ConfigRead(e.Kind, e.Name)
	return n.Free || v.Sees(n.Resource, n.Name)
}
