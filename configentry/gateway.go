package configentry

import (
	"crypto/tls"
	"strings"
	"time"

	"consul.internal/internal/fault"
)

// IngressGateway lets traffic into the mesh.
type IngressGateway struct {
	TLS       GatewayTLS
	Listeners []IngressListener
	Defaults  *IngressLimits `json:",omitempty"`
}

// TerminatingGateway lets traffic out of the mesh.
type TerminatingGateway struct {
	Services []LinkedService `json:",omitempty"`
}

// APIGateway lets traffic in, by routes.
type APIGateway struct {
	TLS       GatewayTLS
	Listeners []APIListener
	Defaults  *UpstreamLimits `json:",omitempty"`
	ExtAuthz  *ExtAuthz       `json:",omitempty"`
	Status    Status
}

// BoundAPIGateway is what an API gateway comes to with its routes. Nobody writes it.
type BoundAPIGateway struct {
	Listeners []struct {
		Name         string
		Routes       []Reference
		Certificates []Reference
	}
}

// Certificate is one in place, or the paths of one.
type Certificate struct {
	Certificate string
	PrivateKey  string
}

// Parts of the gateways.
type (
	// GatewayTLS says how a gateway does TLS.
	GatewayTLS struct {
		Enabled       bool
		SDS           *SDS     `json:",omitempty"`
		TLSMinVersion string   `json:",omitempty"`
		TLSMaxVersion string   `json:",omitempty"`
		CipherSuites  []string `json:",omitempty"`
	}
	// SDS is where certificates come from.
	SDS struct {
		ClusterName  string `json:",omitempty"`
		CertResource string `json:",omitempty"`
	}
	// ServiceTLS is that of one service.
	ServiceTLS struct {
		SDS *SDS `json:",omitempty"`
	}
	// IngressLimits bound connections and requests.
	IngressLimits struct {
		MaxConnections        *uint32
		MaxPendingRequests    *uint32
		MaxConcurrentRequests *uint32
		PassiveHealthCheck    *PassiveHealthCheck `json:",omitempty"`
	}
	// IngressListener is one port.
	IngressListener struct {
		Port     int
		Protocol string
		Services []IngressService
		TLS      *GatewayTLS `json:",omitempty"`
	}
	// IngressService is one service behind it.
	IngressService struct {
		Name                  string
		Hosts                 []string
		Namespace             string              `json:",omitempty"`
		Partition             string              `json:",omitempty"`
		TLS                   *ServiceTLS         `json:",omitempty"`
		RequestHeaders        *HeaderChanges      `json:",omitempty"`
		ResponseHeaders       *HeaderChanges      `json:",omitempty"`
		MaxConnections        *uint32             `json:",omitempty"`
		MaxPendingRequests    *uint32             `json:",omitempty"`
		MaxConcurrentRequests *uint32             `json:",omitempty"`
		PassiveHealthCheck    *PassiveHealthCheck `json:",omitempty"`
	}
	// LinkedService is a service behind a terminating gateway.
	LinkedService struct {
		DisableAutoHostRewrite bool   `json:",omitempty"`
		Namespace              string `json:",omitempty"`
		Name                   string `json:",omitempty"`
		CAFile                 string `json:",omitempty"`
		CertFile               string `json:",omitempty"`
		KeyFile                string `json:",omitempty"`
		SNI                    string `json:",omitempty"`
	}
	// APIListener is a port of an API gateway.
	APIListener struct {
		Name                string
		Hostname            string
		Port                int
		Protocol            string
		TLS                 APIListenerTLS
		Override            *APIPolicy `json:",omitempty"`
		Default             *APIPolicy `json:",omitempty"`
		MaxRequestHeadersKB *uint32    `json:",omitempty"`
	}
	// APIListenerTLS is its TLS.
	APIListenerTLS struct {
		Certificates []Reference
		SDS          *SDS     `json:",omitempty"`
		MaxVersion   string   `json:",omitempty" alias:"tlsmaxversion"`
		MinVersion   string   `json:",omitempty" alias:"tlsminversion"`
		CipherSuites []string `json:",omitempty"`
	}
	// APIPolicy is what requests must bring.
	APIPolicy struct {
		JWT *JWTRequirement `json:",omitempty"`
	}
	// ExtAuthz asks an authority outside.
	ExtAuthz struct{ Enabled bool }
	// Reference names another entry.
	Reference struct {
		Kind        string
		Name        string
		SectionName string
		Partition   string `json:",omitempty"`
		Namespace   string `json:",omitempty"`
	}
	// Status is what became of an entry.
	Status struct{ Conditions []Condition }
	// Condition is one thing that became of it.
	Condition struct {
		Type, Status, Reason, Message string
		Resource                      *Reference
		LastTransitionTime            *time.Time
	}
)

func (g *IngressGateway) normalize() {
	for i := range g.Listeners {
		l := &g.Listeners[i]
		if l.Protocol = strings.ToLower(l.Protocol); l.Protocol == "" {
			l.Protocol = "tcp"
		}
	}
}

func (g *IngressGateway) validate(*Entry) error {
	ports := map[int]bool{}
	for _, l := range g.Listeners {
		if l.Port < 1 || l.Port > 65535 {
			return fault.Newf(fault.Invalid, "port %d is not a port number (1 to 65535)", l.Port)
		}
		if ports[l.Port] {
			return fault.Newf(fault.Invalid, "port %d declared on two listeners", l.Port)
		}
		ports[l.Port] = true
		if err := l.check(); err != nil {
			return err
		}
	}
	return nil
}

