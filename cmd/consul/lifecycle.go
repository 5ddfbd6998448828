package main

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/hashicorp/consul/api"
)

// gossipKeyBytes is the longest key that gossip encryption takes (AES-256).
const gossipKeyBytes = 32

func reloadCommand(a *app) *command {
	c := a.newCommand("consul reload [options]", "Makes the agent read its configuration again",
		"Tells the agent to read its configuration files again and to take over what can\nchange without a restart. If the files have a mistake, the agent goes on as it\nwas and the mistake is printed.").withClient(false)
	return c.telling((*api.Agent).Reload, "Error reloading: %s", "Configuration reload triggered")
}

func leaveCommand(a *app) *command {
	c := a.newCommand("consul leave [options]", "Makes the agent leave the cluster and end",
		"Makes the agent leave gracefully: its services are no longer handed out, the\nother members know that it left on purpose, and its process ends.").withClient(false)
	return c.telling((*api.Agent).Leave, "Error leaving: %s", "Graceful leave complete")
}

// telling makes the command one that tells the agent something and reports how it went.
func (c *command) telling(tell func(*api.Agent) error, failed, done string) *command {
	c.run = func(args []string) int {
		if !c.noArguments(args) {
			return 1
		}
		client, ok := c.open()
		if !ok {
			return 1
		}
		if err := tell(client.Agent()); err != nil {
			c.fail(failed, err)
			return 1
		}
		c.say("%s", done)
		return 0
	}
	return c
}

func keygenCommand(a *app) *command {
	c := a.newCommand("consul keygen", "Generates a key for gossip encryption",
		"Prints a new random key for the encrypt setting of all agents.")
	c.run = func(args []string) int {
		if !c.noArguments(args) {
			return 1
		}
		key := make([]byte, gossipKeyBytes)
		_, _ = rand.Read(key) // never fails, see crypto/rand
		c.say("%s", base64.StdEncoding.EncodeToString(key))
		return 0
	}
	return c
}
