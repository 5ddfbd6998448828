package configentry

import (
	"iter"

	"consul.internal/internal/fault"
)

// Set is all entries there are.
type Set interface {
	// Get returns an entry, nil if there is none.
	Get(kind, name string) *Entry
	// List returns the entries of a kind.
	List(kind string) iter.Seq[*Entry]
}

func protocolOfHTTP(p string) bool { return p == "http" || p == "http2" || p == "grpc" }

// Protocol is what a service speaks: what its defaults say, else those of all
// proxies, else tcp.
func Protocol(s Set, service string) string {
	if e := s.Get(KindServiceDefaults, service); e != nil && e.Body.ServiceDefaults.Protocol != "" {
		return e.Body.ServiceDefaults.Protocol
	}
	if e := s.Get(KindProxyDefaults, ProxyDefaultsName); e != nil {
		if p := e.Body.ProxyDefaults.Protocol(); p != "" {
			return p
		}
	}
	return "tcp"
}

// Check says what is wrong with a set in which an entry has just been written or
// deleted: no chain of router, splitter and resolver that leads over that entry,
// and no ingress gateway, may contradict itself.
func Check(s Set, kind, name string) error {
	switch kind {
	case KindIngressGateway:
		if e := s.Get(kind, name); e != nil {
			return checkIngress(s, e)
		}
		return nil
	case KindProxyDefaults, KindServiceDefaults, KindServiceRouter, KindServiceSplitter, KindServiceResolver:
	default:
		return nil
	}
	seen := map[string]bool{}
	for _, k := range []string{KindServiceRouter, KindServiceSplitter, KindServiceResolver} {
		for e := range s.List(k) {
			if seen[e.Name] {
				continue
			}
			seen[e.Name] = true
			c := chain{set: s, name: e.Name, protocol: Protocol(s, e.Name), visited: map[string]bool{}, splits: map[string]mark{}}
			err := c.walk()
			if err != nil && (kind == KindProxyDefaults || c.visited[name]) {
				return err
			}
		}
	}
	for e := range s.List(KindIngressGateway) {
		if err := checkIngress(s, e); err != nil {
			return err
		}
	}
	return nil
}

func checkIngress(s Set, e *Entry) error {
	for _, l := range e.Body.IngressGateway.Listeners {
		for _, svc := range l.Services {
			if svc.Name == "*" {
				continue
			}
			if p := Protocol(s, svc.Name); p != l.Protocol {
				return fault.Newf(fault.Invalid, "service %q has protocol %q, which does not match defined listener protocol %q", svc.Name, p, l.Protocol)
			}
		}
	}
	return nil
}

// chain is the way from a service's name to instances.
type chain struct {
	set      Set
	name     string
	protocol string
	visited  map[string]bool // services on the way
	splits   map[string]mark // splitters
}

// mark says how far a splitter has been followed, so that each is followed once.
type mark uint8

const (
	entered mark = iota + 1
	done
)

func (c *chain) walk() error {
	if e := c.set.Get(KindServiceRouter, c.name); e != nil {
		c.visited[c.name] = true
		for _, r := range e.Body.ServiceRouter.Routes {
			service, subset := c.name, ""
			if d := r.Destination; d != nil {
				subset = d.ServiceSubset
				if d.Service != "" {
					service = d.Service
				}
			}
			if err := c.to(service, subset); err != nil {
				return err
			}
		}
	}
	if err := c.to(c.name, ""); err != nil {
		return err
	}
	advanced := c.set.Get(KindServiceRouter, c.name) != nil || c.set.Get(KindServiceSplitter, c.name) != nil
	if advanced && !protocolOfHTTP(c.protocol) {
		return fault.Newf(fault.Invalid, "discovery chain %q uses a protocol %q that does not permit advanced routing or splitting behavior", c.name, c.protocol)
	}
	return nil
}

// to goes on to a service: by its splitter if no subset is asked for, and then by
// its resolver.
func (c *chain) to(service, subset string) error {
	c.visited[service] = true
	if p := Protocol(c.set, service); p != c.protocol {
		return fault.Newf(fault.Invalid, "discovery chain %q uses inconsistent protocols; service %q has %q which is not %q", c.name, service, p, c.protocol)
	}
	e := c.set.Get(KindServiceSplitter, service)
	if e == nil || subset != "" {
		return c.resolve(service, subset)
	}
	switch c.splits[service] {
	case entered:
		return fault.Newf(fault.Invalid, "detected circular reference: service-splitter %q leads to itself", service)
	case done:
		return nil
	}
	c.splits[service] = entered
	defer func() { c.splits[service] = done }()
	for _, s := range e.Body.ServiceSplitter.Splits {
		next := service
		if s.Service != "" {
			next = s.Service
		}
		var err error
		if next == service {
			err = c.resolve(next, s.ServiceSubset)
		} else {
			err = c.to(next, s.ServiceSubset)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// resolve follows a service's resolver, and its redirects.
func (c *chain) resolve(service, subset string) error {
	seen := map[string]bool{}
	for {
		c.visited[service] = true
		e := c.set.Get(KindServiceResolver, service)
		if e == nil {
			if subset != "" {
				return noSubset(service, subset)
			}
			return nil
		}
		r := e.Body.ServiceResolver
		if subset == "" {
			subset = r.DefaultSubset
		}
		to := r.Redirect
		switch {
		case to == nil && subset != "" && !r.has(subset):
			return noSubset(service, subset)
		case to == nil || to.Datacenter != "" || to.Peer != "" || to.Service == "" || to.Service == service:
			return nil
		case seen[service]:
			return fault.Newf(fault.Invalid, "detected circular resolver redirect: %q leads to itself", service)
		}
		seen[service] = true
		if p := Protocol(c.set, to.Service); p != c.protocol {
			return fault.Newf(fault.Invalid, "discovery chain %q uses inconsistent protocols; service %q has %q which is not %q", c.name, to.Service, p, c.protocol)
		}
		service, subset = to.Service, to.ServiceSubset
	}
}

func noSubset(service, subset string) error {
	return fault.Newf(fault.Invalid, "service %q does not have a subset named %q", service, subset)
}
