package names

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"consul.internal/catalog"
	"consul.internal/dnsserver"
	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

// Explainer tells why a name is answered as it is.
type Explainer interface {
	Explain(ctx context.Context, name, qtype string, from netip.Addr) (*dnsserver.Explanation, error)
}

// hiddenWait bounds the question about what is hidden: the rest of an explanation is
// made of what is in memory, and holds without.
const hiddenWait = 2 * time.Second

// hiddenReason is why an instance is none of the zone's.
const hiddenReason = "the token of this agent's DNS answers (acl.tokens.dns, or else default) may not read its service or its node"

// Explained is how a name is answered, and which instances the rights of the agent's
// DNS token keep out: those that the asker's own token shows beyond.
func Explained(r *http.Request, b *edge.Base, dns Explainer, name, qtype string) (*dnsserver.Explanation, error) {
	e, err := dns.Explain(r.Context(), name, qtype, from(r))
	if err != nil || e.Kind != "service" || e.By != "zone" || !b.Settings().ACLs {
		return e, err
	}
	if e.Datacenter == "any" || e.Datacenter == "all" {
		return e, nil // instances of several datacenters are not told apart
	}
	ctx, cancel := context.WithTimeout(r.Context(), hiddenWait)
	defer cancel()
	out, err := rpc.Call(ctx, b.Caller, rpc.HealthService, &rpc.ServiceRequest{Service: e.Label, ReadOptions: rpc.ReadOptions{
		Target: rpc.Target{Datacenter: e.Datacenter, Token: edge.Token(r)}, Consistency: rpc.Stale,
	}})
	if err != nil {
		e.Note = "It could not be found out which instances the ACLs hide: " + edge.TextOf(r, err)
		return e, nil
	}
	known := map[[2]string]bool{}
	for _, i := range e.Instances {
		known[[2]string{catalog.Fold(i.Node), i.ID}] = true
	}
	for _, i := range out.Instances {
		if known[[2]string{catalog.Fold(i.Node.Name), i.Service.ID}] || len(e.Instances) >= dnsserver.MaxExplained {
			continue
		}
		x := dnsserver.ExplainedOf(i)
		x.Reason = hiddenReason
		e.Instances = append(e.Instances, x)
	}
	return e, nil
}
