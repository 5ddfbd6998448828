package configs

import (
	"cmp"

	"consul.internal/dnsserver/recurse"
	"consul.internal/dnsserver/transfer"
)

// transferOf reads who gets the zone whole.
func transferOf(r *resolver) transfer.Config {
	const key = "dns_config.transfer"
	f := &r.f.DNS.Transfer
	c := transfer.Config{NotifyKey: value(f.NotifyKey)}
	for _, text := range f.Allow {
		p, err := recurse.ParseNetwork(text)
		if err != nil {
			r.errorf(key+".allow", "%s.allow: %v", key, err)
			continue
		}
		c.Allow = append(c.Allow, p)
	}
	for _, text := range f.Notify {
		a, err := recurse.ParseUpstream(text)
		if err != nil {
			r.errorf(key+".notify", "%s.notify: %s: %v", key, text, err)
			continue
		}
		c.Notify = append(c.Notify, a)
	}
	for _, name := range sorted(f.Keys) {
		k := f.Keys[name]
		c.Keys = append(c.Keys, transfer.Key{
			Name: name, Algorithm: cmp.Or(value(k.Algorithm), transfer.DefaultAlgorithm), Secret: value(k.Secret),
		})
	}
	if err := c.Validate(); err != nil {
		r.errorf(key, "%v", err)
	}
	if (c.On() || len(c.Notify) > 0) && !value(r.f.Server) {
		r.errorf(key, "%s: only servers have the zone whole, and this agent is a client; let the servers give it to secondaries", key)
	}
	return c
}
