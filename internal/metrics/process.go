package metrics

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Names of what Prometheus knows of every process. They carry no prefix, and only its
// text shows them.
const (
	ProcessCPU      = "process_cpu_seconds_total"
	ProcessStart    = "process_start_time_seconds"
	ProcessResident = "process_resident_memory_bytes"
	ProcessVirtual  = "process_virtual_memory_bytes"
	ProcessFiles    = "process_open_fds"
	ProcessMaxFiles = "process_max_fds"
)

// userHZ is the unit of times in /proc, the same on all machines that Go knows.
const userHZ = 100

// process holds the figures of the process as they were last looked at, by name.
type process struct {
	now atomic.Pointer[map[string]float64]
}

// look reads the figures. What the system does not tell is left out.
func (p *process) look() {
	v := map[string]float64{}
	if text, err := os.ReadFile("/proc/self/stat"); err == nil {
		p.stat(string(text), v)
	}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		v[ProcessFiles] = float64(len(fds) - 1) // one of them is of this reading
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		v[ProcessMaxFiles] = float64(limit.Cur)
	}
	p.now.Store(&v)
}

// stat takes what a line of /proc/PID/stat has, see proc(5).
func (p *process) stat(line string, v map[string]float64) {
	// The name of the program stands in parentheses and may hold anything.
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	number := func(n int) float64 { // by its number in proc(5), where the state is 3
		if n -= 3; n >= len(fields) {
			return 0
		}
		f, err := strconv.ParseFloat(fields[n], 64)
		if err != nil {
			return 0
		}
		return f
	}
	v[ProcessCPU] = (number(14) + number(15)) / userHZ
	v[ProcessVirtual], v[ProcessResident] = number(23), number(24)*float64(os.Getpagesize())
	if boot := bootTime(); boot > 0 {
		v[ProcessStart] = boot + number(22)/userHZ
	}
}

// bootTime is when the machine was started, in seconds since 1970; 0 = not known.
func bootTime() float64 {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("btime ")); ok {
			f, err := strconv.ParseFloat(string(bytes.TrimSpace(rest)), 64)
			if err != nil {
				return 0
			}
			return f
		}
	}
	return 0
}

// write shows the figures that the filter lets through.
func (p *process) write(b *bytes.Buffer, f *Filter) {
	v := p.now.Load()
	if v == nil {
		return
	}
	for _, d := range processDefinitions {
		value, known := (*v)[d.Name]
		if known && f.keeps(d.Name) {
			b.WriteString("# HELP " + d.Name + " " + promHelp(d.Help) + "\n# TYPE " + d.Name + " " + d.Kind + "\n")
			promLine(b, d.Name, "", value)
		}
	}
}

var processDefinitions = []Definition{
	{ProcessCPU, "counter", "s", "", "Processor time that the agent has used."},
	{ProcessMaxFiles, "gauge", "files", "", "Files and connections that the agent may have open."},
	{ProcessFiles, "gauge", "files", "", "Files and connections that the agent has open."},
	{ProcessResident, "gauge", "bytes", "", "Memory of the agent that is in the machine's memory."},
	{ProcessStart, "gauge", "s", "", "When the agent was started, in seconds since 1970."},
	{ProcessVirtual, "gauge", "bytes", "", "Addresses that the agent has reserved."},
}
