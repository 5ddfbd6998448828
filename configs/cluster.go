package configs

import (
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
	"time"

	"consul.internal/view/world"
)

func (r *resolver) gossip() Gossip {
	f := r.f
	g := Gossip{
		LAN: r.timing("gossip_lan", &f.GossipLAN), WAN: r.timing("gossip_wan", &f.GossipWAN), ReconnectWAN: value(f.ReconnectTimeoutWAN), RejoinAfterLeave: value(f.RejoinAfterLeave), ReconnectTimeout: value(f.ReconnectTimeout),
		Key: value(f.EncryptKey), VerifyIncoming: value(f.EncryptVerifyIn), VerifyOutgoing: value(f.EncryptVerifyOut),
		NoKeyringFile: value(f.DisableKeyringFile), NoCoordinates: value(f.DisableCoordinates),
		AdvertiseReconnect: value(f.AdvertiseReconnect),
	}
	for _, text := range f.SerfLANCIDRs {
		if p, err := netip.ParsePrefix(text); err == nil { // words names those that are none
			g.AllowedCIDRs = append(g.AllowedCIDRs, p)
		}
	}
	for _, text := range f.SerfWANCIDRs {
		if p, err := netip.ParsePrefix(text); err == nil { // as above
			g.AllowedWAN = append(g.AllowedWAN, p)
		}
	}
	if g.ReconnectTimeout < minReconnect {
		r.errorf("reconnect_timeout", "reconnect_timeout must be >= %s", minReconnect)
	}
	if g.AdvertiseReconnect != 0 && value(f.Server) {
		r.errorf("advertise_reconnect_timeout", "advertise_reconnect_timeout is for clients only: how long failed servers are remembered says reconnect_timeout")
	}
	return g
}

// federation checks which names of other datacenters are to be followed.
func (r *resolver) federation() Federation {
	for _, text := range r.f.Federation.Prefetch {
		if err := world.CheckPrefetch(text); err != nil {
			r.errorf("federation.prefetch", "federation.prefetch: %v", err)
		}
	}
	return Federation{Prefetch: r.f.Federation.Prefetch}
}

// minReconnect is the known lower bound: a machine that is repaired within a
// working day must find its place again.
const minReconnect = 8 * time.Hour

func (r *resolver) timing(key string, f *gossipFile) GossipTiming {
	t := GossipTiming{
		GossipNodes: value(f.GossipNodes), GossipInterval: value(f.GossipInterval), ProbeInterval: value(f.ProbeInterval),
		ProbeTimeout: value(f.ProbeTimeout), SuspicionMult: value(f.SuspicionMult), RetransmitMult: value(f.RetransmitMult),
	}
	for name, n := range map[string]int{"gossip_nodes": t.GossipNodes, "suspicion_mult": t.SuspicionMult, "retransmit_mult": t.RetransmitMult} {
		if n < 0 {
			r.errorf(key+"."+name, "%s.%s cannot be negative", key, name)
		}
	}
	for name, d := range map[string]time.Duration{"gossip_interval": t.GossipInterval, "probe_interval": t.ProbeInterval, "probe_timeout": t.ProbeTimeout} {
		if d < 0 {
			r.errorf(key+"."+name, "%s.%s cannot be negative", key, name)
		}
	}
	if t.ProbeInterval > 0 && t.ProbeTimeout > t.ProbeInterval {
		r.errorf(key+".probe_timeout", "%s.probe_timeout (%s) must not be longer than probe_interval (%s)", key, t.ProbeTimeout, t.ProbeInterval)
	}
	return t
}

