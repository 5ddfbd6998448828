package machine

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Info is the answer of /v1/agent/host: the machine, not the agent.
type Info struct {
	Memory         map[string]any
	CPU            []cpu
	Host           host
	Disk           disk
	CollectionTime int64    // nanoseconds since 1970
	Errors         []string // what could not be found out
}

type cpu struct {
	CPU        int      `json:"cpu"`
	VendorID   string   `json:"vendorId"`
	Family     string   `json:"family"`
	Model      string   `json:"model"`
	Stepping   int      `json:"stepping"`
	PhysicalID string   `json:"physicalId"`
	CoreID     string   `json:"coreId"`
	Cores      int      `json:"cores"`
	ModelName  string   `json:"modelName"`
	MHz        float64  `json:"mhz"`
	CacheSize  int      `json:"cacheSize"` // KiB
	Flags      []string `json:"flags"`
	Microcode  string   `json:"microcode"`
}

type host struct {
	Hostname             string `json:"hostname"`
	Uptime               uint64 `json:"uptime"`   // seconds
	BootTime             uint64 `json:"bootTime"` // seconds since 1970
	Procs                uint64 `json:"procs"`
	OS                   string `json:"os"`
	Platform             string `json:"platform"`
	PlatformFamily       string `json:"platformFamily"`
	PlatformVersion      string `json:"platformVersion"`
	KernelVersion        string `json:"kernelVersion"`
	KernelArch           string `json:"kernelArch"`
	VirtualizationSystem string `json:"virtualizationSystem"`
	VirtualizationRole   string `json:"virtualizationRole"`
	HostID               string `json:"hostId"`
}

type disk struct {
	Path              string  `json:"path"`
	FSType            string  `json:"fstype"`
	Total             uint64  `json:"total"`
	Free              uint64  `json:"free"`
	Used              uint64  `json:"used"`
	UsedPercent       float64 `json:"usedPercent"`
	InodesTotal       uint64  `json:"inodesTotal"`
	InodesUsed        uint64  `json:"inodesUsed"`
	InodesFree        uint64  `json:"inodesFree"`
	InodesUsedPercent float64 `json:"inodesUsedPercent"`
}

// Look looks at the machine through its file tree. What cannot be found out
// stays empty and is named in Errors.
func Look(root fs.FS, path string) *Info {
	h := &Info{CollectionTime: time.Now().UnixNano()}
	note := func(what string, err error) {
		if err != nil {
			h.Errors = append(h.Errors, fmt.Sprintf("%s: %v", what, err))
		}
	}
	var err error
	h.Memory, err = memory(root)
	note("memory", err)
	h.CPU, err = cpus(root)
	note("CPU", err)
	h.Host, err = system(root)
	note("host", err)
	h.Disk, err = diskUsage(path)
	note("disk", err)
	return h
}

// memoryKeys are the names of /proc/meminfo and those of the API.
var memoryKeys = map[string]string{
	"MemTotal": "total", "MemAvailable": "available", "MemFree": "free", "Active": "active", "Inactive": "inactive",
	"Buffers": "buffers", "Cached": "cached", "Writeback": "writeBack", "Dirty": "dirty", "WritebackTmp": "writeBackTmp",
	"Shmem": "shared", "Slab": "slab", "SReclaimable": "sreclaimable", "SUnreclaim": "sunreclaim", "PageTables": "pageTables",
	"SwapCached": "swapCached", "CommitLimit": "commitLimit", "Committed_AS": "committedAS", "HighTotal": "highTotal",
	"HighFree": "highFree", "LowTotal": "lowTotal", "LowFree": "lowFree", "SwapTotal": "swapTotal", "SwapFree": "swapFree",
	"Mapped": "mapped", "VmallocTotal": "vmallocTotal", "VmallocUsed": "vmallocUsed", "VmallocChunk": "vmallocChunk",
	"HugePages_Total": "hugePagesTotal", "HugePages_Free": "hugePagesFree", "Hugepagesize": "hugePageSize",
}

// memory is in bytes, but for the counts of huge pages.
func memory(root fs.FS) (map[string]any, error) {
	out := map[string]any{}
	value := map[string]uint64{}
	for _, name := range memoryKeys {
		out[name] = uint64(0)
	}
	text, err := fs.ReadFile(root, "proc/meminfo")
	for key, v := range pairs(text) {
		name, known := memoryKeys[key]
		if !known {
			continue
		}
		number, unit, _ := strings.Cut(v, " ")
		n, bad := strconv.ParseUint(number, 10, 64)
		if bad != nil {
			continue
		}
		if unit == "kB" {
			n *= 1024
		}
		value[name], out[name] = n, n
	}
	used := value["total"] - min(value["total"], value["free"]+value["buffers"]+value["cached"])
	out["used"], out["usedPercent"] = used, percent(used, value["total"])
	return out, err
}

