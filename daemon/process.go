package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"strconv"

	"consul.internal/catalog"
	"consul.internal/configs"
	"consul.internal/federation"
	"consul.internal/httpapi"
	"consul.internal/internal/fault"
	"consul.internal/internal/tlsx"
	"consul.internal/internal/version"
	"go.uber.org/zap"
)

// process is the daemon as the HTTP API shows and steers it.
type process struct{ d *Daemon }

var _ httpapi.Process = process{}

func (p process) Reload(ctx context.Context) error {
	if p.d.opts.Reload == nil {
		return fault.Newf(fault.Invalid, "this agent has no configuration to read again")
	}
	return p.d.opts.Reload(ctx)
}

func (p process) Leave(ctx context.Context) error { return p.d.leaveSoon(ctx) }

// Self describes the process. Secrets never stand in it.
func (p process) Self() httpapi.Self {
	d := p.d
	s := d.settings
	return httpapi.Self{
		Config: map[string]any{
			"Datacenter": s.Node.Datacenter, "PrimaryDatacenter": s.Node.PrimaryDatacenter,
			"NodeName": s.Node.Name, "NodeID": d.nodeID, "Server": s.Server.Enabled,
			"Revision": version.Revision, "Version": version.Human(), "BuildDate": version.BuildDate,
		},
		DebugConfig: map[string]any{
			"ACLsEnabled": s.ACL.Enabled, "Bootstrap": s.Server.Bootstrap, "BootstrapExpect": s.Server.BootstrapExpect,
			"Datacenter": s.Node.Datacenter, "PrimaryDatacenter": s.Node.PrimaryDatacenter, "DevMode": s.Dev,
			"NodeName": s.Node.Name, "NodeID": d.nodeID, "NodeMeta": s.Node.Meta, "ServerMode": s.Server.Enabled,
			"EnableDebug": s.HTTP.EnableDebug, "DataDir": s.Paths.DataDir, "LogLevel": s.Log.Level,
			"DNSDomain": s.DNS.Domain, "DNSAltDomain": s.DNS.AltDomain, "DNSPort": s.Ports.DNS, "HTTPPort": s.Ports.HTTP,
			"HTTPSPort": s.Ports.HTTPS, "ServerPort": s.Ports.Server, "SerfPortLAN": s.Ports.SerfLAN,
			"SerfPortWAN": s.Ports.SerfWAN, "BindAddr": s.Addresses.Bind.String(), "ClientAddrs": s.Addresses.Client,
			"AdvertiseAddrLAN": s.Addresses.AdvertiseLAN.String(), "AdvertiseAddrWAN": s.Addresses.AdvertiseWAN.String(),
		},
		Coord:  placing{d}.now(),
		Member: d.pools.Shown().Self(false),
		Stats:  p.stats(),
		Meta:   d.local.Node().Meta,
	}
}

func (p process) stats() map[string]map[string]string {
	d, s, pools := p.d, p.d.settings, p.d.pools.Shown()
	ttls, monitors := 0, 0
	checks := d.local.Checks()
	for _, c := range checks {
		if c.Type == "ttl" {
			ttls++
		} else if c.Type != string(catalog.Maintenance) {
			monitors++
		}
	}
	stats := map[string]map[string]string{
		"agent": {
			"check_monitors": strconv.Itoa(monitors), "check_ttls": strconv.Itoa(ttls),
			"checks": strconv.Itoa(len(checks)), "services": strconv.Itoa(len(d.local.Services())),
		},
		"build": {
			"prerelease": version.Prerelease, "revision": version.Revision,
			"version": version.Version, "version_metadata": "",
		},
		"consul": {"server": strconv.FormatBool(s.Server.Enabled), "acl": map[bool]string{true: "enabled", false: "disabled"}[s.ACL.Enabled]},
		"runtime": {
			"os": runtime.GOOS, "arch": runtime.GOARCH, "version": runtime.Version(),
			"max_procs": strconv.Itoa(runtime.GOMAXPROCS(0)), "goroutines": strconv.Itoa(runtime.NumGoroutine()),
			"cpu_count": strconv.Itoa(runtime.NumCPU()),
		},
	}
	maps.Copy(stats, pools.Stats())
	if d.store != nil {
		stats["consul"]["bootstrap"] = strconv.FormatBool(s.Server.Bootstrap)
		stats["consul"]["known_datacenters"] = strconv.Itoa(len(d.pools.Chart()))
		stats["consul"]["leader"] = strconv.FormatBool(d.store.IsLeader())
		stats["consul"]["leader_addr"] = d.store.LeaderAddr()
		stats["raft"] = d.store.Stats()
	} else {
		stats["consul"]["known_servers"] = strconv.Itoa(pools.Servers())
	}
	return stats
}

// Reload takes over what can change without a restart, and names what cannot.
// Everything is judged before anything is changed. Who the agent is and where it
// listens stay as they were at the start.
func (d *Daemon) Reload(next *configs.Settings) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dnsCfg, dnsOn := dnsConfig(next)
	httpCfg, httpOn := httpConfig(next)
	dnsOn, httpOn = dnsOn && d.dns != nil, httpOn && d.http != nil
	if dnsOn {
		if err := dnsCfg.Validate(); err != nil {
			return fmt.Errorf("reload dns_config: %w", err)
		}
	}
	if httpOn {
		httpCfg.NodeName, httpCfg.Datacenter = d.settings.Node.Name, d.settings.Node.Datacenter
		if err := httpCfg.Validate(); err != nil {
			return fmt.Errorf("reload http_config: %w", err)
		}
	}
	if _, err := tlsx.New(tlsConfig(next)); err != nil {
		return fmt.Errorf("reload tls: %w", err)
	}
	set := agentSet(next)
	if err := d.local.Reload(&set); err != nil {
		return fmt.Errorf("reload services and checks: %w", err)
	}
	errs := []error{d.tls.Reload(tlsConfig(next))}
	for _, w := range d.tls.Warnings() {
		d.log.Warn(w)
	}
	if dnsOn {
		errs = append(errs, d.dns.Reload(dnsCfg))
	}
	if httpOn {
		errs = append(errs, d.http.Reload(httpCfg))
	}
	d.doors.reload(&next.Limits)
	d.mux.SetLimit(next.Limits.RPCMaxConnsPerClient)
	federation.SetCallTimeout(d.router, next.Limits.RPCClientTimeout)
	errs = append(errs, d.watch.Reload(next))
	changed, _ := configs.Diff(d.latest, next)
	_, restart := configs.Diff(d.settings, next) // what runs is as it was at the start
	if len(restart) > 0 {
		d.log.Warn("these settings changed but need a restart to take effect", zap.Strings("keys", restart))
	}
	d.opts.Metrics.SetFilter(metricsFilter(next))
	d.tokens.Reload(agentTokens(d.settings.ACL.Enabled, next))
	d.local.SyncNow() // with other tokens, what was refused may be permitted
	d.views.world.SetMaxStale(next.DNS.MaxStale)
	d.latest = next
	d.log.Info("Configuration reloaded", zap.Strings("changed", changed))
	return errors.Join(errs...)
}

// DNSAddrs are the addresses of the DNS door, for those who asked for port 0.
func (d *Daemon) DNSAddrs() []string {
	if d.dns == nil {
		return nil
	}
	return addrs(d.dns.Addrs())
}

// HTTPAddrs are the addresses of the HTTP door.
func (d *Daemon) HTTPAddrs() []net.Addr {
	if d.http == nil {
		return nil
	}
	return d.http.Addrs()
}
