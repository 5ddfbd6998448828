package definition

import (
	"strings"

	"consul.internal/agent"
	"consul.internal/catalog"
	"consul.internal/checks"
)

func checkOf(c *CheckBlock) checks.Definition {
	d := checks.Definition{
		ID: c.ID, Name: c.Name, Notes: c.Notes, ServiceID: c.ServiceID, Token: c.Token,
		Status: catalog.Status(strings.ToLower(c.Status)), TTL: c.TTL,
		HTTP: c.HTTP, Method: c.Method, Header: c.Header, Body: c.Body, DisableRedirects: c.DisableRedirects,
		TCP: c.TCP, TCPUseTLS: c.TCPUseTLS, UDP: c.UDP,
		GRPC: c.GRPC, GRPCUseTLS: c.GRPCUseTLS,
		H2PING: c.H2PING, H2PINGUseTLS: c.H2PING != "" && (c.H2PINGUseTLS == nil || *c.H2PINGUseTLS),
		Args: c.Args, DockerContainerID: c.DockerContainerID, Shell: c.Shell, OSService: c.OSService,
		AliasNode: c.AliasNode, AliasService: c.AliasService,
		TLSServerName: c.TLSServerName, TLSSkipVerify: c.TLSSkipVerify,
		Interval: c.Interval, Timeout: c.Timeout,
		SuccessBeforePassing: c.SuccessBeforePassing, FailuresBeforeWarning: c.FailuresBeforeWarning,
		FailuresBeforeCritical: c.FailuresBeforeCritical, DeregisterCriticalServiceAfter: c.DeregisterCriticalServiceAfter,
		OutputMaxSize: c.OutputMaxSize,
	}
	return d
}

func serviceOf(s *ServiceBlock) agent.ServiceDefinition {
	d := agent.ServiceDefinition{
		Kind: s.Kind, ID: s.ID, Name: s.Name, Tags: s.Tags, Address: s.Address, Meta: s.Meta, Port: s.Port,
		SocketPath: s.SocketPath, EnableTagOverride: s.EnableTagOverride, Token: s.Token,
	}
	if len(s.TaggedAddresses) > 0 {
		d.TaggedAddresses = make(map[string]catalog.ServiceAddress, len(s.TaggedAddresses))
		for tag, a := range s.TaggedAddresses {
			d.TaggedAddresses[tag] = catalog.ServiceAddress{Address: a.Address, Port: a.Port}
		}
	}
	if s.Weights != nil {
		w := catalog.DefaultWeights
		if s.Weights.Passing != nil {
			w.Passing = *s.Weights.Passing
		}
		if s.Weights.Warning != nil {
			w.Warning = *s.Weights.Warning
		}
		d.Weights = &w
	}
	for i := range s.Check {
		d.Checks = append(d.Checks, checkOf(&s.Check[i]))
	}
	for i := range s.Checks {
		d.Checks = append(d.Checks, checkOf(&s.Checks[i]))
	}
	if s.Connect != nil {
		d.Connect = catalog.Connect{Native: s.Connect.Native}
	}
	if p := s.Proxy; p != nil {
		d.Proxy = catalog.Proxy{
			DestinationServiceName: p.DestinationServiceName, DestinationServiceID: p.DestinationServiceID,
			LocalServiceAddress: p.LocalServiceAddress, LocalServicePort: p.LocalServicePort, Mode: p.Mode,
			Config: p.Config, MeshGateway: camelKeys(p.MeshGateway), Expose: camelKeys(p.Expose),
		}
		for _, u := range p.Upstreams {
			d.Proxy.Upstreams = append(d.Proxy.Upstreams, camelKeys(u))
		}
	}
	return d
}

// camelKeys turns destination_name into DestinationName, as the HTTP API writes
// the same. What stands under "config" belongs to the proxy and stays.
func camelKeys(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	out := make(map[string]any, len(m))
	for k, v := range m {
		if strings.EqualFold(k, "config") {
			out["Config"] = v
			continue
		}
		var name strings.Builder
		for part := range strings.SplitSeq(k, "_") {
			if part != "" {
				name.WriteString(strings.ToUpper(part[:1]) + part[1:])
			}
		}
		out[name.String()] = camelValue(v)
	}
	return out
}

func camelValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return camelKeys(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = camelValue(v[i])
		}
		return out
	}
	return v
}
