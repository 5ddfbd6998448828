package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

// targets are what a bundle may hold, in the order in which they are named.
var targets = []string{"metrics", "logs", "pprof", "host", "agent", "members"}

const (
	targetMetrics = "metrics"
	targetLogs    = "logs"
	targetPprof   = "pprof"
	targetHost    = "host"
	targetAgent   = "agent"
	targetMembers = "members"
	targetCluster = "cluster" // an older name of members

	// leastDuration and leastInterval keep a bundle from telling nothing.
	leastDuration = 10 * time.Second
	leastInterval = 5 * time.Second
	// debugLevel is how fine the captured log is.
	debugLevel = "DEBUG"
	// debugTime names captures; it sorts, and stands in file names everywhere.
	debugTime = "2006-01-02T15-04-05Z"
)

// bundle is one run of consul debug.
type bundle struct {
	*command.Command
	duration, interval time.Duration
	capture            command.List
	output             string
	archive            bool
	least              [2]time.Duration // of duration and interval

	client  *api.Client
	version string

	mu       sync.Mutex
	problems []string
}

// index is the bundle's table of contents, index.json.
type index struct {
	AgentVersion string
	Interval     string
	Duration     string
	Targets      []string
	Errors       []string `json:",omitempty"`
}

func debugCommand(a *command.App) *command.Command { return Debug(a, leastDuration, leastInterval) }

