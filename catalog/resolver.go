package catalog

// Resolver says whose instances the name of a service stands for. It is what a
// service-resolver config entry says of names, and nothing else of it.
type Resolver struct {
	Service       string // that it is of
	DefaultSubset string // of its instances; empty is all of them
	Subsets       map[string]Subset
	Redirect      *Target             // whose instances are answered instead
	Failover      map[string][]Target // by subset, "*" is all others: who is tried in turn where nothing is healthy
}

// Subset is a part of a service's instances.
type Subset struct {
	Filter      string // a boolean expression about an Instance; empty is all
	OnlyPassing bool
}

// Target is where a Resolver leads to.
type Target struct {
	Service    string // empty is the same service
	Subset     string // empty is the default one of the target
	Datacenter string // empty is the same datacenter
}
