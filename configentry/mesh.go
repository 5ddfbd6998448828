package configentry

import (
	"cmp"
	"slices"
	"time"

	"consul.internal/internal/fault"
)

// Mesh holds settings of the whole mesh.
type Mesh struct {
	TransparentProxy struct {
		MeshDestinationsOnly bool `json:",omitempty"`
	}
	AllowEnablingPermissiveMutualTLS bool         `json:",omitempty"`
	ValidateClusters                 bool         `json:",omitempty"`
	TLS                              *MeshTLS     `json:",omitempty"`
	HTTP                             *MeshHTTP    `json:",omitempty"`
	Peering                          *MeshPeering `json:",omitempty"`
}

// ServiceIntentions say who may use a service.
type ServiceIntentions struct {
	Sources []*Source       `json:",omitempty"`
	JWT     *JWTRequirement `json:",omitempty"`
}

// ExportedServices say which services others may see.
type ExportedServices struct {
	Services []ExportedService `json:",omitempty"`
}

// Parts of these.
type (
	// MeshTLS says how proxies do TLS.
	MeshTLS struct {
		Incoming *MeshTLSWay `json:",omitempty"`
		Outgoing *MeshTLSWay `json:",omitempty"`
	}
	// MeshTLSWay says it of one way.
	MeshTLSWay struct {
		TLSMinVersion string   `json:",omitempty"`
		TLSMaxVersion string   `json:",omitempty"`
		CipherSuites  []string `json:",omitempty"`
	}
	// MeshHTTP says how proxies do HTTP.
	MeshHTTP struct {
		SanitizeXForwardedClientCert bool
		Incoming                     *MeshHTTPWay `json:",omitempty"`
	}
	// MeshHTTPWay says it of one way.
	MeshHTTPWay struct {
		RequestNormalization *RequestNormalization `json:",omitempty"`
	}
	// RequestNormalization is what proxies do with odd requests.
	RequestNormalization struct {
		InsecureDisablePathNormalization bool   `json:",omitempty"`
		MergeSlashes                     bool   `json:",omitempty"`
		PathWithEscapedSlashesAction     string `json:",omitempty"`
		HeadersWithUnderscoresAction     string `json:",omitempty"`
	}
	// MeshPeering says how peers are reached.
	MeshPeering struct {
		PeerThroughMeshGateways bool `json:",omitempty"`
	}
	// Source is one who may, or may not.
	Source struct {
		Name             string
		Peer             string        `json:",omitempty"`
		Partition        string        `json:",omitempty"`
		Namespace        string        `json:",omitempty"`
		SamenessGroup    string        `json:",omitempty"`
		Action           string        `json:",omitempty"`
		Permissions      []*Permission `json:",omitempty"`
		Precedence       int
		Type             string
		Description      string            `json:",omitempty"`
		LegacyID         string            `json:",omitempty"`
		LegacyMeta       map[string]string `json:",omitempty"`
		LegacyCreateTime *time.Time        `json:",omitempty"`
		LegacyUpdateTime *time.Time        `json:",omitempty"`
	}
	// Permission is what of a service one may use.
	Permission struct {
		Action string
		HTTP   *PermissionHTTP `json:",omitempty"`
		JWT    *JWTRequirement `json:",omitempty"`
	}
	// PermissionHTTP says it of HTTP.
	PermissionHTTP struct {
		PathExact  string            `json:",omitempty"`
		PathPrefix string            `json:",omitempty"`
		PathRegex  string            `json:",omitempty"`
		Header     []PermissionField `json:",omitempty"`
		Methods    []string          `json:",omitempty"`
	}
	// PermissionField is a header of a request.
	PermissionField struct {
		Name       string
		Present    bool   `json:",omitempty"`
		Exact      string `json:",omitempty"`
		Prefix     string `json:",omitempty"`
		Suffix     string `json:",omitempty"`
		Contains   string `json:",omitempty"`
		Regex      string `json:",omitempty"`
		Invert     bool   `json:",omitempty"`
		IgnoreCase bool   `json:",omitempty"`
	}
	// ExportedService is one service, and for whom.
	ExportedService struct {
		Name      string
		Namespace string     `json:",omitempty"`
		Consumers []Consumer `json:",omitempty"`
	}
	// Consumer is one of them.
	Consumer struct {
		Partition     string `json:",omitempty"`
		Peer          string `json:",omitempty" alias:"peername"`
		SamenessGroup string `json:",omitempty"`
	}
)

func (m *Mesh) normalize() {}

