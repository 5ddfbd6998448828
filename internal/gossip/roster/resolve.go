package roster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"consul.internal/internal/fault"
)

// lookupTimeout for one name: a resolver that hangs must not keep the other names
// from being tried.
const lookupTimeout = 3 * time.Second

// CheckTarget tells why an item cannot be joined.
func CheckTarget(item string) error {
	switch {
	case strings.TrimSpace(item) == "":
		return fault.Newf(fault.Invalid, "an address to join is empty")
	case strings.HasPrefix(item, "provider="):
		return fault.Newf(fault.Invalid, "joining by cloud provider (%.40q) is not supported; name addresses or a host name that has them", item)
	case strings.Contains(item, "{{"):
		return nil
	}
	_, _, err := split(item, 1) // whichever port
	return err
}

// split parts "host", "host:port", "1.2.3.4", "::1" and "[::1]:8301".
func split(item string, port uint16) (string, uint16, error) {
	if _, err := netip.ParseAddr(strings.Trim(item, "[]")); err == nil {
		return strings.Trim(item, "[]"), port, nil
	}
	host, text, err := net.SplitHostPort(item)
	if err != nil {
		if strings.ContainsAny(item, ":[]/ ") {
			return "", 0, fault.Newf(fault.Invalid, "%q is no address to join: write HOST or HOST:PORT", item)
		}
		return item, port, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, fault.Newf(fault.Invalid, "%q is no address to join: write HOST or HOST:PORT", item)
	}
	return host, uint16(n), nil
}

// Resolver turns what users write into addresses, anew at each attempt.
type Resolver struct {
	Port   uint16 // where none is given
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	Expand func(text string) (string, error) // nil = templates are an error
}

// SystemLookup finds the addresses of a host.
func SystemLookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// all resolves every item at once; what fails does not hold up the rest.
func (r Resolver) all(ctx context.Context, items []string) ([]netip.AddrPort, error) {
	addrs := make([][]netip.AddrPort, len(items))
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() { addrs[i], errs[i] = r.one(ctx, item) })
	}
	wg.Wait()
	var out []netip.AddrPort
	seen := map[netip.AddrPort]bool{}
	for _, list := range addrs {
		for _, a := range list {
			if !seen[a] {
				seen[a] = true
				out = append(out, a)
			}
		}
	}
	return out, errors.Join(errs...)
}

func (r Resolver) one(ctx context.Context, item string) ([]netip.AddrPort, error) {
	names := []string{item}
	if strings.Contains(item, "{{") {
		if r.Expand == nil {
			return nil, fault.Newf(fault.Invalid, "templates such as %.40q cannot be used here", item)
		}
		text, err := r.Expand(item)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", item, err)
		}
		names = strings.Fields(text)
	}
	var out []netip.AddrPort
	var errs []error
	for _, name := range names {
		host, port, err := split(name, r.Port)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if a, err := netip.ParseAddr(host); err == nil {
			out = append(out, netip.AddrPortFrom(a.Unmap(), port))
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		found, err := r.Lookup(ctx, host)
		cancel()
		if err != nil {
			errs = append(errs, fmt.Errorf("failed to resolve %s: %w", host, err))
		}
		for _, a := range found {
			out = append(out, netip.AddrPortFrom(a.Unmap(), port))
		}
	}
	return out, errors.Join(errs...)
}
