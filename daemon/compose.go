package daemon

import (
	"net"
	"net/netip"
	"strconv"

	"consul.internal/agent"
	"consul.internal/configs"
	"consul.internal/dnsserver"
	"consul.internal/federation"
	"consul.internal/httpapi"
	"consul.internal/internal/door"
	"consul.internal/internal/version"
	"consul.internal/server"
	"consul.internal/store"
)

func storeConfig(s *configs.Settings, nodeID string) store.Config {
	cfg := store.DefaultConfig()
	cfg.NodeID = nodeID
	if !s.Dev {
		cfg.DataDir = s.Paths.DataDir
	}
	cfg.Bootstrap = s.Server.Bootstrap || s.Dev
	cfg.Expect = s.Server.BootstrapExpect
	cfg.Multiplier = s.Raft.Multiplier
	cfg.SnapshotThreshold = uint64(s.Raft.SnapshotThreshold)
	cfg.SnapshotInterval = s.Raft.SnapshotInterval
	cfg.TrailingLogs = uint64(s.Raft.TrailingLogs)
	return cfg
}

func serverBind(s *configs.Settings) string {
	return net.JoinHostPort(s.Addresses.Bind.String(), strconv.Itoa(s.Ports.Server))
}

func serverConfig(s *configs.Settings) server.Config {
	return server.Config{
		Datacenter:        s.Node.Datacenter,
		PrimaryDatacenter: s.Node.PrimaryDatacenter,
		ConfigEntries:     s.Server.ConfigEntries,
		RPCHoldTimeout:    s.Raft.RPCHoldTimeout,
		DefaultQueryTime:  s.Queries.DefaultTime,
		MaxQueryTime:      s.Queries.MaxTime,
		SessionTTLMin:     s.Server.SessionTTLMin,
		ACL: server.ACL{
			Enabled: s.ACL.Enabled, DefaultAllow: s.ACL.DefaultPolicy == "allow", KeyListPolicy: s.ACL.KeyListPolicy,
			DownPolicy: s.ACL.DownPolicy, InitialManagement: s.ACL.Tokens.InitialManagement, TokenReplication: s.ACL.TokenReplication,
		},
	}
}

func routerConfig(s *configs.Settings, nodeID string) federation.Config {
	return federation.Config{
		Datacenter: s.Node.Datacenter, NodeID: nodeID, HoldTimeout: s.Raft.RPCHoldTimeout, CallTimeout: s.Limits.RPCClientTimeout,
	}
}

func agentConfig(s *configs.Settings, nodeID string) agent.Config {
	cfg := agent.DefaultConfig()
	cfg.NodeName = s.Node.Name
	cfg.NodeID = nodeID
	cfg.Datacenter = s.Node.Datacenter
	cfg.Address = s.Addresses.AdvertiseLAN.String()
	cfg.TaggedAddresses = taggedAddresses(&s.Addresses)
	cfg.NodeMeta = s.Node.Meta
	cfg.Version = version.Version
	cfg.DataDir = s.Paths.DataDir
	cfg.EnableScriptChecks = s.Checks.ScriptsRemote
	cfg.EnableLocalScriptChecks = s.Checks.ScriptsLocal
	cfg.CheckUpdateInterval = s.Checks.UpdateInterval
	cfg.CheckOutputMaxSize = s.Checks.OutputMaxSize
	cfg.Set = agentSet(s)
	return cfg
}

func agentSet(s *configs.Settings) agent.Set {
	meta := s.Node.Meta
	if meta == nil {
		meta = map[string]string{} // none, not "as it was"
	}
	return agent.Set{
		Services: s.Definitions.Services, Checks: s.Definitions.Checks,
		NodeMeta: meta, DiscardCheckOutput: s.Checks.DiscardOutput,
	}
}

func taggedAddresses(a *configs.Addresses) map[string]string {
	tagged := map[string]string{"lan": a.AdvertiseLAN.String(), "wan": a.AdvertiseWAN.String()}
	for tag, addr := range map[string]netip.Addr{
		"lan_ipv4": a.AdvertiseLANIPv4, "lan_ipv6": a.AdvertiseLANIPv6,
		"wan_ipv4": a.AdvertiseWANIPv4, "wan_ipv6": a.AdvertiseWANIPv6,
	} {
		if addr.IsValid() {
			tagged[tag] = addr.String()
		}
	}
	for _, x := range []struct {
		base string
		addr netip.Addr
	}{{"lan", a.AdvertiseLAN}, {"wan", a.AdvertiseWAN}} {
		family := x.base + "_ipv6"
		if x.addr.Is4() {
			family = x.base + "_ipv4"
		}
		if _, given := tagged[family]; !given {
			tagged[family] = x.addr.String()
		}
	}
	return tagged
}

