package machine

import (
	"maps"
	"testing"
	"testing/fstest"
)

func TestProcessorTimes(t *testing.T) {
	look := func(text string) map[string]Times {
		return ProcessorTimes(fstest.MapFS{"proc/stat": {Data: []byte(text)}})
	}
	before := look("cpu  1 1 1 1 1 1 1 0\ncpu0 100 0 50 800 20 10 20 5 0 0\nintr 7\nbtime 1\n")
	if len(before) != 1 || before["cpu0"] != (Times{User: 100, System: 80, Idle: 800, Wait: 20, All: 1000}) {
		t.Fatalf("%+v", before)
	}
	after := look("cpu0 120 5 55 850 25 12 33 5 0 0\n")
	want := map[string]float64{"user": 25, "system": 20, "idle": 50, "iowait": 5, "total": 45}
	if got := after["cpu0"].Since(before["cpu0"]).Shares(); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := before["cpu0"].Since(before["cpu0"]).Shares(); got != nil {
		t.Errorf("no time has passed: %v", got)
	}
	if broken := look("cpu0 a b c d e f g h\n"); len(broken) != 0 || len(ProcessorTimes(fstest.MapFS{})) != 0 {
		t.Errorf("%v", broken)
	}
}
