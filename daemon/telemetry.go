package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"consul.internal/configs"
	"consul.internal/httpapi/machine"
	"consul.internal/internal/metrics"
)

// collectors are those whom the settings name.
func collectors(s *configs.Settings, hostname string) []metrics.Collector {
	t := &s.Telemetry
	if t.DisableHostname {
		hostname = ""
	}
	var out []metrics.Collector
	if t.Statsd != "" {
		out = append(out, metrics.Collector{Protocol: metrics.StatsD, Addr: t.Statsd, Hostname: hostname})
	}
	if t.Statsite != "" {
		out = append(out, metrics.Collector{Protocol: metrics.Statsite, Addr: t.Statsite, Hostname: hostname})
	}
	if t.Dogstatsd != "" { // which tells agents apart itself
		out = append(out, metrics.Collector{Protocol: metrics.DogStatsD, Addr: t.Dogstatsd, Tags: t.DogstatsdTags})
	}
	return out
}

// openTelemetry begins to tell collectors, and is an error where one cannot be reached
// that has to be.
func (d *Daemon) openTelemetry(ctx, life context.Context) error {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = d.settings.Node.Name
	}
	list := collectors(d.settings, hostname)
	if len(list) == 0 {
		return nil
	}
	if !d.settings.Telemetry.RetryFailed {
		var errs []error
		for _, c := range list {
			if err := c.Try(ctx); err != nil {
				errs = append(errs, fmt.Errorf("telemetry: %s at %s cannot be reached: %w. With retry_failed_connection = true the agent starts all the same", c.Protocol, c.Addr, err))
			}
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	d.wg.Go(func() { d.opts.Metrics.Push(life, d.log.Named("telemetry"), list...) })
	return nil
}

// publishHost shows how the machine is, and the file system of the data directory.
func publishHost(r *metrics.Registry, dataDir string) {
	if dataDir == "" {
		dataDir = "/"
	}
	path := metrics.Label{Name: "path", Value: dataDir}
	before := map[string]machine.Times{}
	var looked time.Time
	r.OnCollect(func() {
		if time.Since(looked) < metrics.Interval {
			return
		}
		looked = time.Now()
		root := os.DirFS("/")
		m := machine.Look(root, dataDir)
		for name, key := range map[string]string{
			metrics.HostMemoryTotal: "total", metrics.HostMemoryAvailable: "available", metrics.HostMemoryFree: "free", metrics.HostMemoryUsed: "used",
		} {
			if v, ok := m.Memory[key].(uint64); ok {
				r.Gauge(name).Set(float64(v))
			}
		}
		r.Gauge(metrics.HostUptime).Set(float64(m.Host.Uptime))
		r.Gauge(metrics.HostDiskSize, path).Set(float64(m.Disk.Total))
		r.Gauge(metrics.HostDiskFree, path).Set(float64(m.Disk.Free))
		r.Gauge(metrics.HostDiskUsed, path).Set(float64(m.Disk.Used))
		r.Gauge(metrics.HostDiskPercent, path).Set(m.Disk.UsedPercent)
		r.Gauge(metrics.HostDiskInodes, path).Set(m.Disk.InodesUsedPercent)
		now := machine.ProcessorTimes(root)
		for cpu, t := range now {
			label := metrics.Label{Name: "cpu", Value: cpu}
			for name, v := range t.Since(before[cpu]).Shares() {
				r.Gauge("host.cpu."+name, label).Set(v)
			}
		}
		before = now
	})
}
