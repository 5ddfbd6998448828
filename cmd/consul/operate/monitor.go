package operate

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

func monitorCommand(a *command.App) *command.Command {
	c := a.New("consul monitor [options]", "Follows the agent's log",
		`Prints the agent's log lines from now on, until interrupted or until the agent
ends. The level may be finer than the one at which the agent itself logs.`).WithClient(false)
	level := c.Flags.String("log-level", "INFO", "Least level of lines: trace, debug, info, warn or error.")
	json := c.Flags.Bool("log-json", false, "Print lines as JSON objects.")
	return c.Asking(func(client *api.Client) int {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		lines, err := followLog(ctx, client, *level, *json)
		if err != nil {
			c.Fail("Error starting monitor: %s", err)
			return 1
		}
		for {
			select {
			case <-ctx.Done():
				return 0
			case line, ok := <-lines:
				if ctx.Err() != nil {
					return 0
				}
				if !ok || line == "" {
					c.Fail("Remote side ended the monitor! This usually means that the\nremote side has exited or crashed.")
					return 1
				}
				c.Say("%s", line)
			}
		}
	})
}

// followLog gives the log's lines until ctx ends. An empty line says that the
// agent has hung up.
func followLog(ctx context.Context, client *api.Client, level string, json bool) (<-chan string, error) {
	q := (&api.QueryOptions{}).WithContext(ctx)
	if json {
		return client.Agent().MonitorJSON(level, ctx.Done(), q)
	}
	return client.Agent().Monitor(level, ctx.Done(), q)
}
