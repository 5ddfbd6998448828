package keys

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
	"consul.internal/internal/watch"
)

func watchCommand(a *command.App) *command.Command {
	c := a.New("consul watch [options] [child...]", "Follows a view of the data and reacts to changes",
		`Starts a program whenever what is watched changes, with the new answer as JSON on
its standard input and the index in CONSUL_INDEX. Without a program it prints the
present answer and ends.

    $ consul watch -type=key -key=web/config ./reload.sh
    $ consul watch -type=service -service=web -passingonly
    $ consul watch -type=event -name=deploy ./deploy.sh`).WithClient(true)
	var q watch.Query
	c.Flags.StringVar(&q.Type, "type", "", "What to watch: "+strings.Join(watch.Types(), ", ")+".")
	c.Flags.StringVar(&q.Key, "key", "", "Key to watch. For type key.")
	c.Flags.StringVar(&q.Prefix, "prefix", "", "Prefix of the keys to watch. For type keyprefix.")
	c.Flags.StringVar(&q.Service, "service", "", "Service to watch. For type service, and for checks, where it is optional.")
	c.Flags.Var((*command.List)(&q.Tags), "tag", "Only instances with this tag. May be repeated. For type service.")
	c.Flags.BoolVar(&q.PassingOnly, "passingonly", false, "Only instances that pass all checks. For type service.")
	c.Flags.StringVar(&q.State, "state", "", "Only checks in this state: passing, warning, critical. For type checks.")
	c.Flags.StringVar(&q.Name, "name", "", "Only events with this name. For type event.")
	c.Flags.StringVar(&q.Filter, "filter", "", "Filter expression. For types services, nodes, service and checks.")
	shell := c.Flags.Bool("shell", true, "Let a shell run the program: that of SHELL, or /bin/sh.")
	c.Do = func(args []string) int {
		if q.Type == "" {
			return c.Misused("Watch type must be specified")
		}
		if err := q.Check(); err != nil {
			c.Fail("%s", err)
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		q.Stale = c.Query().AllowStale
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if len(args) == 0 {
			return showOnce(ctx, c, client, q)
		}
		return handle(ctx, c, client, q, child(args, *shell))
	}
	return c
}

// child is the program that arguments name.
func child(args []string, shell bool) []string {
	if shell {
		return watch.Shell(strings.Join(args, " "))
	}
	return args
}

// errShown ends a watch that was only to show what there is.
var errShown = errors.New("shown")

func showOnce(ctx context.Context, c *command.Command, client *api.Client, q watch.Query) int {
	code := 0
	err := watch.Follow(ctx, client, q, watch.Calls{
		Changed: func(_ context.Context, _ uint64, value any) error {
			code = c.JSON(value, "    ")
			return errShown
		},
		Failed: func(err error, _ time.Duration) error { return err },
	})
	if err != nil && !errors.Is(err, errShown) {
		c.Fail("Error querying Consul agent: %s", err)
		return 1
	}
	return code
}

// handle runs the program at every change until interrupted. A program that fails
// ends the watch; so does an agent that cannot be reached at the start, since then
// the address is wrong.
func handle(ctx context.Context, c *command.Command, client *api.Client, q watch.Query, args []string) int {
	program := &watch.Program{Args: args, Out: c.Out, Err: c.Err}
	began := false
	err := watch.Follow(ctx, client, q, watch.Calls{
		Changed: func(ctx context.Context, index uint64, value any) error {
			began = true
			if err := program.Run(ctx, index, value); err != nil && ctx.Err() == nil {
				return &handlerError{err}
			}
			return nil
		},
		Failed: func(err error, again time.Duration) error {
			if _, unreachable := errors.AsType[*url.Error](err); unreachable && !began {
				return err
			}
			began = true
			c.Fail("Watch failed, next attempt in %s: %s", again.Round(time.Millisecond), err)
			return nil
		},
	})
	switch _, handler := errors.AsType[*handlerError](err); {
	case handler:
		c.Fail("Error executing handler: %s", err)
		return 1
	case err != nil:
		c.Fail("Error querying Consul agent: %s", err)
		return 1
	}
	return 0
}

// handlerError is that of a program, not of the agent.
type handlerError struct{ error }

func (e *handlerError) Unwrap() error { return e.error }
