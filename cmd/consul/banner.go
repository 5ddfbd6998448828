package main

import (
	"fmt"
	"strings"

	"consul.internal/configs"
	"consul.internal/internal/version"
)

// bannerKeyWidth aligns the colons of the banner.
const bannerKeyWidth = 22

// banner is what the agent prints before its log: who it is and where it listens.
func banner(s *configs.Settings, nodeID string) string {
	segment := ""
	if s.Server.Enabled {
		segment = "<all>"
	}
	client := make([]string, len(s.Addresses.Client))
	for i, a := range s.Addresses.Client {
		client[i] = a.String()
	}
	policy := s.ACL.DefaultPolicy
	if policy == "" {
		policy = "allow"
	}
	// TLS is not built yet: these lines say what holds without it.
	const noTLS = "Verify Incoming: false, Verify Outgoing: false, Min Version: TLSv1_2"
	var b strings.Builder
	line := func(key, format string, args ...any) {
		fmt.Fprintf(&b, "%*s: %s\n", bannerKeyWidth, key, fmt.Sprintf(format, args...))
	}
	b.WriteString("==> Starting Consul agent...\n")
	line("Version", "'%s'", version.Human())
	line("Build Date", "'%s'", version.BuildDate)
	line("Node ID", "'%s'", nodeID)
	line("Node name", "'%s'", s.Node.Name)
	line("Datacenter", "'%s' (Segment: '%s')", s.Node.Datacenter, segment)
	line("Server", "%v (Bootstrap: %v)", s.Server.Enabled, s.Server.Bootstrap && !s.Dev)
	line("Client Addr", "[%s] (HTTP: %d, HTTPS: %d, gRPC: %d, gRPC-TLS: %d, DNS: %d)", strings.Join(client, " "),
		s.Ports.HTTP, s.Ports.HTTPS, s.Ports.GRPC, s.Ports.GRPCTLS, s.Ports.DNS)
	line("Cluster Addr", "%s (LAN: %d, WAN: %d)", s.Addresses.AdvertiseLAN, s.Ports.SerfLAN, s.Ports.SerfWAN)
	line("Gossip Encryption", "%v", s.Gossip.Key != "")
	line("Auto-Encrypt-TLS", "false")
	line("ACL Enabled", "%v", s.ACL.Enabled)
	line("ACL Default Policy", "%s", policy)
	line("HTTPS TLS", noTLS)
	line("gRPC TLS", "Min Version: TLSv1_2")
	line("Internal RPC TLS", noTLS+" (Verify Hostname: false)")
	b.WriteString("\n==> Log data will now stream in as it occurs:\n\n")
	return b.String()
}
