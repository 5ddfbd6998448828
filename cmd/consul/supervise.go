package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"

	"go.uber.org/zap"
)

// process is what the agent command needs of a running agent.
type process struct {
	open   func(context.Context) error // returns when the agent is ready
	reload func(context.Context) error // reads the configuration again
	leave  func(context.Context) error // graceful
	close  func() error
	done   <-chan struct{} // closed once the agent is to end: it has left, or cannot go on
	err    func() error    // why, once done is closed; nil after a leave
	notify func(state string)
	// changed tells that files of the configuration changed; nil = nobody looks.
	changed <-chan struct{}
	log     *zap.Logger

	leaveOnInterrupt, leaveOnTerminate bool
}

// errForced says that a second signal cut the orderly end short.
var errForced = errors.New("ended by a second signal")

// supervise opens the agent, follows signals until it ends, and returns the exit
// code. An error that kept it from starting is returned for the user to see.
func (p *process) supervise(signals <-chan os.Signal) (int, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	code, err := p.follow(ctx, cancel, &wg, signals)
	if !errors.Is(err, errForced) { // a forced end waits for nothing
		cancel()
		wg.Wait()
	}
	return code, err
}

func (p *process) follow(ctx context.Context, cancel context.CancelFunc, wg *sync.WaitGroup, signals <-chan os.Signal) (int, error) {
	opened := make(chan error, 1)
	wg.Go(func() { opened <- p.open(ctx) })
	var reloaded chan error // not nil while a reload runs
	var again bool          // another reload was asked for meanwhile
	var done <-chan struct{}
	startReload := func() {
		reloaded = make(chan error, 1)
		ch := reloaded
		wg.Go(func() { ch <- p.reload(ctx) })
	}
	for {
		select {
		case err := <-opened:
			if err != nil {
				return 1, errors.Join(err, p.shut(signals))
			}
			opened, done = nil, p.done
			p.notify(stateReady)
			if again {
				again = false
				startReload()
			}
		case <-done:
			p.notify(stateStopping)
			return exitCode(errors.Join(p.err(), p.shut(signals)), p.log), nil
		case err := <-reloaded:
			reloaded = nil
			p.reloadEnded(err)
			if again {
				again = false
				startReload()
			}
		case <-p.changed:
			switch {
			case opened != nil, reloaded != nil: // what is opened may have been read before the change
				again = true
			default:
				p.log.Info("A file of the configuration has changed")
				startReload()
			}
		case sig := <-signals:
			p.log.Info("Caught", zap.Stringer("signal", sig))
			switch {
			case sig == syscall.SIGHUP && opened != nil:
				p.log.Warn("Reload is not possible before the agent is ready")
			case sig == syscall.SIGHUP && reloaded != nil:
				again = true
			case sig == syscall.SIGHUP:
				startReload()
			default:
				return p.end(ctx, cancel, sig, signals, opened, reloaded)
			}
		}
	}
}

func (p *process) reloadEnded(err error) {
	if err != nil {
		p.log.Error("Reload failed; the agent goes on with the configuration it had", zap.Error(err))
	}
}

// end shuts the agent down after sig. An interrupted agent that does not leave
// ends with 1, as scripts know it; one that was told to terminate ends with 0,
// so that stopping a service is no failure.
func (p *process) end(ctx context.Context, cancel context.CancelFunc, sig os.Signal, signals <-chan os.Signal, opened, reloaded <-chan error) (int, error) {
	p.notify(stateStopping)
	graceful := sig == os.Interrupt && p.leaveOnInterrupt || sig == syscall.SIGTERM && p.leaveOnTerminate
	ended := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		if reloaded != nil { // what was asked for before is not forgotten
			p.reloadEnded(<-reloaded)
		}
		var err error
		switch {
		case opened != nil: // not ready yet: nothing to leave
			cancel()
			<-opened // its error is that it was stopped
		case graceful:
			p.log.Info("Gracefully shutting down agent...")
			err = p.leave(ctx)
		}
		ended <- errors.Join(err, p.close())
	})
	for {
		select {
		case err := <-ended:
			wg.Wait()
			code := exitCode(err, p.log)
			if sig == os.Interrupt && !graceful {
				code = 1
			}
			return code, nil
		case second := <-signals:
			if second == syscall.SIGHUP {
				continue
			}
			p.log.Warn("Caught a second signal, exiting at once", zap.Stringer("signal", second))
			return 1, errForced // the process ends; what still runs ends with it
		}
	}
}

// shut closes an agent that ends by itself; a signal meanwhile ends it at once.
func (p *process) shut(signals <-chan os.Signal) error {
	closed := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { closed <- p.close() })
	for {
		select {
		case err := <-closed:
			wg.Wait()
			return err
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				continue
			}
			p.log.Warn("Caught a signal while closing, exiting at once", zap.Stringer("signal", sig))
			return errForced // the process ends; what still runs ends with it
		}
	}
}

func exitCode(err error, log *zap.Logger) int {
	if err != nil {
		log.Error("Shutdown was not complete", zap.Error(err))
		return 1
	}
	log.Info("Exit code", zap.Int("code", 0))
	return 0
}
