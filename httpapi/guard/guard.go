// Package guard keeps browsers from being turned against the agent that they can
// reach: by a foreign name that leads to it, or by a page of another site that
// writes to it.
//
// It is no access control: who may do what is a matter of tokens.
package guard

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"consul.internal/httpapi/edge"
)

// Names are those that an agent is asked under, beside IP addresses and names
// without dots.
type Names struct {
	Node    string   // the node's name
	Domains []string // the zones that the agent answers
	Allowed []string // http_config.allowed_hosts: a name, "*.zone", or "*"
}

// Admit refuses what a browser was tricked into by a page of somebody else: a
// request under a name that another DNS zone points here (DNS rebinding), and a
// write out of another site. What is asked of the client is nothing that other
// programs would have to know of.
func (n *Names) Admit(r *http.Request) error {
	if overTCP(r) && !n.knowsHost(r.Host) {
		return edge.Failed(http.StatusForbidden, fmt.Sprintf(
			"The name %q is not one of this agent's (http_config.allowed_hosts). Ask by IP address, by a name under the agent's domain, or add the name to http_config { allowed_hosts = [...] }.",
			shortened(r.Host)))
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if strings.EqualFold(strings.TrimSpace(site), "cross-site") {
			return edge.Failed(http.StatusForbidden, "Writes out of another site are refused (Sec-Fetch-Site: cross-site).")
		}
	}
	for _, origin := range r.Header.Values("Origin") {
		if !n.ownOrigin(origin, r.Host) {
			return edge.Failed(http.StatusForbidden, fmt.Sprintf(
				"Writes out of another site are refused (Origin: %s). Where this agent stands behind that name, add it to http_config { allowed_hosts = [...] }.", shortened(origin)))
		}
	}
	return nil
}

// overTCP reports whether a request came to a port. No browser reaches unix
// sockets, nor a handler in its own process, and clients write any name there.
func overTCP(r *http.Request) bool {
	switch r.Context().Value(http.LocalAddrContextKey).(type) {
	case nil, *net.UnixAddr:
		return false
	}
	return true
}

// shownName bounds what is repeated of a stranger's text.
const shownName = 100

func shortened(s string) string {
	if len(s) > shownName {
		return s[:shownName] + "..."
	}
	return s
}

// knowsHost reports whether a Host header names this agent, so that its owner, and
// not the owner of a name somewhere, wants to speak to it.
func (n *Names) knowsHost(hostport string) bool {
	host := hostOf(hostport)
	if host == "" && hostport == "" {
		return true // HTTP/1.0, which no browser speaks
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if host == "" {
		return false
	}
	if !strings.Contains(host, ".") {
		return true // no public zone has such names; "localhost" is one
	}
	if strings.EqualFold(host, strings.TrimSuffix(n.Node, ".")) {
		return true
	}
	for _, domain := range n.Domains {
		if domain = strings.ToLower(strings.Trim(domain, ".")); domain != "" && within(host, domain) {
			return true
		}
	}
	return slices.Contains(n.Allowed, "*") || n.allows(host)
}

// allows reports whether allowed_hosts names a host.
func (n *Names) allows(host string) bool {
	return slices.ContainsFunc(n.Allowed, func(name string) bool {
		if zone, below := strings.CutPrefix(name, "*."); below {
			return within(host, strings.ToLower(zone)) && len(host) > len(zone)
		}
		return strings.EqualFold(host, name)
	})
}

// within reports whether a name is a domain or below it.
func within(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// hostOf is the host in a Host header, in lower case and without brackets, zone,
// port and the root's dot; "" if there is none.
func hostOf(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	host, _, _ = strings.Cut(host, "%")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// ownOrigin reports whether a page came from this agent: by the name and port that
// the request itself has, or from a host that allowed_hosts names. Another port of
// the same machine is another site.
func (n *Names) ownOrigin(origin, host string) bool {
	u, err := url.Parse(strings.TrimSpace(origin))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return false // "null" too: nobody knows where that page came from
	}
	return strings.EqualFold(withPort(u.Host, u.Scheme), withPort(host, u.Scheme)) || n.allows(hostOf(u.Host))
}

// withPort writes a host with the port that its scheme stands for.
func withPort(host, scheme string) string {
	if _, port, err := net.SplitHostPort(host); err == nil && port != "" {
		return host
	}
	port := "80"
	if scheme == "https" {
		port = "443"
	}
	return net.JoinHostPort(hostOf(host), port)
}