// dnsConfig reports false if DNS is off.
func dnsConfig(s *configs.Settings) (dnsserver.Config, bool) {
	cfg := dnsserver.DefaultConfig()
	cfg.Addrs, cfg.TLSAddrs = addrs(s.Addresses.DNS), addrs(s.Addresses.DNSTLS)
	cfg.Limits.TCPConns = door.Share(dnsParts, cfg.Limits.TCPConns)
	cfg.Domain, cfg.AltDomain = s.DNS.Domain, s.DNS.AltDomain
	cfg.Datacenter = s.Node.Datacenter
	cfg.NodeTTL, cfg.PTRTTL, cfg.ServiceTTL = s.DNS.NodeTTL, s.DNS.PTRTTL, s.DNS.ServiceTTL
	cfg.SOA = dnsserver.SOA{
		Refresh: uint32(s.DNS.SOARefresh), Retry: uint32(s.DNS.SOARetry),
		Expire: uint32(s.DNS.SOAExpire), MinTTL: uint32(s.DNS.SOAMinTTL),
	}
	cfg.OnlyPassing = s.DNS.OnlyPassing
	cfg.EnableTruncate = s.DNS.EnableTruncate
	cfg.UDPAnswerLimit = s.DNS.UDPAnswerLimit
	cfg.ARecordLimit = s.DNS.ARecordLimit
	cfg.DisableCompression = s.DNS.DisableCompression
	cfg.EnableAdditionalNodeMetaTXT = s.DNS.NodeMetaTXT
	cfg.TranslateWANAddrs, cfg.NearestFirst = s.Node.TranslateWANAddrs, s.DNS.NearestFirst
	cfg.Guard, cfg.Transfer, cfg.Observe, cfg.Chaos = s.DNS.Guard, s.DNS.Transfer, s.DNS.Observe, s.DNS.Chaos
	cfg.Recursion.Upstreams, cfg.Recursion.Random = s.DNS.Recursors, s.DNS.RecursorsRandom
	cfg.Recursion.Timeout, cfg.Recursion.Allow = s.DNS.RecursorTimeout, s.DNS.RecursionAllow
	return cfg, len(cfg.Addrs) > 0
}

// httpConfig reports false if HTTP is off.
func httpConfig(s *configs.Settings) (httpapi.Config, bool) {
	cfg := httpapi.DefaultConfig()
	cfg.Addrs = addrs(s.Addresses.HTTP)
	for _, path := range s.Addresses.HTTPSockets {
		cfg.Sockets = append(cfg.Sockets, httpapi.Socket{
			Path: path, User: s.Addresses.SocketUser, Group: s.Addresses.SocketGroup, Mode: s.Addresses.SocketMode,
		})
	}
	cfg.SecureAddrs, cfg.HandshakeTimeout, cfg.WriteFrom = addrs(s.Addresses.HTTPS), s.Limits.HTTPSHandshakeTimeout, s.HTTP.WriteFrom
	cfg.Datacenter, cfg.NodeName = s.Node.Datacenter, s.Node.Name
	cfg.ResponseHeaders, cfg.BlockEndpoints = s.HTTP.ResponseHeaders, s.HTTP.BlockEndpoints
	cfg.AllowedHosts, cfg.Domains, cfg.NoCache = s.HTTP.AllowedHosts, []string{s.DNS.Domain, s.DNS.AltDomain}, s.HTTP.NoCache
	cfg.MaxConnsPerClient = s.Limits.HTTPMaxConnsPerClient
	cfg.DefaultQueryTime, cfg.MaxQueryTime = s.Queries.DefaultTime, s.Queries.MaxTime
	cfg.EnableDebug = s.HTTP.EnableDebug
	cfg.UI, cfg.Pages.Path, cfg.Pages.Dir, cfg.Pages.Domain = s.HTTP.UI, s.HTTP.UIPath, s.HTTP.UIDir, s.DNS.Domain
	cfg.Pages.Dashboard, cfg.Metrics = s.HTTP.Dashboard, s.HTTP.Metrics
	cfg.MaxHeaderBytes = s.HTTP.MaxHeaderBytes
	cfg.TranslateWANAddrs = s.Node.TranslateWANAddrs
	cfg.DiscoveryMaxStale = s.Queries.DiscoveryMaxStale
	cfg.ACLs, cfg.ACLDefaultPolicy, cfg.ACLDownPolicy = s.ACL.Enabled, "allow", s.ACL.DownPolicy
	if s.ACL.Enabled {
		cfg.ACLDefaultPolicy = s.ACL.DefaultPolicy
	}
	cfg.KVMaxValueSize, cfg.TxnMaxReqLen = int64(s.Limits.KVMaxValueSize), int64(s.Limits.TxnMaxReqLen)
	return cfg, len(cfg.Addrs)+len(cfg.SecureAddrs)+len(cfg.Sockets) > 0
}

func addrs(list []netip.AddrPort) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return out
}