func (r *resolver) autopilot() Autopilot {
	f := r.f.Autopilot
	a := Autopilot{
		CleanupDeadServers: value(f.CleanupDeadServers), LastContactThreshold: value(f.LastContactThreshold),
		MaxTrailingLogs: value(f.MaxTrailingLogs), MinQuorum: value(f.MinQuorum), ServerStabilizationTime: value(f.ServerStabilizationTime),
	}
	if a.MaxTrailingLogs < 0 {
		r.errorf("autopilot.max_trailing_logs", "autopilot.max_trailing_logs cannot be %d. Must be greater than or equal to zero", a.MaxTrailingLogs)
	}
	if a.MinQuorum < 0 {
		r.errorf("autopilot.min_quorum", "autopilot.min_quorum cannot be %d. Must be greater than or equal to zero", a.MinQuorum)
	}
	return a
}

func (r *resolver) tls() TLS {
	f := &r.f.TLS
	t := TLS{
		InternalRPC: r.tlsPart("tls.internal_rpc", &f.Defaults, &f.InternalRPC),
		HTTPS:       r.tlsPart("tls.https", &f.Defaults, &f.HTTPS),
		ServerName:  or(f.ServerName, value(r.f.ServerName)),
		Checks:      value(f.EnableAgentTLSForChecks) || value(r.f.EnableAgentTLSForChecks),
	}
	if f.Defaults.VerifyServerHostname != nil {
		r.errorf("tls.defaults.verify_server_hostname", "tls.defaults.verify_server_hostname is not known: it belongs into tls.internal_rpc")
	}
	if t.InternalRPC.VerifyServerHostname {
		t.InternalRPC.VerifyOutgoing = true // it says nothing otherwise
	}
	if p := t.InternalRPC; t.Checks && p.CertFile+p.CAFile+p.CAPath == "" {
		r.warnf("", "enable_agent_tls_for_checks changes nothing: this agent has no certificate and no authorities; set cert_file, key_file and ca_file in tls.defaults or tls.internal_rpc")
	}
	return t
}

// tlsVersions are the versions that tls_min_version may name.
func tlsVersions() []string { return []string{"TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"} }

func (r *resolver) tlsPart(key string, defaults, own *tlsPartFile) TLSPart {
	text := func(get func(*tlsPartFile) *string) string {
		return or(get(own), value(get(defaults)))
	}
	flag := func(get func(*tlsPartFile) *bool) bool {
		return or(get(own), value(get(defaults)))
	}
	p := TLSPart{
		CAFile:         text(func(f *tlsPartFile) *string { return f.CAFile }),
		CAPath:         text(func(f *tlsPartFile) *string { return f.CAPath }),
		CertFile:       text(func(f *tlsPartFile) *string { return f.CertFile }),
		KeyFile:        text(func(f *tlsPartFile) *string { return f.KeyFile }),
		MinVersion:     text(func(f *tlsPartFile) *string { return f.TLSMinVersion }),
		VerifyIncoming: flag(func(f *tlsPartFile) *bool { return f.VerifyIncoming }),
		VerifyOutgoing: flag(func(f *tlsPartFile) *bool { return f.VerifyOutgoing }),

		VerifyServerHostname: value(own.VerifyServerHostname),
	}
	if p.MinVersion != "" && !slices.Contains(tlsVersions(), p.MinVersion) {
		r.errorf(key+".tls_min_version", "%s.tls_min_version cannot be %q: use %s", key, p.MinVersion, strings.Join(tlsVersions(), ", "))
	}
	for suite := range strings.SplitSeq(text(func(f *tlsPartFile) *string { return f.TLSCipherSuites }), ",") {
		if suite = strings.TrimSpace(suite); suite != "" {
			p.CipherSuites = append(p.CipherSuites, suite)
		}
	}
	return p
}

func (r *resolver) gossipKey() {
	text := value(r.f.EncryptKey)
	if text == "" {
		return
	}
	key, err := base64.StdEncoding.DecodeString(text)
	switch {
	case err != nil:
		r.errorf("encrypt", "encrypt has invalid key: %v", err)
	case len(key) != 16 && len(key) != 24 && len(key) != 32:
		r.errorf("encrypt", "encrypt has invalid key: it has %d bytes, not 16, 24 or 32; \"consul keygen\" makes one", len(key))
	}
}
