package main

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

// gossipKeyBytes is the longest key that gossip encryption takes (AES-256).
const gossipKeyBytes = 32

func reloadCommand(a *command.App) *command.Command {
	c := a.New("consul reload [options]", "Makes the agent read its configuration again",
		"Tells the agent to read its configuration files again and to take over what can\nchange without a restart. If the files have a mistake, the agent goes on as it\nwas and the mistake is printed.").WithClient(false)
	return telling(c, (*api.Agent).Reload, "Error reloading: %s", "Configuration reload triggered")
}

func leaveCommand(a *command.App) *command.Command {
	c := a.New("consul leave [options]", "Makes the agent leave the cluster and end",
		"Makes the agent leave gracefully: its services are no longer handed out, the\nother members know that it left on purpose, and its process ends.").WithClient(false)
	return telling(c, (*api.Agent).Leave, "Error leaving: %s", "Graceful leave complete")
}

// telling makes the command one that tells the agent something and reports how it went.
func telling(c *command.Command, tell func(*api.Agent) error, failed, done string) *command.Command {
	return c.Asking(func(client *api.Client) int {
		if err := tell(client.Agent()); err != nil {
			c.Fail(failed, err)
			return 1
		}
		c.Say("%s", done)
		return 0
	})
}

func keygenCommand(a *command.App) *command.Command {
	c := a.New("consul keygen", "Generates a key for gossip encryption",
		"Prints a new random key for the encrypt setting of all agents.")
	c.Do = func(args []string) int {
		if !c.NoArguments(args) {
			return 1
		}
		key := make([]byte, gossipKeyBytes)
		_, _ = rand.Read(key) // never fails, see crypto/rand
		c.Say("%s", base64.StdEncoding.EncodeToString(key))
		return 0
	}
	return c
}