// pairs reads lines of the form "key : value".
func pairs(text []byte) map[string]string {
	out := map[string]string{}
	for line := range bytes.Lines(text) {
		if k, v, ok := strings.Cut(string(line), ":"); ok {
			out[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	return out
}

func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

func cpus(root fs.FS) ([]cpu, error) {
	text, err := fs.ReadFile(root, "proc/cpuinfo")
	out := []cpu{}
	for block := range bytes.SplitSeq(text, []byte("\n\n")) {
		p := pairs(block)
		n, bad := strconv.Atoi(p["processor"])
		if bad != nil {
			continue // not a processor: some architectures add a block on the board
		}
		c := cpu{
			CPU: n, VendorID: p["vendor_id"], Family: p["cpu family"], Model: p["model"], PhysicalID: p["physical id"],
			CoreID: p["core id"], Cores: 1, ModelName: p["model name"], Microcode: p["microcode"],
			Flags: strings.Fields(p["flags"] + p["Features"]),
		}
		// Some processors lack some of these: zero says so.
		c.Stepping, _ = strconv.Atoi(p["stepping"])
		c.MHz, _ = strconv.ParseFloat(p["cpu MHz"], 64)
		c.CacheSize, _ = strconv.Atoi(strings.TrimSuffix(p["cache size"], " KB"))
		out = append(out, c)
	}
	return out, err
}

func system(root fs.FS) (host, error) {
	h := host{OS: runtime.GOOS}
	var name unix.Utsname
	err := unix.Uname(&name)
	if err == nil {
		h.Hostname = unix.ByteSliceToString(name.Nodename[:])
		h.KernelVersion = unix.ByteSliceToString(name.Release[:])
		h.KernelArch = unix.ByteSliceToString(name.Machine[:])
	}
	up, upErr := fs.ReadFile(root, "proc/uptime")
	if err == nil {
		err = upErr
	}
	seconds, _, _ := strings.Cut(string(up), ".")
	h.Uptime, _ = strconv.ParseUint(seconds, 10, 64) // its absence is in err
	if h.Uptime > 0 {
		h.BootTime = uint64(time.Now().Unix()) - h.Uptime
	}
	if procs, err := fs.ReadDir(root, "proc"); err == nil {
		for _, p := range procs {
			if _, err := strconv.ParseUint(p.Name(), 10, 32); err == nil {
				h.Procs++
			}
		}
	}
	if release, err := fs.ReadFile(root, "etc/os-release"); err == nil { // absent in a bare container
		h.Platform, h.PlatformFamily, h.PlatformVersion = osRelease(release)
	}
	// The machine's own ID is to stay on the machine, see machine-id(5); the ID of
	// its present run tells machines apart as well.
	if id, err := fs.ReadFile(root, "proc/sys/kernel/random/boot_id"); err == nil {
		h.HostID = strings.TrimSpace(string(id))
	}
	return h, err
}

// osRelease reads os-release(5).
func osRelease(text []byte) (id, family, version string) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		k, v, _ := strings.Cut(lines.Text(), "=")
		v = strings.Trim(v, `"'`)
		switch k {
		case "ID":
			id = v
		case "ID_LIKE":
			family = v
		case "VERSION_ID":
			version = v
		}
	}
	if family == "" {
		family = id
	}
	return id, family, version
}

func diskUsage(path string) (disk, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return disk{Path: path}, err
	}
	size := uint64(st.Bsize)
	d := disk{
		Path: path, FSType: fsTypes[int64(st.Type)], Total: st.Blocks * size, Free: st.Bavail * size, Used: (st.Blocks - st.Bfree) * size,
		InodesTotal: st.Files, InodesFree: st.Ffree, InodesUsed: st.Files - st.Ffree,
	}
	d.UsedPercent = percent(d.Used, d.Used+d.Free) // as df counts: what only root may use is nobody's
	d.InodesUsedPercent = percent(d.InodesUsed, d.InodesTotal)
	return d, nil
}

// fsTypes names the common file systems by their magic number.
var fsTypes = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", unix.NFS_SUPER_MAGIC: "nfs", unix.SQUASHFS_MAGIC: "squashfs", unix.F2FS_SUPER_MAGIC: "f2fs",
}