func (m *Mesh) validate(*Entry) error {
	if m.TLS == nil {
		return nil
	}
	for _, w := range []*MeshTLSWay{m.TLS.Incoming, m.TLS.Outgoing} {
		if w == nil {
			continue
		}
		low, ok := tlsVersion(w.TLSMinVersion)
		high, also := tlsVersion(w.TLSMaxVersion)
		if !ok || !also {
			return fault.Newf(fault.Invalid, "invalid TLS version: it must be TLS_AUTO, TLSv1_0, TLSv1_1, TLSv1_2 or TLSv1_3")
		}
		if low > 0 && high > 0 && low > high {
			return fault.Newf(fault.Invalid, "configuring a maximum TLS version lower than the minimum: %s < %s", w.TLSMaxVersion, w.TLSMinVersion)
		}
	}
	return nil
}

// tlsVersion orders versions; 0 is any.
func tlsVersion(s string) (int, bool) {
	if s == "" {
		return 0, true
	}
	i := slices.Index([]string{"TLS_AUTO", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"}, s)
	return i, i >= 0
}

func (s *ServiceIntentions) normalize() {
	s.Sources = slices.DeleteFunc(s.Sources, func(src *Source) bool { return src == nil })
	for _, src := range s.Sources {
		if src.Type == "" {
			src.Type = "consul"
		}
	}
}

// Precedences of intentions, as documented: the exact before the wildcard, the
// destination before the source.
const (
	precedenceExact      = 9
	precedenceAnySource  = 8
	precedenceAnyService = 6
	precedenceAny        = 5
)

func precedence(destination, source string) int {
	switch {
	case destination != "*" && source != "*":
		return precedenceExact
	case destination != "*":
		return precedenceAnySource
	case source != "*":
		return precedenceAnyService
	}
	return precedenceAny
}

func (s *ServiceIntentions) validate(e *Entry) error {
	if len(s.Sources) == 0 {
		return fault.Newf(fault.Invalid, "At least one source is required")
	}
	seen := map[[2]string]bool{}
	for i, src := range s.Sources {
		src.Precedence = precedence(e.Name, src.Name)
		switch {
		case src.Name == "":
			return fault.Newf(fault.Invalid, "Sources[%d].Name is required", i)
		case src.Type != "consul":
			return fault.Newf(fault.Invalid, "Sources[%d].Type must be set to 'consul'", i)
		case src.Action != "" && len(src.Permissions) > 0:
			return fault.Newf(fault.Invalid, "Sources[%d].Action must be omitted if Permissions are specified", i)
		case len(src.Permissions) > 0 && e.Name == "*":
			return fault.Newf(fault.Invalid, "Sources[%d].Permissions cannot be specified on intentions with wildcarded destinations", i)
		case len(src.Permissions) == 0 && src.Action != "allow" && src.Action != "deny":
			return fault.Newf(fault.Invalid, "Sources[%d].Action must be set to 'allow' or 'deny'", i)
		case len(src.Description) > maxMetaValue:
			return fault.Newf(fault.Invalid, "Sources[%d].Description exceeds maximum length %d", i, maxMetaValue)
		}
		for j, p := range src.Permissions {
			if p == nil || p.Action != "allow" && p.Action != "deny" {
				return fault.Newf(fault.Invalid, "Sources[%d].Permissions[%d].Action must be set to 'allow' or 'deny'", i, j)
			}
			if p.HTTP != nil && set(p.HTTP.PathExact, p.HTTP.PathPrefix, p.HTTP.PathRegex) > 1 {
				return fault.Newf(fault.Invalid, "Sources[%d].Permissions[%d].HTTP should only contain at most one of PathExact, PathPrefix, or PathRegex", i, j)
			}
		}
		key := [2]string{src.Peer, src.Name}
		if seen[key] {
			return fault.Newf(fault.Invalid, "Sources[%d] defines %q more than once", i, src.Name)
		}
		seen[key] = true
	}
	slices.SortStableFunc(s.Sources, func(a, b *Source) int {
		return cmp.Or(cmp.Compare(b.Precedence, a.Precedence), cmp.Compare(a.Name, b.Name))
	})
	return nil
}

func (x *ExportedServices) normalize() {}

func (x *ExportedServices) validate(e *Entry) error {
	if e.Name != ExportedServicesName {
		return fault.Newf(fault.Invalid, `exported-services Name must be "default"`)
	}
	for i, s := range x.Services {
		if s.Name == "" {
			return fault.Newf(fault.Invalid, "Services[%d]: service name cannot be empty", i)
		}
		if len(s.Consumers) == 0 {
			return fault.Newf(fault.Invalid, "Services[%d]: must have at least one consumer", i)
		}
		for j, c := range s.Consumers {
			switch {
			case c.Partition != "" || c.SamenessGroup != "":
				return fault.Newf(fault.Invalid, "Services[%d].Consumers[%d]: partitions and sameness groups are an enterprise-only feature", i, j)
			case c.Peer == "":
				return fault.Newf(fault.Invalid, "Services[%d].Consumers[%d]: must define Peer", i, j)
			case c.Peer == "*":
				return fault.Newf(fault.Invalid, "Services[%d].Consumers[%d]: exporting to all peers (wildcard) is not supported", i, j)
			}
		}
	}
	return nil
}
