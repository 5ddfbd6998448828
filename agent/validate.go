package agent

import (
	"fmt"
	"net/netip"
	"strings"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

const (
	// maxMetaPairs, maxMetaKey and maxMetaValue bound the metadata of a service, as documented; every agent that answers DNS keeps it.
	maxMetaPairs = 64
	maxMetaKey   = 128
	maxMetaValue = 512
	// maxWeight is the largest weight of an SRV record (RFC 2782).
	maxWeight = 65535
	// kindProxy is the kind of a sidecar proxy.
	kindProxy = "connect-proxy"
)

// Validate says what is wrong with the service, nil if nothing. Its checks are
// validated where their defaults are known.
func (d *ServiceDefinition) Validate() error {
	id := d.ID
	if id == "" {
		id = d.Name
	}
	switch {
	case d.Name == "":
		return fault.Newf(fault.Invalid, "Missing service name")
	case strings.ContainsRune(d.Name+id, 0):
		return fault.Newf(fault.Invalid, "Invalid service name or ID %q: it holds a NUL byte", d.Name)
	case id == catalog.ServiceConsul:
		return fault.Newf(fault.Invalid, "service ID %q is reserved for the servers; choose another", id)
	case isAny(d.Address):
		return fault.Newf(fault.Invalid, "Invalid service address %q: it must be an address that others can reach", d.Address)
	case d.Port < 0 || d.Port > 65535:
		return fault.Newf(fault.Invalid, "Invalid service port %d: it must be between 0 and 65535", d.Port)
	case d.SocketPath != "" && (d.Port != 0 || d.Address != ""):
		return fault.Newf(fault.Invalid, "Invalid service: SocketPath cannot be given together with Port or Address")
	case d.Kind == kindProxy && d.Proxy.DestinationServiceName == "":
		return fault.Newf(fault.Invalid, "Validation failed: Proxy.DestinationServiceName must be non-empty for Connect proxy services")
	}
	for tag, a := range d.TaggedAddresses {
		if a.Port < 0 || a.Port > 65535 {
			return fault.Newf(fault.Invalid, "Invalid port %d of tagged address %q: it must be between 0 and 65535", a.Port, tag)
		}
	}
	if w := d.Weights; w != nil {
		switch {
		case w.Passing < 1:
			return fault.Newf(fault.Invalid, "Invalid Weights: Passing must be greater than 0")
		case w.Warning < 0:
			return fault.Newf(fault.Invalid, "Invalid Weights: Warning must be greater or equal than 0")
		case w.Passing > maxWeight || w.Warning > maxWeight:
			return fault.Newf(fault.Invalid, "Invalid Weights: DNS Weight must be between 0 and %d", maxWeight)
		}
	}
	if err := validateMeta(d.Meta); err != nil {
		return fault.Newf(fault.Invalid, "Invalid Service Meta: %w", err)
	}
	return nil
}

// isAny reports whether the address means "all addresses" and so leads nobody anywhere.
func isAny(addr string) bool {
	ip, err := netip.ParseAddr(strings.Trim(addr, "[]"))
	return err == nil && ip.IsUnspecified()
}

func validateMeta(meta map[string]string) error {
	if len(meta) > maxMetaPairs {
		return fault.Newf(fault.Invalid, "it cannot contain more than %d key/value pairs", maxMetaPairs)
	}
	for k, v := range meta {
		var why string
		switch {
		case k == "":
			why = "Key cannot be blank"
		case !validMetaKey(k):
			why = "Key contains invalid characters"
		case len(k) > maxMetaKey:
			why = fmt.Sprintf("Key is too long (limit: %d characters)", maxMetaKey)
		case len(v) > maxMetaValue:
			why = fmt.Sprintf("Value is too long (limit: %d characters)", maxMetaValue)
		default:
			continue
		}
		return fault.Newf(fault.Invalid, "Couldn't load metadata pair ('%s', '%s'): %s", k, v, why)
	}
	return nil
}

func validMetaKey(k string) bool {
	for i := range len(k) {
		c := k[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// undiscoverable lists the names of a service that DNS cannot carry.
func undiscoverable(svc *catalog.Service) (name bool, tags []string) {
	for _, tag := range svc.Tags {
		for label := range strings.SplitSeq(tag, ".") { // a tag may be several labels
			if !catalog.ValidDNSLabel(label) {
				tags = append(tags, tag)
				break
			}
		}
	}
	return !catalog.ValidDNSLabel(svc.Name), tags
}