// Debug lets a test be quicker than a person should be.
func Debug(a *command.App, duration, interval time.Duration) *command.Command {
	c := a.New("consul debug [options]", "Records a bundle for debugging an agent",
		`Records for some time what an agent does and how its machine is, and saves it as
an archive in the working directory: configuration and figures of the agent,
members, metrics, log at DEBUG and, where enable_debug is set, profiles. An
interrupt ends the recording and saves what there is.

Tokens and keys are not part of the archive, but names, addresses and log lines
are: look through it before giving it away.

    $ consul debug -duration=1m -interval=15s
    $ consul debug -capture=agent -capture=logs -output=/tmp/problem`).WithClient(false)
	b := &bundle{Command: c, least: [2]time.Duration{duration, interval}}
	c.Flags.DurationVar(&b.duration, "duration", 2*time.Minute, "How long to record; at least 10s.")
	c.Flags.DurationVar(&b.interval, "interval", 30*time.Second, "Time between two looks at the memory profile; at least 5s.")
	c.Flags.Var(&b.capture, "capture", "What to record: "+strings.Join(targets, ", ")+". May be repeated. Default: all.")
	c.Flags.StringVar(&b.output, "output", "", "Path of the result, without .tar.gz. Default: consul-debug-<time> in the working directory.")
	c.Flags.BoolVar(&b.archive, "archive", true, "Make a .tar.gz of the directory of results and remove the directory.")
	c.Do = func(args []string) int {
		if !c.NoArguments(args) {
			return 1
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return b.record(ctx)
	}
	return c
}

// prepare checks the flags and the agent.
func (b *bundle) prepare() error {
	switch {
	case b.duration < b.least[0]:
		return fmt.Errorf("duration must be longer than %s", b.least[0])
	case b.interval < b.least[1]:
		return fmt.Errorf("interval must be longer than %s", b.least[1])
	case b.duration < b.interval:
		return fmt.Errorf("duration (%s) must be longer than interval (%s)", b.duration, b.interval)
	}
	for i, t := range b.capture {
		if t == targetCluster {
			b.capture[i] = targetMembers
		} else if !slices.Contains(targets, t) {
			return fmt.Errorf("unknown capture target %q: it is one of %s", t, strings.Join(targets, ", "))
		}
	}
	if len(b.capture) == 0 {
		b.capture = slices.Clone(targets)
	}
	if b.output == "" {
		b.output = "consul-debug-" + time.Now().UTC().Format(debugTime)
	}
	if b.archive {
		if _, err := os.Lstat(b.output + archiveExt); err == nil {
			return fmt.Errorf("%s exists already", b.output+archiveExt)
		}
	}
	return nil
}

// look asks the agent who it is, and leaves out what it does not offer.
func (b *bundle) look() error {
	self, err := b.client.Agent().Self()
	if err != nil {
		return fmt.Errorf("error querying target agent: %w. Verify connectivity and agent address", err)
	}
	b.version, _ = self["Config"]["Version"].(string)
	if b.wants(targetPprof) && self["DebugConfig"]["EnableDebug"] != true {
		b.Fail("[WARN] Unable to capture pprof. Set enable_debug to true on target agent to enable profiling.")
		b.capture = slices.DeleteFunc(b.capture, func(t string) bool { return t == targetPprof })
	}
	return nil
}

func (b *bundle) wants(target string) bool { return slices.Contains(b.capture, target) }

// record makes the bundle and returns the exit code.
func (b *bundle) record(ctx context.Context) int {
	var ok bool
	if b.client, ok = b.Open(); !ok {
		return 1
	}
	if err := b.prepare(); err != nil {
		b.Fail("Capture validation failed: %s", err)
		return 1
	}
	if err := b.look(); err != nil {
		b.Fail("Capture validation failed: %s", err)
		return 1
	}
	if err := os.Mkdir(b.output, 0o700); err != nil { // what is in it is nobody else's
		b.Fail("Capture validation failed: output directory cannot be made: %s", err)
		return 1
	}
	result := b.output
	if b.archive {
		result += archiveExt
	}
	b.Say("==> Starting debugger and capturing static information...")
	b.Say("     Agent Version: '%s'", b.version)
	b.Say("          Interval: '%s'", b.interval)
	b.Say("          Duration: '%s'", b.duration)
	b.Say("            Output: '%s'", result)
	b.Say("           Capture: '%s'", strings.Join(b.capture, ", "))
	b.captureStatic()
	b.captureDynamic(ctx)
	return b.finish(result)
}

// finish writes the index, saves the result and returns the exit code.
func (b *bundle) finish(result string) int {
	b.save("index.json", index{
		AgentVersion: b.version, Interval: b.interval.String(), Duration: b.duration.String(), Targets: b.capture, Errors: b.problems,
	})
	if b.archive {
		if err := archiveDirectory(b.output); err != nil {
			b.Fail("Archive creation failed: %s. What was captured is in %s", err, b.output)
			return 1
		}
		b.Say("Saved debug archive: %s", result)
	} else {
		b.Say("Saved debug directory: %s", result)
	}
	if len(b.problems) > 0 {
		return 1
	}
	return 0
}

// problem notes what could not be captured; the rest goes on.
func (b *bundle) problem(what string, err error) {
	if err == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, fmt.Sprintf("%s: %s", what, err))
	b.Fail("Error capturing %s: %s", what, err)
}

// save writes a value as JSON.
func (b *bundle) save(name string, v any) {
	text, err := json.MarshalIndent(v, "", "    ")
	if err == nil {
		err = os.WriteFile(filepath.Join(b.output, name), append(text, '\n'), 0o600)
	}
	b.problem(name, err)
}

func (b *bundle) captureStatic() {
	agent := b.client.Agent()
	if b.wants(targetAgent) {
		self, err := agent.Self()
		b.problem(targetAgent, err)
		b.save("agent.json", self)
	}
	if b.wants(targetHost) {
		host, err := agent.Host()
		b.problem(targetHost, err)
		b.save("host.json", host)
	}
	if b.wants(targetMembers) {
		lan, err := agent.Members(false)
		b.problem(targetMembers, err)
		wan, err := agent.Members(true)
		b.problem(targetMembers, err)
		b.save("members.json", append(wan, lan...))
	}
}

