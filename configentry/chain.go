package configentry

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"consul.internal/internal/fault"
)

// Duration is shown as text ("15s") where time.Duration is shown in nanoseconds:
// clients know either, each at its place.
type Duration time.Duration

// MarshalJSON writes the duration as text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// ServiceRouter sends requests for a service elsewhere by what they ask.
type ServiceRouter struct {
	Routes []Route `json:",omitempty"`
}

// ServiceSplitter sends parts of the requests for a service elsewhere.
type ServiceSplitter struct {
	Splits []Split `json:",omitempty"`
}

// ServiceResolver says which instances a service has.
type ServiceResolver struct {
	DefaultSubset        string              `json:",omitempty"`
	Subsets              map[string]Subset   `json:",omitempty"`
	Redirect             *Redirect           `json:",omitempty"`
	Failover             map[string]Failover `json:",omitempty"`
	ConnectTimeout       Duration            `json:",omitempty"`
	RequestTimeout       Duration            `json:",omitempty"`
	PrioritizeByLocality *ByLocality         `json:",omitempty"`
	LoadBalancer         *LoadBalancer       `json:",omitempty"`
}

// Parts of router, splitter and resolver.
type (
	// Route is one rule of a router.
	Route struct {
		Match       *RouteMatch       `json:",omitempty"`
		Destination *RouteDestination `json:",omitempty"`
	}
	// RouteMatch says which requests.
	RouteMatch struct {
		HTTP *RouteHTTP `json:",omitempty"`
	}
	// RouteHTTP says it of HTTP.
	RouteHTTP struct {
		PathExact       string       `json:",omitempty"`
		PathPrefix      string       `json:",omitempty"`
		PathRegex       string       `json:",omitempty"`
		CaseInsensitive bool         `json:",omitempty"`
		Header          []RouteField `json:",omitempty"`
		QueryParam      []RouteParam `json:",omitempty"`
		Methods         []string     `json:",omitempty"`
	}
	// RouteField is a header of a request.
	RouteField struct {
		Name    string
		Present bool   `json:",omitempty"`
		Exact   string `json:",omitempty"`
		Prefix  string `json:",omitempty"`
		Suffix  string `json:",omitempty"`
		Regex   string `json:",omitempty"`
		Invert  bool   `json:",omitempty"`
	}
	// RouteParam is a parameter of a request.
	RouteParam struct {
		Name    string
		Present bool   `json:",omitempty"`
		Exact   string `json:",omitempty"`
		Regex   string `json:",omitempty"`
	}
	// RouteDestination says where to.
	RouteDestination struct {
		Service               string         `json:",omitempty"`
		ServiceSubset         string         `json:",omitempty"`
		Namespace             string         `json:",omitempty"`
		Partition             string         `json:",omitempty"`
		PrefixRewrite         string         `json:",omitempty"`
		RequestTimeout        Duration       `json:",omitempty"`
		IdleTimeout           Duration       `json:",omitempty"`
		NumRetries            uint32         `json:",omitempty"`
		RetryOnConnectFailure bool           `json:",omitempty"`
		RetryOnStatusCodes    []uint32       `json:",omitempty"`
		RetryOn               []string       `json:",omitempty"`
		RequestHeaders        *HeaderChanges `json:",omitempty"`
		ResponseHeaders       *HeaderChanges `json:",omitempty"`
	}
	// HeaderChanges change headers on their way.
	HeaderChanges struct {
		Add    map[string]string `json:",omitempty"`
		Set    map[string]string `json:",omitempty"`
		Remove []string          `json:",omitempty"`
	}
	// Split is one part.
	Split struct {
		Weight          float32
		Service         string         `json:",omitempty"`
		ServiceSubset   string         `json:",omitempty"`
		Namespace       string         `json:",omitempty"`
		Partition       string         `json:",omitempty"`
		RequestHeaders  *HeaderChanges `json:",omitempty"`
		ResponseHeaders *HeaderChanges `json:",omitempty"`
	}
	// Subset is a part of a service's instances.
	Subset struct {
		Filter      string `json:",omitempty"`
		OnlyPassing bool   `json:",omitempty"`
	}
	// Redirect gives another service's instances instead.
	Redirect struct {
		Service       string `json:",omitempty"`
		ServiceSubset string `json:",omitempty"`
		Namespace     string `json:",omitempty"`
		Partition     string `json:",omitempty"`
		Datacenter    string `json:",omitempty"`
		Peer          string `json:",omitempty"`
		SamenessGroup string `json:",omitempty"`
	}
	// Failover says whose instances serve when there are none.
	Failover struct {
		Service       string           `json:",omitempty"`
		ServiceSubset string           `json:",omitempty"`
		Namespace     string           `json:",omitempty"`
		Datacenters   []string         `json:",omitempty"`
		Targets       []FailoverTarget `json:",omitempty"`
		Policy        *FailoverPolicy  `json:",omitempty"`
		SamenessGroup string           `json:",omitempty"`
	}
	// FailoverTarget is one of them.
	FailoverTarget struct {
		Service       string `json:",omitempty"`
		ServiceSubset string `json:",omitempty"`
		Partition     string `json:",omitempty"`
		Namespace     string `json:",omitempty"`
		Datacenter    string `json:",omitempty"`
		Peer          string `json:",omitempty"`
	}
	// FailoverPolicy says in which order.
	FailoverPolicy struct {
		Mode    string   `json:",omitempty"`
		Regions []string `json:",omitempty"`
	}
	// ByLocality prefers what is near.
	ByLocality struct {
		Mode string `json:",omitempty"`
	}
	// LoadBalancer says how proxies choose.
	LoadBalancer struct {
		Policy             string              `json:",omitempty"`
		RingHashConfig     *RingHashConfig     `json:",omitempty"`
		LeastRequestConfig *LeastRequestConfig `json:",omitempty"`
		HashPolicies       []HashPolicy        `json:",omitempty"`
	}
	// RingHashConfig is of the policy ring_hash.
	RingHashConfig struct {
		MinimumRingSize uint64 `json:",omitempty"`
		MaximumRingSize uint64 `json:",omitempty"`
	}
	// LeastRequestConfig is of the policy least_request.
	LeastRequestConfig struct {
		ChoiceCount uint32 `json:",omitempty"`
	}
	// HashPolicy says what is hashed.
	HashPolicy struct {
		Field        string        `json:",omitempty"`
		FieldValue   string        `json:",omitempty"`
		CookieConfig *CookieConfig `json:",omitempty"`
		SourceIP     bool          `json:",omitempty"`
		Terminal     bool          `json:",omitempty"`
	}
	// CookieConfig is of a cookie that is made.
	CookieConfig struct {
		Session bool          `json:",omitempty"`
		TTL     time.Duration `json:",omitempty"`
		Path    string        `json:",omitempty"`
	}
)

