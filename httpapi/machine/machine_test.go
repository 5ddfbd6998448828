package machine

import (
	"testing"
	"testing/fstest"
)

func TestLook(t *testing.T) {
	fsys := fstest.MapFS{
		"proc/meminfo": {Data: []byte("MemTotal:  1000 kB\nMemFree: 200 kB\nMemAvailable: 700 kB\nBuffers: 100 kB\nCached: 300 kB\nHugePages_Total: 7\nBad: x\nMapped: y kB\n")},
		"proc/cpuinfo": {Data: []byte("processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nstepping\t: 7\ncpu MHz\t\t: 2500.1\ncache size\t: 36608 KB\nflags\t\t: fpu vme\n\nprocessor : 1\nFeatures : fp asimd\n\nHardware : board\n")},
		"proc/uptime":  {Data: []byte("123.45 1.0\n")},
		"proc/1/stat":  {}, "proc/23/stat": {}, "proc/self/stat": {},
		"etc/os-release":                 {Data: []byte("NAME=\"Debian\"\nID=debian\nVERSION_ID=\"13\"\n")},
		"proc/sys/kernel/random/boot_id": {Data: []byte("boot-1\n")},
	}
	info := Look(fsys, "/")
	if info.Errors != nil {
		t.Errorf("errors %q", info.Errors)
	}
	m := info.Memory
	if m["total"] != uint64(1000<<10) || m["used"] != uint64(400<<10) || m["usedPercent"] != 40.0 || m["available"] != uint64(700<<10) ||
		m["hugePagesTotal"] != uint64(7) || m["mapped"] != uint64(0) {
		t.Errorf("memory %v", m)
	}
	if len(info.CPU) != 2 || info.CPU[0].Family != "6" || info.CPU[0].Stepping != 7 || info.CPU[0].MHz != 2500.1 ||
		info.CPU[0].CacheSize != 36608 || len(info.CPU[0].Flags) != 2 || info.CPU[1].Flags[1] != "asimd" {
		t.Errorf("CPU %+v", info.CPU)
	}
	if x := info.Host; x.Uptime != 123 || x.BootTime == 0 || x.Procs != 2 || x.Platform != "debian" || x.PlatformFamily != "debian" ||
		x.PlatformVersion != "13" || x.HostID != "boot-1" || x.OS != "linux" || x.Hostname == "" || x.KernelVersion == "" {
		t.Errorf("host %+v", x)
	}
	if info.Disk.Total == 0 || info.Disk.UsedPercent <= 0 || info.Disk.UsedPercent > 100 {
		t.Errorf("disk %+v", info.Disk)
	}
	bare := Look(fstest.MapFS{}, "/nonexistent")
	if len(bare.Errors) != 4 || bare.CPU == nil || bare.Memory["total"] != uint64(0) {
		t.Errorf("nothing to be found out: %+v", bare)
	}
}
