package configentry

import (
	"strings"
	"time"

	"consul.internal/internal/fault"
)

// HTTPRoute leads from API gateways to services, by what requests ask.
type HTTPRoute struct {
	Parents   []Reference
	Rules     []HTTPRule
	Hostnames []string
	Status    Status
}

// TCPRoute leads from API gateways to services.
type TCPRoute struct {
	Parents  []Reference
	Services []TCPService
	Status   Status
}

// Parts of the routes.
type (
	// TCPService is where a TCP route leads.
	TCPService struct {
		Name      string
		TLS       *ServiceTLS     `json:",omitempty"`
		Limits    *UpstreamLimits `json:",omitempty"`
		Partition string          `json:",omitempty"`
		Namespace string          `json:",omitempty"`
	}
	// HTTPRule is one rule.
	HTTPRule struct {
		Filters         HTTPFilters
		ResponseFilters HTTPResponseFilters
		Matches         []HTTPMatch
		Services        []HTTPService
	}
	// HTTPMatch says which requests.
	HTTPMatch struct {
		Headers []HTTPHeaderMatch
		Method  string
		Path    HTTPPathMatch
		Query   []HTTPQueryMatch
	}
	// HTTPHeaderMatch says it of a header.
	HTTPHeaderMatch struct {
		Match, Name, Value string
		Invert             bool `json:",omitempty"`
	}
	// HTTPPathMatch says it of the path.
	HTTPPathMatch struct{ Match, Value string }
	// HTTPQueryMatch says it of a parameter.
	HTTPQueryMatch struct{ Match, Name, Value string }
	// HTTPFilters change requests.
	HTTPFilters struct {
		Headers       []HTTPHeaderFilter
		URLRewrite    *URLRewrite
		RetryFilter   *RetryFilter
		TimeoutFilter *TimeoutFilter
		JWT           *JWTRequirement
		ExtProc       []ExtProc
		ExtAuthz      *ExtAuthz
	}
	// HTTPResponseFilters change answers.
	HTTPResponseFilters struct{ Headers []HTTPHeaderFilter }
	// HTTPHeaderFilter changes headers.
	HTTPHeaderFilter struct {
		Add    map[string]string
		Remove []string
		Set    map[string]string
	}
	// URLRewrite changes the path.
	URLRewrite struct{ Path string }
	// RetryFilter says what is tried again.
	RetryFilter struct {
		NumRetries            uint32
		RetryOn               []string
		RetryOnStatusCodes    []uint32
		RetryOnConnectFailure bool
	}
	// TimeoutFilter bounds the time.
	TimeoutFilter struct{ RequestTimeout, IdleTimeout time.Duration }
	// ExtProc hands requests to a processor outside.
	ExtProc struct {
		StatPrefix string            `json:",omitempty"`
		Mode       string            `json:",omitempty"`
		Overrides  *ExtProcOverrides `json:",omitempty"`
	}
	// ExtProcOverrides change what is handed over.
	ExtProcOverrides struct {
		Processing *ExtProcProcessing `json:",omitempty"`
	}
	// ExtProcProcessing says it of both ways.
	ExtProcProcessing struct {
		Request  *ExtProcWay `json:",omitempty"`
		Response *ExtProcWay `json:",omitempty"`
	}
	// ExtProcWay says it of one way.
	ExtProcWay struct {
		HeadersMode  string `json:",omitempty"`
		BodyMode     string `json:",omitempty"`
		TrailersMode string `json:",omitempty"`
		MaxBodyBytes int64  `json:",omitempty"`
	}
	// HTTPService is where a rule leads.
	HTTPService struct {
		Name            string
		Weight          int
		Filters         HTTPFilters
		ResponseFilters HTTPResponseFilters
		TLS             *ServiceTLS     `json:",omitempty"`
		Limits          *UpstreamLimits `json:",omitempty"`
		Partition       string          `json:",omitempty"`
		Namespace       string          `json:",omitempty"`
	}
)

func (r *HTTPRoute) normalize() {
	parents(r.Parents)
	for i := range r.Rules {
		rule := &r.Rules[i]
		for j := range rule.Matches {
			m := &rule.Matches[j]
			m.Method = strings.ToUpper(m.Method)
			if m.Path == (HTTPPathMatch{}) {
				m.Path = HTTPPathMatch{Match: "prefix", Value: "/"}
			}
		}
		for j := range rule.Services {
			if rule.Services[j].Weight <= 0 {
				rule.Services[j].Weight = 1
			}
		}
	}
	r.Status = Status{}
}

func (r *HTTPRoute) validate(*Entry) error {
	if err := checkParents(r.Parents); err != nil {
		return err
	}
	for i, rule := range r.Rules {
		for j, m := range rule.Matches {
			if m.Method != "" && !isMethod(m.Method) {
				return fault.Newf(fault.Invalid, "Rule[%d], Match[%d], Method %q is invalid", i, j, m.Method)
			}
			switch m.Path.Match {
			case "exact", "prefix":
				if !strings.HasPrefix(m.Path.Value, "/") {
					return fault.Newf(fault.Invalid, "Rule[%d], Match[%d], Path %q must begin with '/'", i, j, m.Path.Value)
				}
			case "regex":
			default:
				return fault.Newf(fault.Invalid, "Rule[%d], Match[%d], Path type should be one of exact, prefix, or regex", i, j)
			}
		}
		for j, s := range rule.Services {
			if s.Name == "" {
				return fault.Newf(fault.Invalid, "Rule[%d], Service[%d] must have a name", i, j)
			}
		}
	}
	return nil
}

func (r *TCPRoute) normalize() {
	parents(r.Parents)
	r.Status = Status{}
}

func (r *TCPRoute) validate(*Entry) error {
	if len(r.Services) > 1 {
		return fault.Newf(fault.Invalid, "tcp-route currently only supports one service")
	}
	for i, s := range r.Services {
		if s.Name == "" {
			return fault.Newf(fault.Invalid, "Service[%d] must have a name", i)
		}
	}
	return checkParents(r.Parents)
}

func parents(list []Reference) {
	for i := range list {
		if list[i].Kind == "" {
			list[i].Kind = KindAPIGateway
		}
	}
}

func checkParents(list []Reference) error {
	seen := map[Reference]bool{}
	for _, p := range list {
		switch {
		case p.Kind != KindAPIGateway:
			return fault.Newf(fault.Invalid, "unsupported parent kind: %q, must be 'api-gateway'", p.Kind)
		case p.Name == "":
			return fault.Newf(fault.Invalid, "parent reference must have a name")
		case seen[p]:
			return fault.Newf(fault.Invalid, "route parents must be unique: %q", p.Name)
		}
		seen[p] = true
	}
	return nil
}
