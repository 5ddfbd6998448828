package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/consul/api"
)

func monitorCommand(a *app) *command {
	c := a.newCommand("consul monitor [options]", "Follows the agent's log",
		`Prints the agent's log lines from now on, until interrupted or until the agent
ends. The level may be finer than the one at which the agent itself logs.`).withClient(false)
	level := c.fs.String("log-level", "INFO", "Least level of lines: trace, debug, info, warn or error.")
	json := c.fs.Bool("log-json", false, "Print lines as JSON objects.")
	c.run = func(args []string) int {
		if !c.noArguments(args) {
			return 1
		}
		client, ok := c.open()
		if !ok {
			return 1
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		lines, err := followLog(ctx, client, *level, *json)
		if err != nil {
			c.fail("Error starting monitor: %s", err)
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
					c.fail("Remote side ended the monitor! This usually means that the\nremote side has exited or crashed.")
					return 1
				}
				c.say("%s", line)
			}
		}
	}
	return c
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
