package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
	"consul.internal/internal/remoteexec"
)

const (
	// execQuiet is the known default of how long nobody must say anything.
	execQuiet = 2 * time.Second
	// execReplicate is the known default of how long servers get to hear of the job.
	execReplicate = 200 * time.Millisecond
	// execFailed is the exit code when the program failed somewhere.
	execFailed = 2
	// cleanUp is how long removing the job may take.
	cleanUp = 5 * time.Second
)

// execution is one run of the exec command.
type execution struct {
	*command.Command
	filter          *sieve
	prefix          string
	wait, replicate time.Duration
	verbose         bool

	client  *api.Client
	session string
	seen    map[string]bool // keys that were told
	acked   map[string]bool // nodes
	exited  map[string]string
}

func execCommand(a *command.App) *command.Command {
	c := a.New("consul exec [options] [-|command...]", "Runs a program on many nodes",
		`Runs a program on all agents of a datacenter, or on those chosen by regular
expressions, and prints what they print. With - it is a script that is read from
standard input. Agents do so only if their configuration has
disable_remote_exec = false; who hears of the job in time is a matter of gossip.

    $ consul exec uptime
    $ consul exec -service=web -tag=canary systemctl reload nginx`).WithClient(true)
	x := &execution{Command: c, filter: sieveFlags(c), seen: map[string]bool{}, acked: map[string]bool{}, exited: map[string]string{}}
	c.Flags.StringVar(&x.prefix, "prefix", remoteexec.DefaultPrefix, "Prefix of the keys for the job.")
	c.Flags.DurationVar(&x.wait, "wait", execQuiet, "How long no node must have news until all have finished. Twice as long while programs run.")
	c.Flags.DurationVar(&x.replicate, "wait-repl", execReplicate, "How long to wait before agents are told, so that the job has reached all servers.")
	c.Flags.BoolVar(&x.verbose, "verbose", false, "Say what happens to the job.")
	shell := c.Flags.Bool("shell", true, "Let a shell run the program.")
	c.Do = func(args []string) int {
		job, err := x.job(args, *shell)
		if err != nil {
			c.Fail("%s", err)
			return 1
		}
		switch {
		case job == nil:
			return c.Misused("Must specify a command to execute")
		case !x.filter.check(c):
			return 1
		}
		var ok bool
		if x.client, ok = c.Open(); !ok {
			return 1
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return x.run(ctx, job)
	}
	return c
}

// job is what the arguments say is to run; nil = nothing.
func (x *execution) job(args []string, shell bool) (*remoteexec.Job, error) {
	job := &remoteexec.Job{Wait: x.wait}
	switch {
	case len(args) == 0:
		return nil, nil
	case len(args) == 1 && args[0] == "-":
		text, err := io.ReadAll(x.In)
		if err != nil {
			return nil, fmt.Errorf("Failed to read stdin: %w", err)
		}
		if job.Script = text; len(text) == 0 {
			return nil, nil
		}
	case shell:
		if job.Command = strings.Join(args, " "); job.Command == "" {
			return nil, nil
		}
	default:
		job.Args = args
	}
	return job, nil
}

// run does all of it and returns the exit code.
func (x *execution) run(ctx context.Context, job *remoteexec.Job) (code int) {
	if err := x.open(ctx); err != nil {
		x.Fail("Failed to create session: %s", err)
		return 1
	}
	x.tell("Created remote execution session: %s", x.session)
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		// It ends the session too. One that is lost is noticed by the nodes.
		_ = x.client.Session().RenewPeriodic(remoteexec.SessionTTL.String(), x.session, x.Write(), renewing.Done())
	})
	defer func() {
		stop()
		wg.Wait()
		if err := x.remove(); err != nil {
			x.Fail("Failed to remove the job: %s", err)
			code = max(code, 1)
		}
	}()
	if err := x.offer(ctx, job); err != nil {
		x.Fail("%s", err)
		return 1
	}
	if err := x.follow(ctx); err != nil {
		x.Fail("Failed to read results: %s", err)
		return 1
	}
	x.Say("%d / %d node(s) completed / acknowledged", len(x.exited), len(x.acked))
	for _, exit := range x.exited {
		if exit != "0" {
			return execFailed
		}
	}
	return 0
}

