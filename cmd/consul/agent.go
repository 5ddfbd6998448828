package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
	"go.uber.org/zap"

	"consul.internal/cmd/consul/agentlog"
	"consul.internal/cmd/consul/command"
	"consul.internal/configs"
	"consul.internal/daemon"
	"consul.internal/internal/filewatch"
	"consul.internal/internal/logx"
	"consul.internal/internal/metrics"
)

// signalQueue holds signals that come while another one is handled.
const signalQueue = 4

func agentCommand(a *command.App) *command.Command {
	c := a.New("consul agent [options]", "Runs an agent",
		`Runs an agent until it is told to leave or to end. A server (-server) keeps the
catalog of its datacenter; a client looks after the services of its machine. Both
answer DNS and HTTP.

    $ consul agent -dev
    $ consul agent -config-dir=/etc/consul.d

SIGHUP reloads the configuration; SIGTERM and SIGINT end the agent, a second one
at once.`)
	c.Flags = new(configs.Input).FlagSet() // for -h
	c.Raw = func(args []string) int { return runAgent(a, args) }
	return c
}

func runAgent(a *command.App, args []string) int {
	code, err := agent(a, args)
	if errors.Is(err, errUsage) {
		return 1
	}
	if err != nil && !errors.Is(err, errForced) {
		a.Fail("==> %s", strings.TrimRight(err.Error(), "\n"))
	}
	return code
}

// errUsage says that the flag package has told the user already.
var errUsage = errors.New("bad flags")

// load reads the configuration that the arguments name.
func load(a *command.App, args []string) (*configs.Settings, []string, error) {
	in := new(configs.Input)
	fs := in.FlagSet()
	fs.SetOutput(a.Err)
	fs.Usage = func() { a.Fail("Usage:"); fs.PrintDefaults() }
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, nil, err
		}
		return nil, nil, errUsage
	}
	if err := configs.Extra(fs.Args()); err != nil {
		return nil, nil, err
	}
	return configs.Resolve(in, configs.SystemHost())
}

func agent(a *command.App, args []string) (code int, err error) {
	settings, warnings, err := load(a, args)
	if err != nil {
		return 1, err
	}
	log, closeLog, err := agentlog.Open(a.Out, settings.Log)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	tuneMemory()
	registry, err := openMetrics(settings, log)
	if err != nil {
		return 1, err
	}

	r := &reloader{args: args, log: log}
	d, err := daemon.New(settings, daemon.Options{Logger: log.Logger, Reload: r.reload, Metrics: registry, Monitor: log.Listen})
	if err != nil {
		return 1, err
	}
	r.apply = d.Reload
	if !settings.Log.JSON { // programs read JSON logs: nothing else may stand between the lines
		_, _ = io.WriteString(a.Out, banner(settings, d.Info().NodeID)) // as command.App.Say
	}
	for _, w := range warnings {
		log.Warn(w)
	}
	signals := make(chan os.Signal, signalQueue)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	wrotePID := false
	p := &process{
		open: func(ctx context.Context) error {
			if err := d.Open(ctx); err != nil {
				return err
			}
			if err := writePID(settings.Paths.PIDFile); err != nil {
				return err
			}
			wrotePID = true
			return nil
		},
		reload: r.reload, leave: d.Leave, close: d.Close, done: d.Done(), err: d.Err,
		notify: systemdNotify, log: log.Logger,
		leaveOnInterrupt: !settings.Leaving.SkipOnInterrupt, leaveOnTerminate: settings.Leaving.OnTerminate,
	}
	defer func() {
		if wrotePID { // not the file of another agent, which kept this one from starting
			removePID(settings.Paths.PIDFile, log.Logger)
		}
	}()
	if settings.Paths.AutoReload {
		looking, stop := context.WithCancel(context.Background())
		changed := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { filewatch.Watch(looking, settings.Paths.Config, changed) })
		defer wg.Wait()
		defer stop()
		p.changed = changed
	}
	return p.supervise(signals)
}

// gcPercent has the collector run a little more often than at Go's default of 100:
// a tenth less resident memory for a server with 30,000 instances, at no cost that
// could be told from noise. The fast path of DNS makes no garbage.
const gcPercent = 75

// tuneMemory leaves it to the person who has set GOGC.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// openMetrics makes the registry and takes in what libraries report: they know
// only the process-wide default of go-metrics, so it is set here, once a process.
func openMetrics(s *configs.Settings, log *logx.Logger) (*metrics.Registry, error) {
	r := metrics.New(daemon.MetricsConfig(s))
	dropped := r.Counter(metrics.LogDropped)
	r.OnCollect(func() { dropped.Reach(log.Dropped()) })
	_, err := gometrics.NewGlobal(&gometrics.Config{FilterDefault: true, TimerGranularity: time.Millisecond}, r.Sink())
	return r, err
}

// reloader reads the configuration again, for SIGHUP and for the API alike.
type reloader struct {
	args  []string
	log   *logx.Logger
	apply func(*configs.Settings) error
	mu    sync.Mutex
}

// reload keeps everything as it is if the new configuration has a mistake.
func (r *reloader) reload(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	systemdNotify(stateReloading())
	defer systemdNotify(stateReady)
	r.log.Info("Reloading configuration...")
	settings, warnings, err := configs.Load(r.args, configs.SystemHost())
	if err != nil {
		return err
	}
	for _, w := range warnings {
		r.log.Warn(w)
	}
	if err := r.apply(settings); err != nil {
		return err
	}
	return r.log.SetLevel(settings.Log.Level)
}

func writePID(path string) error {
	if path == "" {
		return nil
	}
	if err := os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o644); err != nil { // others read it to send signals
		return fmt.Errorf("Could not write pid file %s: %w", path, err)
	}
	return nil
}

func removePID(path string, log *zap.Logger) {
	if path == "" {
		return
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		log.Warn("Could not remove pid file", zap.Error(err))
	}
}
