//go:build linux

package lab

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"consul.internal/internal/rig"
)

var (
	withCluster = flag.Bool("cluster", false, "run the tests: real processes in network namespaces, as root")
	full        = flag.Bool("full", false, "all rounds, and the worst cases are judged too")
	torture     = flag.Duration("torture", 0, "how long TestTorture harms each shape of cluster; 0 = as the form has it")
	seed        = flag.Uint64("seed", 0, "of everything random; 0 takes one from the clock and prints it")
	given       = flag.String("binary", "", "test this consul and build none")
	keep        = flag.Bool("keep", false, "leave the folders with data and logs behind")

	binary string // what the tests run
)

// cannotRun is the exit status where the rig cannot work.
const cannotRun = 3

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	if !*withCluster {
		return m.Run()
	}
	if err := rig.Available(); err != nil {
		fmt.Println("lab: nothing was tested:", err)
		return cannotRun
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	fmt.Printf("lab: seed=%d full=%v\n", *seed, *full)
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		fmt.Println("lab:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary = *given; binary == "" {
		binary = filepath.Join(dir, "consul")
		if err := build(context.Background(), binary); err != nil {
			fmt.Println("lab:", err)
			return 1
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { watchMachine(ctx) })
	status := m.Run()
	stop()
	watching.Wait()
	if machine.asides > 0 {
		fmt.Printf("lab: %d times were not judged, since the machine stood: run it again, or with FULL=1\n", machine.asides)
	}
	for _, line := range wrongs.lines {
		fmt.Println("lab: FAILED", line)
	}
	return status
}

// wrongs is what tests have failed for, said once more at the end: agents' logs come
// after it else, and only the end of much may be seen.
var wrongs struct {
	mu    sync.Mutex
	lines []string
}

// wrong fails a test.
func wrong(t *testing.T, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	t.Error(text)
	wrongs.mu.Lock()
	defer wrongs.mu.Unlock()
	wrongs.lines = append(wrongs.lines, fmt.Sprintf("%s: %.2000s", t.Name(), text))
}

func build(ctx context.Context, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, "consul.internal/cmd/consul")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/consul: %w\n%s", err, out)
	}
	return nil
}

// pause waits in real time: what is outside the test has no other clock.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// errLate: what was awaited did not come.
var errLate = errors.New("not in time")

// lookEvery is the pause between two looks at something awaited.
const lookEvery = 25 * time.Millisecond

// await looks until look says nil, and tells how long that took.
func await(ctx context.Context, limit time.Duration, look func(context.Context) error) (time.Duration, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := look(ctx)
		took := time.Since(begin)
		if err == nil {
			return took, nil
		}
		if ctx.Err() != nil {
			return took, fmt.Errorf("%w (%v): %w", errLate, limit, err)
		}
		pause(ctx, lookEvery)
	}
}

// rounds is how often something is done in the form that runs.
func rounds(short, whole int) int {
	if *full {
		return whole
	}
	return short
}

// span is how long something is done in the form that runs.
func span(short, whole time.Duration) time.Duration {
	if *full {
		return whole
	}
	return short
}

// figures prints what a test has measured, for people and documents.
func figures(t *testing.T, name string, times []time.Duration, format string, args ...any) {
	t.Helper()
	s := rig.Summarize(times)
	line := fmt.Sprintf("lab: %s:", name)
	if s.N > 0 {
		line += fmt.Sprintf(" runs=%d median=%v worst=%v", s.N, s.Median.Round(time.Millisecond), s.Worst.Round(time.Millisecond))
	}
	if format != "" {
		line += " " + fmt.Sprintf(format, args...)
	}
	fmt.Println(strings.TrimSpace(line))
}

// judge holds times against a bar. The worst is judged in the full form only: in
// the short one other work on the machine is part of it.
func judge(t *testing.T, name string, times []time.Duration, median, worst time.Duration) {
	t.Helper()
	s := rig.Summarize(times)
	figures(t, name, times, "")
	if s.N == 0 {
		t.Errorf("%s: nothing was measured", name)
	}
	if median > 0 && s.Median > median {
		text := fmt.Sprintf("%s: the median is %v, the bar %v: %v", name, s.Median, median, times)
		if !watches[root(t)].unfit(t, text) {
			wrong(t, "%s", text)
		}
	}
	if *full && worst > 0 && s.Worst > worst {
		t.Errorf("%s: the worst is %v, the bar %v: %v", name, s.Worst, worst, times)
	}
}
