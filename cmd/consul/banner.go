package main

import (
	"cmp"
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
	tls := func(p configs.TLSPart) string {
		return fmt.Sprintf("Verify Incoming: %v, Verify Outgoing: %v, Min Version: %s", p.VerifyIncoming, p.VerifyOutgoing, cmp.Or(p.MinVersion, "TLSv1_2"))
	}
	line("HTTPS TLS", "%s", tls(s.TLS.HTTPS))
	line("gRPC TLS", "Min Version: TLSv1_2")
	line("Internal RPC TLS", "%s (Verify Hostname: %v)", tls(s.TLS.InternalRPC), s.TLS.InternalRPC.VerifyServerHostname)
	b.WriteString("\n==> Log data will now stream in as it occurs:\n\n")
	return b.String()
}
