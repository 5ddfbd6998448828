package configentry

import (
	"maps"
	"slices"
	"strings"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/internal/filter"
)

func (r *ServiceResolver) normalize() {}

func (r *ServiceResolver) validate(e *Entry) error {
	for _, name := range slices.Sorted(maps.Keys(r.Subsets)) {
		if name == "" {
			return fault.Newf(fault.Invalid, "Subset defined with empty name")
		}
		if !subsetName(name) {
			return fault.Newf(fault.Invalid, "Subset %q is invalid: must be a valid DNS label", name)
		}
		if f := r.Subsets[name].Filter; f != "" {
			if _, err := filter.New[*catalog.Instance](f); err != nil {
				return fault.Newf(fault.Invalid, "Filter for subset %q is not a valid expression: %w", name, err)
			}
		}
	}
	if r.DefaultSubset != "" && !r.has(r.DefaultSubset) {
		return fault.Newf(fault.Invalid, "DefaultSubset %q is not a valid subset", r.DefaultSubset)
	}
	if err := r.checkRedirect(e.Name); err != nil {
		return err
	}
	if err := r.checkFailover(); err != nil {
		return err
	}
	switch {
	case r.ConnectTimeout < 0:
		return fault.Newf(fault.Invalid, "Bad ConnectTimeout '%s', must be >= 0", time.Duration(r.ConnectTimeout))
	case r.RequestTimeout < 0:
		return fault.Newf(fault.Invalid, "Bad RequestTimeout '%s', must be >= 0", time.Duration(r.RequestTimeout))
	}
	return r.checkLoadBalancer()
}

func (r *ServiceResolver) has(subset string) bool {
	_, ok := r.Subsets[subset]
	return ok
}

func (r *ServiceResolver) checkRedirect(name string) error {
	to := r.Redirect
	if to == nil {
		return nil
	}
	switch {
	case r.Failover != nil:
		return fault.Newf(fault.Invalid, "Redirect and Failover cannot both be set")
	case *to == Redirect{}:
		return fault.Newf(fault.Invalid, "Redirect is empty")
	case to.Service == "" && to.ServiceSubset != "" && to.Datacenter == "" && to.Peer == "":
		return fault.Newf(fault.Invalid, "Redirect.ServiceSubset defined without Redirect.Service")
	case to.Peer != "" && (to.ServiceSubset != "" || to.Datacenter != ""):
		return fault.Newf(fault.Invalid, "Redirect.Peer cannot be set with Redirect.ServiceSubset or Redirect.Datacenter")
	case to.Service == name && to.ServiceSubset != "" && !r.has(to.ServiceSubset):
		return fault.Newf(fault.Invalid, "Redirect.ServiceSubset %q is not a valid subset of %q", to.ServiceSubset, to.Service)
	}
	return nil
}

func (r *ServiceResolver) checkFailover() error {
	for _, subset := range slices.Sorted(maps.Keys(r.Failover)) {
		f := r.Failover[subset]
		if subset != "*" && !r.has(subset) {
			return fault.Newf(fault.Invalid, "Bad Failover[%q]: not a valid subset", subset)
		}
		if f.Service == "" && f.ServiceSubset == "" && f.Namespace == "" && len(f.Datacenters) == 0 && len(f.Targets) == 0 && f.SamenessGroup == "" {
			return fault.Newf(fault.Invalid, "Bad Failover[%q]: one of Service, ServiceSubset, Namespace, Targets, SamenessGroup, or Datacenters is required", subset)
		}
		if len(f.Targets) > 0 && (f.Service != "" || f.ServiceSubset != "" || len(f.Datacenters) > 0) {
			return fault.Newf(fault.Invalid, "Bad Failover[%q]: Targets cannot be set with Service, ServiceSubset, or Datacenters", subset)
		}
		if slices.Contains(f.Datacenters, "") {
			return fault.Newf(fault.Invalid, "Bad Failover[%q].Datacenters: found empty datacenter", subset)
		}
		for i, t := range f.Targets {
			if t == (FailoverTarget{}) {
				return fault.Newf(fault.Invalid, "Bad Failover[%q].Targets[%d]: at least one field is required", subset, i)
			}
			if t.Peer != "" && (t.ServiceSubset != "" || t.Datacenter != "") {
				return fault.Newf(fault.Invalid, "Bad Failover[%q].Targets[%d]: Peer cannot be set with ServiceSubset or Datacenter", subset, i)
			}
		}
	}
	return nil
}

func (r *ServiceResolver) checkLoadBalancer() error {
	lb := r.LoadBalancer
	if lb == nil {
		return nil
	}
	switch lb.Policy {
	case "", "random", "round_robin", "least_request", "ring_hash", "maglev":
	default:
		return fault.Newf(fault.Invalid, "Bad LoadBalancer policy %q, must be one of random, round_robin, least_request, ring_hash, maglev", lb.Policy)
	}
	switch {
	case lb.Policy != "ring_hash" && lb.RingHashConfig != nil:
		return fault.Newf(fault.Invalid, "RingHashConfig specified for incompatible load balancing policy %q", lb.Policy)
	case lb.Policy != "least_request" && lb.LeastRequestConfig != nil:
		return fault.Newf(fault.Invalid, "LeastRequestConfig specified for incompatible load balancing policy %q", lb.Policy)
	case lb.Policy != "ring_hash" && lb.Policy != "maglev" && len(lb.HashPolicies) > 0:
		return fault.Newf(fault.Invalid, "HashPolicies specified for non-hash-based Policy: %q", lb.Policy)
	}
	for i, h := range lb.HashPolicies {
		if err := checkHashPolicy(i, h); err != nil {
			return err
		}
	}
	return nil
}

func checkHashPolicy(i int, h HashPolicy) error {
	switch h.Field {
	case "", "header", "cookie", "query_parameter":
	default:
		return fault.Newf(fault.Invalid, "Bad LoadBalancer HashPolicy[%d]: %q is not a supported field", i, h.Field)
	}
	switch {
	case h.SourceIP && (h.Field != "" || h.FieldValue != ""):
		return fault.Newf(fault.Invalid, "Bad LoadBalancer HashPolicy[%d]: A single hash policy cannot hash both a source address and a %q", i, h.Field)
	case h.Field != "" && h.FieldValue == "":
		return fault.Newf(fault.Invalid, "Bad LoadBalancer HashPolicy[%d]: Field %q was specified without a FieldValue", i, h.Field)
	case h.Field == "" && h.FieldValue != "":
		return fault.Newf(fault.Invalid, "Bad LoadBalancer HashPolicy[%d]: FieldValue requires a Field to apply to", i)
	case h.CookieConfig != nil && h.Field != "cookie":
		return fault.Newf(fault.Invalid, "Bad LoadBalancer HashPolicy[%d]: cookie_config provided for %q", i, h.Field)
	case h.CookieConfig != nil && h.CookieConfig.Session && h.CookieConfig.TTL != 0:
		return fault.Newf(fault.Invalid, "Bad LoadBalancer HashPolicy[%d]: a session cookie cannot have an associated TTL", i)
	}
	return nil
}

// subsetName: they become a part of DNS names.
func subsetName(s string) bool {
	if len(s) > 63 || strings.HasPrefix(s, "-") || strings.HasSuffix(s, "-") {
		return false
	}
	return strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