func (l *IngressListener) check() error {
	switch {
	case l.Protocol != "tcp" && !protocolOfHTTP(l.Protocol):
		return fault.Newf(fault.Invalid, "protocol must be 'tcp', 'http', 'http2', or 'grpc'. '%s' is an unsupported protocol", l.Protocol)
	case len(l.Services) == 0:
		return fault.Newf(fault.Invalid, "No service declared for listener with port %d", l.Port)
	case l.Protocol == "tcp" && len(l.Services) > 1:
		return fault.Newf(fault.Invalid, "Multiple services per listener are only supported for L7 protocols, 'http', 'grpc' and 'http2' (listener on port %d)", l.Port)
	}
	seen := map[string]bool{}
	for _, s := range l.Services {
		switch {
		case s.Name == "":
			return fault.Newf(fault.Invalid, "Service name cannot be blank (listener on port %d)", l.Port)
		case s.Name == "*" && l.Protocol == "tcp":
			return fault.Newf(fault.Invalid, "Wildcard service name is only valid for protocol = 'http', 'http2' and 'grpc' (listener on port %d)", l.Port)
		case s.Name == "*" && len(s.Hosts) > 0:
			return fault.Newf(fault.Invalid, "Associating hosts to a wildcard service is not supported (listener on port %d)", l.Port)
		case l.Protocol == "tcp" && len(s.Hosts) > 0:
			return fault.Newf(fault.Invalid, "Associating hosts to a service is not supported for the %s protocol (listener on port %d)", l.Protocol, l.Port)
		case seen[s.Name]:
			return fault.Newf(fault.Invalid, "Service %s cannot be added multiple times (listener on port %d)", s.Name, l.Port)
		}
		seen[s.Name] = true
	}
	return nil
}

func (g *TerminatingGateway) normalize() {}

func (g *TerminatingGateway) validate(*Entry) error {
	seen := map[string]bool{}
	for _, s := range g.Services {
		switch files := set(s.CAFile, s.CertFile, s.KeyFile); {
		case s.Name == "":
			return fault.Newf(fault.Invalid, "Service name cannot be blank.")
		case seen[s.Name]:
			return fault.Newf(fault.Invalid, "Service %q was specified more than once", s.Name)
		case files > 0 && (s.CAFile == "" || (s.CertFile == "") != (s.KeyFile == "")):
			return fault.Newf(fault.Invalid, "Service %q must have a CertFile, CAFile, and KeyFile specified for TLS origination", s.Name)
		}
		seen[s.Name] = true
	}
	return nil
}

func (g *APIGateway) normalize() {
	for i := range g.Listeners {
		l := &g.Listeners[i]
		l.Protocol = strings.ToLower(l.Protocol)
		for j := range l.TLS.Certificates {
			if l.TLS.Certificates[j].Kind == "" {
				l.TLS.Certificates[j].Kind = KindInlineCertificate
			}
		}
	}
	g.Status = Status{} // it is not for users to say
}

func (g *APIGateway) validate(*Entry) error {
	names := map[string]bool{}
	for _, l := range g.Listeners {
		if names[l.Name] {
			return fault.Newf(fault.Invalid, "api gateway has multiple listeners with the name: %q", l.Name)
		}
		names[l.Name] = true
		if l.Port < 1 || l.Port > 65535 {
			return fault.Newf(fault.Invalid, "api gateway listener %q: port %d not in the range of 1-65535", l.Name, l.Port)
		}
		if l.Protocol != "tcp" && !protocolOfHTTP(l.Protocol) {
			return fault.Newf(fault.Invalid, "unsupported listener protocol %q, must be one of 'tcp', 'http', 'http2', or 'grpc'", l.Protocol)
		}
		if l.Protocol == "tcp" && l.Hostname != "" {
			return fault.Newf(fault.Invalid, "hostname specification is not supported when using TCP")
		}
		for _, c := range l.TLS.Certificates {
			if c.Kind != KindInlineCertificate && c.Kind != KindFileCertificate {
				return fault.Newf(fault.Invalid, "unsupported certificate kind: %q, must be 'inline-certificate' or 'file-system-certificate'", c.Kind)
			}
			if c.Name == "" {
				return fault.Newf(fault.Invalid, "certificate reference must have a name")
			}
		}
	}
	return nil
}

func (g *BoundAPIGateway) normalize() {}

func (g *BoundAPIGateway) validate(*Entry) error {
	return fault.Newf(fault.Invalid, "bound-api-gateway entries are made by the servers; write an api-gateway instead")
}

func (c *Certificate) normalize() {}

func (c *Certificate) validate(e *Entry) error {
	switch {
	case c.Certificate == "":
		return fault.Newf(fault.Invalid, "certificate is required")
	case c.PrivateKey == "":
		return fault.Newf(fault.Invalid, "private key is required")
	case e.Kind == KindFileCertificate:
		return nil
	}
	if _, err := tls.X509KeyPair([]byte(c.Certificate), []byte(c.PrivateKey)); err != nil {
		return fault.Newf(fault.Invalid, "certificate and private key do not fit: %w", err)
	}
	return nil
}
