package lan

import (
	"errors"
	"net/netip"
	"testing"

	"consul.internal/internal/fault"
)

func TestValidate(t *testing.T) {
	l := newLab(t)
	for name, change := range map[string]func(*Config){
		"name":     func(c *Config) { c.Identity.Name = "a b" },
		"id":       func(c *Config) { c.Identity.ID = "x" },
		"dc":       func(c *Config) { c.Identity.Datacenter = "" },
		"port":     func(c *Config) { c.Identity.ServerPort = 0 },
		"interval": func(c *Config) { c.RetryInterval = 0 },
		"join":     func(c *Config) { c.RetryJoin = []string{"provider=aws tag_key=x"} },
		"bind":     func(c *Config) { c.Gossip.Bind = netip.AddrPort{} },
		"any":      func(c *Config) { c.Gossip.Bind = netip.MustParseAddrPort("0.0.0.0:8301") },
		"timeout":  func(c *Config) { c.Gossip.ReconnectTimeout = 1 },
		"key":      func(c *Config) { c.Gossip.Encryption.Keys = []string{"AAAA"} },
	} {
		c := l.config(1, true)
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&c)
		if err := c.Validate(); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
