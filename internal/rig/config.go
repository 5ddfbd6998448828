//go:build linux

package rig

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

// Config is what a rig may be told.
type Config struct {
	// Dir holds the rigs' folders: disks, their images, logs. It must be on a
	// disk, not in memory.
	Dir string
	// Seed of the losses and the jitter.
	Seed uint64
	// Base is the address before the first host's.
	Base netip.Addr
	// MTU of the hosts' devices in bytes.
	MTU int
	// Keep the folder with the logs after Close.
	Keep bool
}

// DefaultConfig suits tests.
func DefaultConfig() Config {
	return Config{
		Dir: filepath.Join(os.TempDir(), "fault-rig"), Seed: 1,
		Base: netip.AddrFrom4([4]byte{10, 1, 0, 0}),
		MTU:  1500, // Ethernet's: DNS answers and segments have the sizes of real life
	}
}

// Validate tells what is wrong.
func (c Config) Validate() error {
	if !filepath.IsAbs(c.Dir) {
		return fmt.Errorf("rig: Dir %q is not an absolute path", c.Dir)
	}
	if !c.Base.Is4() || c.Base.As4()[0] != 10 {
		return fmt.Errorf("rig: Base %v is not in 10.0.0.0/8, which is what the hosts route to the switch", c.Base)
	}
	if c.MTU < 576 || c.MTU > maxFrame {
		return fmt.Errorf("rig: MTU %d is not between 576 and %d", c.MTU, maxFrame)
	}
	return nil
}
