package configs

import (
	"net"
	"net/netip"
	"os"

	"github.com/hashicorp/go-sockaddr/template"
)

// Host is what is looked up on this machine.
type Host struct {
	Hostname   func() (string, error)
	Interfaces func() ([]Interface, error)
	Expand     func(text string) (string, error) // go-sockaddr templates
}

// Interface is a network interface that is up.
type Interface struct {
	Name  string
	Addrs []netip.Addr
}

// SystemHost is the machine that the program runs on.
func SystemHost() Host {
	return Host{Hostname: os.Hostname, Interfaces: interfaces, Expand: template.Parse}
}

func interfaces() ([]Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out []Interface
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it may have gone in between
		}
		one := Interface{Name: i.Name}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				one.Addrs = append(one.Addrs, p.Addr().Unmap())
			}
		}
		out = append(out, one)
	}
	return out, nil
}
