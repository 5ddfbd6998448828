package config

import (
	"errors"
	"net/http"

	"consul.internal/agent"
	"consul.internal/catalog"
	"consul.internal/configentry"
	"consul.internal/httpapi/edge"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// Merged is an agent's service with what config entries say of proxies and gateways,
// if it is one.
func Merged(r *http.Request, caller rpc.Caller, info *agent.ServiceInfo) (*agent.ServiceInfo, error) {
	plain := &catalog.Service{Kind: info.Kind, Name: info.Service}
	if info.Proxy != nil {
		plain.Proxy = catalog.Proxy(*info.Proxy)
	}
	if _, is := configentry.Central(plain); !is {
		return info, nil
	}
	var failed error
	svc := configentry.Merge(plain, func(kind, name string) *configentry.Entry {
		out, err := rpc.Call(r.Context(), caller, rpc.ConfigGet, &rpc.ConfigGetRequest{
			ReadOptions: rpc.ReadOptions{Target: rpc.Target{Token: edge.Token(r)}}, Kind: kind, Name: name,
		})
		switch {
		case errors.Is(err, fault.NotFound):
			return nil
		case err != nil:
			failed = err
			return nil
		case len(out.Entries) == 0:
			return nil
		}
		return out.Entries[0]
	})
	if failed != nil {
		return nil, edge.Remote(failed)
	}
	other, proxy := *info, agent.ProxyInfo(svc.Proxy)
	other.Proxy = &proxy
	return &other, nil
}