func (r *ServiceRouter) normalize() {
	for _, route := range r.Routes {
		if m := route.Match; m != nil && m.HTTP != nil {
			for i := range m.HTTP.Methods {
				m.HTTP.Methods[i] = strings.ToUpper(m.HTTP.Methods[i])
			}
		}
	}
}

func (r *ServiceRouter) validate(*Entry) error {
	for i, route := range r.Routes {
		if route.Match != nil && route.Match.HTTP != nil {
			if err := checkRouteHTTP(i, route.Match.HTTP); err != nil {
				return err
			}
		}
		d := route.Destination
		if d == nil || d.PrefixRewrite == "" {
			continue
		}
		if h := routeHTTP(route); h.PathExact == "" && h.PathPrefix == "" {
			return fault.Newf(fault.Invalid, "Route[%d] cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix", i)
		}
	}
	return nil
}

func routeHTTP(r Route) RouteHTTP {
	if r.Match == nil || r.Match.HTTP == nil {
		return RouteHTTP{}
	}
	return *r.Match.HTTP
}

func checkRouteHTTP(i int, h *RouteHTTP) error {
	paths := 0
	for _, p := range []string{h.PathExact, h.PathPrefix, h.PathRegex} {
		if p != "" {
			paths++
		}
	}
	switch {
	case paths > 1:
		return fault.Newf(fault.Invalid, "Route[%d] should only contain at most one of PathExact, PathPrefix, or PathRegex", i)
	case h.PathExact != "" && !strings.HasPrefix(h.PathExact, "/"):
		return fault.Newf(fault.Invalid, "Route[%d] PathExact doesn't start with '/': %q", i, h.PathExact)
	case h.PathPrefix != "" && !strings.HasPrefix(h.PathPrefix, "/"):
		return fault.Newf(fault.Invalid, "Route[%d] PathPrefix doesn't start with '/': %q", i, h.PathPrefix)
	}
	for j, f := range h.Header {
		if f.Name == "" {
			return fault.Newf(fault.Invalid, "Route[%d] Header[%d] missing required Name field", i, j)
		}
		if n := set(f.Exact, f.Prefix, f.Suffix, f.Regex) + one(f.Present); n != 1 {
			return fault.Newf(fault.Invalid, "Route[%d] Header[%d] should only contain one of Present, Exact, Prefix, Suffix, or Regex", i, j)
		}
	}
	for j, p := range h.QueryParam {
		if p.Name == "" {
			return fault.Newf(fault.Invalid, "Route[%d] QueryParam[%d] missing required Name field", i, j)
		}
		if n := set(p.Exact, p.Regex) + one(p.Present); n != 1 {
			return fault.Newf(fault.Invalid, "Route[%d] QueryParam[%d] should only contain one of Present, Exact, or Regex", i, j)
		}
	}
	seen := map[string]bool{}
	for _, m := range h.Methods {
		if !isMethod(m) {
			return fault.Newf(fault.Invalid, "Route[%d] Methods contains an invalid method %q", i, m)
		}
		if seen[m] {
			return fault.Newf(fault.Invalid, "Route[%d] Methods contains %q more than once", i, m)
		}
		seen[m] = true
	}
	return nil
}

func isMethod(m string) bool {
	return slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"}, m)
}

// set counts the texts that are there.
func set(texts ...string) (n int) {
	for _, t := range texts {
		n += one(t != "")
	}
	return n
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// weightScale: weights have two decimals.
const weightScale = 100

func (s *ServiceSplitter) normalize() {
	for i := range s.Splits {
		s.Splits[i].Weight = float32(scaled(s.Splits[i].Weight)) / weightScale
	}
}

func scaled(w float32) int { return int(math.Round(float64(w) * weightScale)) }

func (s *ServiceSplitter) validate(*Entry) error {
	if len(s.Splits) == 0 {
		return fault.Newf(fault.Invalid, "no splits configured")
	}
	sum := 0
	seen := map[[2]string]bool{}
	for _, split := range s.Splits {
		if split.Weight < 0 || split.Weight > 100 || math.IsNaN(float64(split.Weight)) {
			return fault.Newf(fault.Invalid, "split weight must be from 0 to 100, not %f", split.Weight)
		}
		sum += scaled(split.Weight)
		key := [2]string{split.Service, split.ServiceSubset}
		if seen[key] {
			return fault.Newf(fault.Invalid, "split destination occurs more than once: service=%q, subset=%q", split.Service, split.ServiceSubset)
		}
		seen[key] = true
	}
	if sum != 100*weightScale {
		return fault.Newf(fault.Invalid, "the sum of all split weights must be 100, not %f", float32(sum)/weightScale)
	}
	return nil
}