// captureDynamic records for the whole duration, or until ctx ends.
func (b *bundle) captureDynamic(ctx context.Context) {
	if !b.wants(targetMetrics) && !b.wants(targetLogs) && !b.wants(targetPprof) {
		return
	}
	whole := ctx
	ctx, cancel := context.WithTimeout(whole, b.duration)
	defer cancel()
	var wg sync.WaitGroup
	if b.wants(targetLogs) {
		wg.Go(func() { b.problem(targetLogs, b.logs(ctx)) })
	}
	if b.wants(targetMetrics) {
		wg.Go(func() {
			b.problem(targetMetrics, b.stream(ctx, "metrics.json", func() (io.ReadCloser, error) { return b.metrics(whole, ctx) }))
		})
	}
	if b.wants(targetPprof) {
		// Both end by themselves a little before the time is over.
		wg.Go(func() { b.problem("profile.prof", b.profile(ctx, "profile.prof", "profile", b.duration-time.Second)) })
		wg.Go(func() { b.problem("trace.out", b.profile(ctx, "trace.out", "trace", b.interval-time.Second)) })
	}
	b.captureIntervals(ctx)
	wg.Wait()
}

// captureIntervals looks at memory and goroutines once an interval.
func (b *bundle) captureIntervals(ctx context.Context) {
	tick := time.NewTicker(b.interval)
	defer tick.Stop()
	for n := 0; ; n++ {
		b.Say("==> Beginning capture interval %s (%d)", time.Now().UTC(), n)
		if b.wants(targetPprof) {
			b.problem("profiles", b.snapshots(time.Now().UTC().Format(debugTime)))
		}
		b.Say("==> Capture successful %s (%d)", time.Now().UTC(), n)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// snapshots saves what is in memory and what runs.
func (b *bundle) snapshots(dir string) error {
	dir = filepath.Join(b.output, dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	heap, err := b.client.Debug().Heap()
	if err != nil {
		return err
	}
	goroutines, err := b.client.Debug().Goroutine()
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "heap.prof"), heap, 0o600), os.WriteFile(filepath.Join(dir, "goroutine.prof"), goroutines, 0o600))
}

// profile saves one of the agent's profiles, taken over so long.
func (b *bundle) profile(ctx context.Context, file, name string, over time.Duration) error {
	seconds := max(int(over/time.Second), 1)
	return b.stream(ctx, file, func() (io.ReadCloser, error) { return b.client.Debug().PProf(ctx, name, seconds) })
}

// stream saves what open gives until it ends or ctx does.
func (b *bundle) stream(ctx context.Context, file string, open func() (io.ReadCloser, error)) error {
	body, err := open()
	if err != nil {
		return ended(ctx, err)
	}
	defer body.Close()
	f, err := os.OpenFile(filepath.Join(b.output, file), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(ended(ctx, err), f.Close())
}

// lastFigures is how much longer than the recording its first figures may take: the
// agent may be what is wrong, and the rest of the bundle is of use then.
const lastFigures = 10 * time.Second

// metrics are the present figures, so that an early end leaves something, also where
// the agent takes longer for them than is to be recorded; and then those of each
// interval of the agent, until ctx ends.
func (b *bundle) metrics(whole, ctx context.Context) (io.ReadCloser, error) {
	whole, cancel := context.WithTimeout(whole, b.duration+lastFigures)
	defer cancel()
	var now any
	if _, err := b.client.Raw().Query("/v1/agent/metrics", &now, (&api.QueryOptions{}).WithContext(whole)); err != nil {
		return nil, err
	}
	first, err := json.Marshal(now)
	if err != nil {
		return nil, err
	}
	rest, err := b.client.Agent().MetricsStream(ctx)
	if err != nil && ctx.Err() != nil {
		rest, err = io.NopCloser(bytes.NewReader(nil)), nil
	}
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(append(first, '\n')), rest), rest}, nil
}

// ended is err, unless ctx was to end what failed.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// logs saves the log.
func (b *bundle) logs(ctx context.Context) error {
	lines, err := followLog(ctx, b.client, debugLevel, false)
	if err != nil {
		return ended(ctx, err)
	}
	f, err := os.OpenFile(filepath.Join(b.output, "consul.log"), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return f.Close()
		case line, ok := <-lines:
			if !ok || line == "" {
				return errors.Join(ended(ctx, errors.New("the agent ended the log")), f.Close())
			}
			if _, err := f.WriteString(line + "\n"); err != nil {
				return errors.Join(err, f.Close())
			}
		}
	}
}