// open makes the session, whose end removes the job.
func (x *execution) open(ctx context.Context) error {
	s := &api.SessionEntry{Name: "Remote Exec", Behavior: api.SessionBehaviorDelete, TTL: remoteexec.SessionTTL.String()}
	w := x.Write().WithContext(ctx)
	if w.Datacenter == "" {
		var err error
		x.session, _, err = x.client.Session().Create(s, w)
		return err
	}
	// A session belongs to a node of its own datacenter.
	servers, _, err := x.client.Health().Service("consul", "", true, x.Query().WithContext(ctx))
	if err != nil {
		return err
	}
	if len(servers) == 0 {
		return fmt.Errorf("no server of datacenter %s is healthy", w.Datacenter)
	}
	s.Node = servers[0].Node.Node
	x.session, _, err = x.client.Session().CreateNoChecks(s, w)
	return err
}

// offer writes the job and tells agents of it.
func (x *execution) offer(ctx context.Context, job *remoteexec.Job) error {
	text, err := json.Marshal(job)
	if err != nil {
		return err
	}
	pair := &api.KVPair{Key: remoteexec.JobKey(x.prefix, x.session), Value: text, Session: x.session}
	ok, _, err := x.client.KV().Acquire(pair, x.Write().WithContext(ctx))
	if err == nil && !ok {
		err = errors.New("the session does not get its key")
	}
	if err != nil {
		return fmt.Errorf("Failed to create job file: %w", err)
	}
	x.tell("Uploaded remote execution spec")
	pause(ctx, x.replicate)
	payload, err := remoteexec.Notice(x.prefix, x.session)
	if err != nil {
		return err
	}
	id, _, err := x.client.Event().Fire(&api.UserEvent{
		Name: remoteexec.EventName, Payload: payload, NodeFilter: x.filter.node, ServiceFilter: x.filter.service, TagFilter: x.filter.tag,
	}, x.Write().WithContext(ctx))
	if err != nil {
		return fmt.Errorf("Failed to fire event: %w", err)
	}
	x.tell("Fired remote execution event: %s", id)
	return nil
}

// follow prints what nodes write, until there was nothing new for a while.
func (x *execution) follow(ctx context.Context) error {
	var index uint64
	for ctx.Err() == nil {
		quiet := x.wait
		if len(x.exited) < len(x.acked) {
			quiet *= 2
		}
		news, next, err := x.news(ctx, index, quiet)
		if err != nil || !news && ctx.Err() == nil {
			return err
		}
		index = next
	}
	return nil
}

// news waits for something new and prints it; false = there was nothing.
func (x *execution) news(ctx context.Context, index uint64, quiet time.Duration) (bool, uint64, error) {
	until, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	for {
		q := x.Query().WithContext(until)
		q.WaitIndex = index
		pairs, meta, err := x.client.KV().List(path.Join(x.prefix, x.session)+"/", q)
		if until.Err() != nil {
			return false, index, nil
		}
		if err != nil {
			return false, index, err
		}
		index = max(meta.LastIndex, 1)
		if told := x.print(pairs); told {
			return true, index, nil
		}
	}
}

// print says what was not said before. How a program ended is said last: its name
// comes before those of the output, which was written earlier.
func (x *execution) print(pairs api.KVPairs) (told bool) {
	var ends []remoteexec.News
	for _, p := range pairs {
		news, ok := remoteexec.Read(x.prefix, x.session, p)
		if !ok || x.seen[p.Key] {
			continue
		}
		x.seen[p.Key], told = true, true
		switch {
		case news.Ack:
			x.acked[news.Node] = true
			x.tell("==> %s: acknowledged", news.Node)
		case news.Exit != "":
			ends = append(ends, news)
		default:
			for line := range strings.Lines(string(news.Output)) {
				x.Say("    %s: %s", news.Node, strings.TrimSuffix(line, "\n"))
			}
		}
	}
	for _, end := range ends {
		x.exited[end.Node] = end.Exit
		x.Say("==> %s: finished with exit code %s", end.Node, end.Exit)
	}
	return told
}

// remove removes what was written below the session, which has been ended.
func (x *execution) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUp)
	defer cancel()
	_, err := x.client.KV().DeleteTree(path.Join(x.prefix, x.session)+"/", x.Write().WithContext(ctx))
	return err
}

func (x *execution) tell(format string, args ...any) {
	if x.verbose {
		x.Say(format, args...)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
