package pools

import (
	"net/netip"
	"path/filepath"
	"time"

	"consul.internal/configs"
	"consul.internal/internal/gossip"
	"consul.internal/internal/version"
	"consul.internal/lan"
	"consul.internal/store"
	"consul.internal/wan"
)

func lanConfig(s *configs.Settings, nodeID string) lan.Config {
	cfg := lan.DefaultConfig()
	cfg.Identity = lan.Identity{
		Name: s.Node.Name, ID: nodeID, Datacenter: s.Node.Datacenter, Build: version.Build(),
		Server: s.Server.Enabled, ServerPort: s.Ports.Server, Bootstrap: s.Server.Bootstrap, Expect: s.Server.BootstrapExpect,
		ReadReplica: s.Server.ReadReplica, Reconnect: s.Gossip.AdvertiseReconnect,
	}
	if s.Server.Enabled {
		cfg.Identity.Level = store.CommandLevel
		cfg.Identity.WANPort = int(s.Addresses.SerfWAN.Port())
		if at := s.Addresses.SerfWAN.Addr(); !at.IsUnspecified() && at != s.Addresses.AdvertiseLAN {
			cfg.Identity.WANAddr = at
		}
	}
	cfg.RetryJoin, cfg.RetryInterval, cfg.RetryMax = s.Joining.LAN, s.Joining.Interval, s.Joining.Max
	g := &cfg.Gossip
	g.Bind = s.Addresses.SerfLAN
	g.Advertise = netip.AddrPortFrom(s.Addresses.AdvertiseLAN, s.Addresses.SerfLAN.Port())
	g.RejoinAfterLeave, g.ReconnectTimeout, g.AllowedCIDRs = s.Gossip.RejoinAfterLeave, s.Gossip.ReconnectTimeout, s.Gossip.AllowedCIDRs
	g.Encryption = gossip.Encryption{
		InMemory: s.Gossip.NoKeyringFile, VerifyIncoming: s.Gossip.VerifyIncoming, VerifyOutgoing: s.Gossip.VerifyOutgoing,
	}
	if s.Gossip.Key != "" {
		g.Encryption.Keys = []string{s.Gossip.Key}
	}
	if dir := s.Paths.DataDir; dir != "" && !s.Dev {
		g.SnapshotPath = filepath.Join(dir, "serf", "local.snapshot")
		g.Encryption.KeyringFile = filepath.Join(dir, "serf", "local.keyring")
	}
	pace(&g.Timers, s.Gossip.LAN)
	return cfg
}

// pace lays what the configuration says over a pool's own timers.
func pace(t *gossip.Timers, s configs.GossipTiming) {
	for _, one := range []struct {
		to   *time.Duration
		from time.Duration
	}{{&t.GossipInterval, s.GossipInterval}, {&t.ProbeInterval, s.ProbeInterval}, {&t.ProbeTimeout, s.ProbeTimeout}} {
		if one.from > 0 {
			*one.to = one.from
		}
	}
	for _, one := range []struct {
		to   *int
		from int
	}{{&t.GossipNodes, s.GossipNodes}, {&t.SuspicionMult, s.SuspicionMult}, {&t.RetransmitMult, s.RetransmitMult}} {
		if one.from > 0 {
			*one.to = one.from
		}
	}
}

func wanConfig(s *configs.Settings, nodeID string) wan.Config {
	cfg := wan.DefaultConfig()
	cfg.Identity = lanConfig(s, nodeID).Identity
	cfg.RetryJoin, cfg.RetryInterval, cfg.RetryMax = s.Joining.WAN, s.Joining.IntervalWAN, s.Joining.MaxWAN
	g, local := &cfg.Gossip, lanConfig(s, nodeID).Gossip
	g.Bind = s.Addresses.SerfWAN
	g.Advertise = netip.AddrPortFrom(s.Addresses.AdvertiseWAN, s.Addresses.SerfWAN.Port())
	g.RejoinAfterLeave, g.ReconnectTimeout, g.AllowedCIDRs = s.Gossip.RejoinAfterLeave, s.Gossip.ReconnectWAN, s.Gossip.AllowedWAN
	g.Encryption = local.Encryption
	if dir := s.Paths.DataDir; dir != "" && !s.Dev {
		g.SnapshotPath = filepath.Join(dir, "serf", "remote.snapshot")
		g.Encryption.KeyringFile = filepath.Join(dir, "serf", "remote.keyring")
		cfg.ForgottenPath = filepath.Join(dir, "serf", "forgotten.json")
	}
	pace(&g.Timers, s.Gossip.WAN)
	return cfg
}
