package machine

import (
	"io/fs"
	"strconv"
	"strings"
)

// Times is what a processor spent its time with since the machine was started, in
// units of proc_stat(5).
type Times struct{ User, System, Idle, Wait, All float64 }

// ProcessorTimes reads them by the processor's name, such as cpu0; nothing where the
// system does not tell.
func ProcessorTimes(root fs.FS) map[string]Times {
	out := map[string]Times{}
	text, err := fs.ReadFile(root, "proc/stat")
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		// The line that begins with cpu alone is the sum of all.
		if len(f) < 8 || !strings.HasPrefix(f[0], "cpu") || f[0] == "cpu" {
			continue
		}
		var v [7]float64 // user, nice, system, idle, iowait, irq, softirq
		t := Times{}
		for i := range v {
			n, err := strconv.ParseFloat(f[i+1], 64)
			if err != nil {
				return map[string]Times{}
			}
			v[i] = n
			t.All += n
		}
		t.User, t.System, t.Idle, t.Wait = v[0]+v[1], v[2]+v[5]+v[6], v[3], v[4]
		out[f[0]] = t
	}
	return out
}

// Since is what was spent since an earlier look.
func (t Times) Since(before Times) Times {
	return Times{t.User - before.User, t.System - before.System, t.Idle - before.Idle, t.Wait - before.Wait, t.All - before.All}
}

// Shares are percentages of all the time by what it went to; total is all but idling
// and waiting.
func (t Times) Shares() map[string]float64 {
	if t.All <= 0 {
		return nil
	}
	share := func(v float64) float64 { return 100 * max(v, 0) / t.All }
	return map[string]float64{
		"user": share(t.User), "system": share(t.System), "idle": share(t.Idle), "iowait": share(t.Wait), "total": share(t.All - t.Idle - t.Wait),
	}
}
