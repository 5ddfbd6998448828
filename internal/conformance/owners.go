package conformance

import (
	"slices"
	"strings"
)

// built is the last issue whose parts are there; whatever belongs to it or to an
// earlier one must pass.
const built = "H"

// later marks what no planned issue brings (the service mesh, peering).
const later = "later"

// order of the issues; "later" comes after all of them.
var order = []string{"A", "B", "C", "D", "E", "F", "G", "H", later}

func rank(issue string) int { return slices.Index(order, issue) }

// owed says whether an issue's cases must pass by now.
func owed(issue string) bool { return rank(issue) <= rank(built) }

// near says whether an issue is the next one: its cases are run and counted
// even when not everything is asked for.
func near(issue string) bool { return rank(issue) <= rank(built)+1 }

func latest(a, b string) string {
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// dnsFileOwners lists the DNS files that do not belong to issue A. protocol,
// bad-names and odd-names stand in the rows of A (one datacenter) and of E; the
// earlier one counts, so that nothing slips.
var dnsFileOwners = map[string]string{
	"two-dc": "D", "two-dc-dead": "D", "two-dc-left": "D", "two-dc-wan-translate": "D",
	"prepared": "D", "prepared-ecs": "D", "use-cache": "D",
	"recursor": "E", "recursor-failover": "E", "recursor-order": "E", "recursor-truncated": "E",
	"outside-no-recursor":   "E",
	"acl-anon-service-only": "G", "acl-anon-web": "G", "acl-bad-dns-token": "G",
	"acl-deny-anonymous": "G", "acl-dns-over-default": "G", "acl-dns-token": "G",
}

// DNSOwner names the issue that a DNS case belongs to.
func DNSOwner(f *DNSFile, c *DNSCase) string {
	owner, listed := dnsFileOwners[f.Name]
	if !listed {
		owner = "A"
	}
	labels := strings.Split(strings.ToLower(c.Query.Name), ".")
	if slices.Contains(labels, "query") {
		owner = latest(owner, "D")
	}
	if (f.Name == "connect" || strings.HasPrefix(f.Name, "acl-")) && c.Kind != "better" && meshName(labels) {
		owner = later
	}
	if f.Name == "reload" && strings.HasSuffix(strings.ToLower(c.Query.Name), "example.com.") {
		owner = latest(owner, "E")
	}
	return owner
}

func meshName(labels []string) bool {
	return slices.ContainsFunc(labels, func(l string) bool { return l == "connect" || l == "ingress" || l == "virtual" })
}

// areaOwners maps the areas of HTTP and command line vectors.
var areaOwners = map[string]string{
	"agent": "B", "catalog": "B", "health": "B", "status": "B", "general": "B",
	"cli-agent": "B", "cli-basic": "B", "cli-catalog": "B", "cli-services": "B", "cli-validate": "B", "cli-debug": "B",
	"operator": "C", "keyring": "C", "tls": "C", "usage": "C", "cli-operator": "C", "cli-tls": "C",
	"multidc": "D", "query": "D", "coordinate": "D", "config": "D", "cli-config": "D",
	"kv": "F", "txn": "F", "session": "F", "event": "F", "snapshot": "F", "lock": "F",
	"cli-kv": "F", "cli-event": "F", "cli-watch": "F", "cli-exec": "F", "cli-snapshot": "F",
	"acl": "G", "cli-acl": "G", "cli-login": "G",
	"cli-help": "H",
	"connect":  later, "cli-connect": later, "peering": later,
}

// scriptOwners overrides the area for single files.
var scriptOwners = map[string]string{"agent-connect": later}

// pathOwners tells which issue brings an endpoint; the longest prefix counts.
var pathOwners = []struct{ prefix, owner string }{
	{"/v1/kv", "F"}, {"/v1/txn", "F"}, {"/v1/session", "F"}, {"/v1/event", "F"}, {"/v1/snapshot", "F"},
	{"/v1/query", "D"}, {"/v1/coordinate", "D"}, {"/v1/config", "D"}, {"/v1/exported-services", later},
	{"/v1/operator", "C"}, {"/v1/acl", "G"}, {"/v1/connect", later}, {"/v1/agent/connect", later},
	{"/v1/discovery-chain", later}, {"/v1/peering", later}, {"/v1/internal/ui", "H"}, {"/ui", "H"},
	{"/v1/agent/join", "C"}, {"/v1/agent/force-leave", "C"}, {"/v1/health/connect", later}, {"/v1/health/ingress", later},
	{"/v1/catalog/connect", later}, {"/v1/catalog/gateway-services", later},
}

// PathOwner names the issue that brings an endpoint; "A" for all others.
func PathOwner(path string) string {
	for _, p := range pathOwners {
		if strings.HasPrefix(path, p.prefix) {
			return p.owner
		}
	}
	return "A"
}

// commandOwners tells which issue brings a command.
var commandOwners = map[string]string{
	"join": "C", "force-leave": "C", "keyring": "C", "operator": "C", "tls": "C", "rtt": "D", "config": "D",
	"kv": "F", "session": "F", "event": "F", "watch": "F", "exec": "F", "lock": "F", "snapshot": "F",
	"acl": "G", "login": "G", "logout": "G", "connect": later, "intention": later, "peering": later,
}

// StepOwner names the issue that a step of a script belongs to.
func StepOwner(s *Script, st *Step) string {
	owner, listed := scriptOwners[s.Name]
	if !listed {
		owner = areaOwners[s.Area]
	}
	if owner == "" {
		owner = later // an area nobody has claimed must not pass for built
	}
	switch st.Do {
	case "http":
		owner = latest(owner, PathOwner(st.Path))
		if s.Name == "query-execute" && st.Name == "bound query gone" {
			owner = latest(owner, "F") // its session ends before
		}
	case "cli":
		if len(st.Args) > 0 {
			owner = latest(owner, commandOwners[st.Args[0]])
		}
		if s.Name == "cli-agent-banner" && st.Name == "client banner" {
			owner = latest(owner, "C")
		}
	}
	return owner
}
