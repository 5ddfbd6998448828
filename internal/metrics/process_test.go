package metrics

import (
	"os"
	"strings"
	"testing"
)

func TestProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("this system has no /proc")
	}
	r := New(DefaultConfig())
	r.CollectRuntime()
	text := string(r.PrometheusText())
	for _, d := range OfProcess() {
		if !strings.Contains(text, "\n# TYPE "+d.Name+" "+d.Kind+"\n"+d.Name+" ") || strings.Contains(text, "\n"+d.Name+" 0\n") && d.Name != ProcessCPU {
			t.Errorf("%s is not shown, or zero:\n%s", d.Name, text)
		}
	}
	r.SetFilter(Filter{Default: true, Prefixes: []string{"-process_"}})
	if text := string(r.PrometheusText()); strings.Contains(text, "process_") {
		t.Errorf("the filter lets it through: %s", text)
	}
	v := map[string]float64{}
	new(process).stat("7 (a) b (c)) S "+strings.Repeat("0 ", 10)+"150 50 0 0 0 0 0 0 300 4096 2 0", v)
	if v[ProcessCPU] != 2 || v[ProcessVirtual] != 4096 || v[ProcessResident] != 2*float64(os.Getpagesize()) {
		t.Errorf("%v", v)
	}
	new(process).stat("7 (short) S", v) // nothing breaks
}

func TestUnset(t *testing.T) {
	r := New(DefaultConfig())
	g := r.Gauge("g")
	shown := func() bool { return strings.Contains(string(r.PrometheusText()), "consul_g ") }
	if shown() || len(r.Summary().Gauges) != 0 {
		t.Error("a gauge without a value is shown")
	}
	g.Set(0)
	if !shown() || len(r.Summary().Gauges) != 1 {
		t.Error("a gauge of 0 is not shown")
	}
	g.Unset()
	if shown() || len(r.Summary().Gauges) != 0 {
		t.Error("a gauge is shown whose value was taken away")
	}
	(*Gauge)(nil).Unset()
}
