package configentry

import (
	"encoding/json"
	"maps"
	"strings"

	"consul.internal/catalog"
)

// The kinds of services that central settings are for.
const (
	kindProxy    = "connect-proxy"
	suffixOfGate = "-gateway"
)

// Central reports whether the settings of all proxies, and those of a service, say
// something of a registered instance, and of which service: of a proxy that is the
// one that it stands for.
func Central(svc *catalog.Service) (of string, is bool) {
	switch {
	case svc.Kind == kindProxy:
		return svc.Proxy.DestinationServiceName, true
	case strings.HasSuffix(svc.Kind, suffixOfGate):
		return svc.Name, true
	}
	return "", false
}

// Merge is a registered proxy or gateway with what proxy-defaults and
// service-defaults say beside it: what it says itself counts first, then its
// service's, then that of all. Others stay as they are. What it is given is not changed.
func Merge(svc *catalog.Service, get func(kind, name string) *Entry) *catalog.Service {
	of, is := Central(svc)
	if !is {
		return svc
	}
	all, own := new(ProxyDefaults), new(ServiceDefaults)
	if e := get(KindProxyDefaults, ProxyDefaultsName); e != nil {
		all = e.Body.ProxyDefaults
	}
	if e := get(KindServiceDefaults, of); e != nil {
		own = e.Body.ServiceDefaults
	}
	out := *svc
	p := &out.Proxy
	p.Config = mergedConfig(svc.Proxy.Config, own, all)
	p.Mode = first(svc.Proxy.Mode, own.Mode, all.Mode)
	p.MutualTLSMode = first(svc.Proxy.MutualTLSMode, own.MutualTLSMode, all.MutualTLSMode)
	p.MeshGateway = over(p.MeshGateway, object(own.MeshGateway), object(all.MeshGateway))
	p.Expose = over(p.Expose, object(own.Expose), object(all.Expose))
	p.TransparentProxy = over(p.TransparentProxy, object(own.TransparentProxy), object(all.TransparentProxy))
	p.AccessLogs = over(p.AccessLogs, object(all.AccessLogs))
	if len(p.EnvoyExtensions) == 0 {
		for _, x := range append(all.EnvoyExtensions[:len(all.EnvoyExtensions):len(all.EnvoyExtensions)], own.EnvoyExtensions...) {
			p.EnvoyExtensions = append(p.EnvoyExtensions, object(x))
		}
	}
	if len(p.Upstreams) > 0 {
		p.Upstreams = make([]any, len(svc.Proxy.Upstreams))
		for i, u := range svc.Proxy.Upstreams {
			p.Upstreams[i] = mergedUpstream(u, own, all, get)
		}
	}
	return &out
}

// mergedConfig is the free part of a proxy's settings.
func mergedConfig(given map[string]any, own *ServiceDefaults, all *ProxyDefaults) map[string]any {
	out := maps.Clone(all.Config)
	if out == nil {
		out = map[string]any{}
	}
	put := func(key string, v any, set bool) {
		if set {
			out[key] = v
		}
	}
	put("protocol", own.Protocol, own.Protocol != "")
	put("max_inbound_connections", own.MaxInboundConnections, own.MaxInboundConnections > 0)
	put("local_connect_timeout_ms", own.LocalConnectTimeoutMs, own.LocalConnectTimeoutMs > 0)
	put("local_request_timeout_ms", own.LocalRequestTimeoutMs, own.LocalRequestTimeoutMs > 0)
	put("balance_inbound_connections", own.BalanceInboundConnections, own.BalanceInboundConnections != "")
	if own.MaxRequestHeadersKB != nil {
		out["max_request_headers_kb"] = *own.MaxRequestHeadersKB
	}
	if own.RateLimits != nil {
		out["rateLimits"] = object(*own.RateLimits)
	}
	maps.Copy(out, given)
	if len(out) == 0 {
		return given
	}
	return out
}

// mergedUpstream is what a proxy says of a service that it uses, with what the
// defaults say of it.
func mergedUpstream(given any, own *ServiceDefaults, all *ProxyDefaults, get func(kind, name string) *Entry) any {
	u, ok := given.(map[string]any)
	if kind, _ := u["DestinationType"].(string); !ok || kind != "" && kind != "service" {
		return given // a prepared query has no defaults
	}
	name, _ := u["DestinationName"].(string)
	config := map[string]any{}
	gateway := all.MeshGateway
	if own.MeshGateway.Mode != "" {
		gateway = own.MeshGateway
	}
	if p := all.Protocol(); p != "" {
		config["protocol"] = p
	}
	if e := get(KindServiceDefaults, name); e != nil && e.Body.ServiceDefaults.Protocol != "" {
		config["protocol"] = e.Body.ServiceDefaults.Protocol
	}
	if c := own.UpstreamConfig; c != nil {
		apply := func(d *Upstream) {
			maps.Copy(config, d.config())
			if d.MeshGateway.Mode != "" {
				gateway = d.MeshGateway
			}
		}
		if c.Defaults != nil {
			apply(c.Defaults)
		}
		for _, o := range c.Overrides {
			if o != nil && catalog.EqualFold(o.Name, name) {
				apply(o)
			}
		}
	}
	if mine, ok := u["Config"].(map[string]any); ok {
		maps.Copy(config, mine)
	}
	out := maps.Clone(u)
	if len(config) > 0 {
		out["Config"] = config
	}
	if mine, ok := u["MeshGateway"].(map[string]any); (!ok || len(mine) == 0) && gateway.Mode != "" {
		out["MeshGateway"] = object(gateway)
	}
	return out
}

// config is what an upstream's settings are among the free ones of a proxy.
func (u *Upstream) config() map[string]any {
	out := map[string]any{}
	for key, v := range map[string]string{
		"envoy_listener_json": u.EnvoyListenerJSON, "envoy_cluster_json": u.EnvoyClusterJSON, "protocol": u.Protocol,
		"balance_outbound_connections": u.BalanceOutboundConnections,
	} {
		if v != "" {
			out[key] = v
		}
	}
	if u.ConnectTimeoutMs > 0 {
		out["connect_timeout_ms"] = u.ConnectTimeoutMs
	}
	if u.Limits != nil {
		out["limits"] = object(*u.Limits)
	}
	if u.PassiveHealthCheck != nil {
		out["passive_health_check"] = object(*u.PassiveHealthCheck)
	}
	return out
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// over puts objects over each other, those before over those behind. Nothing said
// at all is nil.
func over(objects ...map[string]any) map[string]any {
	out := map[string]any{}
	for i := len(objects) - 1; i >= 0; i-- {
		maps.Copy(out, objects[i])
	}
	if len(out) == 0 {
		return objects[0]
	}
	return out
}

// object is a part of an entry as the API shows it, without what is not set.
func object(v any) map[string]any {
	text, err := json.Marshal(v)
	if err != nil {
		return nil // parts of entries came as JSON
	}
	var out map[string]any
	if json.Unmarshal(text, &out) != nil {
		return nil
	}
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	return out
}
