package access

import (
	"fmt"
	"os"
	"strings"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
	"consul.internal/internal/durable"
)

func loginCommand(a *command.App) *command.Command {
	c := a.New("consul login -method NAME -bearer-token-file FILE -token-sink-file FILE [options]", "Logs in by an auth method",
		`Proves who somebody is by an auth method, and writes the secret of the token
that this gives to a file.

    $ consul login -method ci -bearer-token-file jwt -token-sink-file consul.token
    $ consul acl token read -self -token-file consul.token
    $ consul logout -token-file consul.token`).WithClient(true)
	method := c.Flags.String("method", "", "Name of the auth method.")
	bearer := c.Flags.String("bearer-token-file", "", "File with the proof, such as a JWT.")
	sink := c.Flags.String("token-sink-file", "", "File for the secret of the token.")
	kind := c.Flags.String("type", "", "Type of the auth method; it is found out by itself.")
	var meta command.List
	c.Flags.Var(&meta, "meta", "KEY=VALUE to be shown with the token. May be given more than once.")
	return c.Asking(func(client *api.Client) int {
		switch {
		case len(c.Flags.Args()) > 0:
			return c.Misused("Should have no non-flag arguments.")
		case *method == "":
			return c.Misused("Missing required '-method' flag")
		case *kind == "oidc" || *kind == "aws" || *kind == "aws-iam":
			c.Fail("Logging in by %q is not part of this version: use a method of type jwt", *kind)
			return 1
		case *sink == "":
			return c.Misused("Missing required '-token-sink-file' flag")
		case *bearer == "":
			return c.Misused("Missing required '-bearer-token-file' flag")
		}
		in := &api.ACLLoginParams{AuthMethod: *method, Meta: map[string]string{}}
		for _, m := range meta {
			key, value, ok := strings.Cut(m, "=")
			if !ok || key == "" {
				c.Fail("Malformed -meta argument: %q: want KEY=VALUE", m)
				return 1
			}
			in.Meta[key] = value
		}
		text, err := os.ReadFile(*bearer)
		if err != nil {
			c.Fail("%v", err)
			return 1
		}
		if in.BearerToken = strings.TrimSpace(string(text)); in.BearerToken == "" {
			c.Fail("No bearer token found in %s", *bearer)
			return 1
		}
		t, _, err := client.ACL().Login(in, c.Write())
		if err != nil {
			return failed(c, "Error logging in", err)
		}
		if err := durable.WriteFile(*sink, []byte(t.SecretID)); err != nil {
			return failed(c, "Error writing token to file sink", err)
		}
		return 0
	})
}

func logoutCommand(a *command.App) *command.Command {
	c := a.New("consul logout [options]", "Gives back a token that came by a login",
		`Takes away the token that it is made with, which came by "consul login".

    $ consul logout -token-file consul.token`).WithClient(true)
	return c.Asking(func(client *api.Client) int {
		if len(c.Flags.Args()) > 0 {
			return c.Misused("Should have no non-flag arguments.")
		}
		if _, err := client.ACL().Logout(c.Write()); err != nil {
			return failed(c, "Error destroying token", err)
		}
		return 0
	})
}

// agentTokens are the tokens that an agent has for itself, by the names of people.
func agentTokens(agent *api.Agent) map[string]func(string, *api.WriteOptions) (*api.WriteMeta, error) {
	return map[string]func(string, *api.WriteOptions) (*api.WriteMeta, error){
		"default": agent.UpdateDefaultACLToken, "agent": agent.UpdateAgentACLToken,
		"recovery": agent.UpdateAgentRecoveryACLToken, "master": agent.UpdateAgentRecoveryACLToken,
		"replication": agent.UpdateReplicationACLToken, "dns": agent.UpdateDNSToken,
		"config_file_service_registration": agent.UpdateConfigFileRegistrationToken,
	}
}

func setAgentToken(a *command.App) *command.Command {
	c := a.New("consul acl set-agent-token [options] KIND SECRET", "Gives the agent a token for itself",
		`Gives the agent a token for what it does itself. It is kept over a restart if
acl.enable_token_persistence is set.

KIND is one of:
    default      for requests without a token
    agent        for what the agent itself needs: its node, its coordinates
    recovery     lets people ask this agent while no server can be
    replication  for copying from the primary datacenter
    dns          for what DNS may see
    config_file_service_registration
                 for services and checks of configuration files that name no token

    $ consul acl set-agent-token agent c4d0f8df-3aba-4ab6-a7a0-35b760dc29a1`).WithClient(true)
	c.Do = func(args []string) int {
		const kindAndSecret = 2
		if len(args) != kindAndSecret {
			return c.Misused(fmt.Sprintf("It takes the kind of the token and its secret: %d arguments, not %d", kindAndSecret, len(args)))
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		set := agentTokens(client.Agent())[args[0]]
		if set == nil {
			return c.Misused(fmt.Sprintf("Unknown token type %q", args[0]))
		}
		if _, err := set(args[1], c.Write()); err != nil {
			return failed(c, fmt.Sprintf("Failed to set ACL token %q", args[0]), err)
		}
		c.Say("ACL token %q set successfully", args[0])
		return 0
	}
	return c
}
