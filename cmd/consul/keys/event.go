package keys

import (
	"regexp"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

// sieve are the flags that choose nodes by regular expressions.
type sieve struct {
	node, service, tag string
}

func sieveFlags(c *command.Command) *sieve {
	s := &sieve{}
	c.Flags.StringVar(&s.node, "node", "", "Regular expression: only nodes with such a name.")
	c.Flags.StringVar(&s.service, "service", "", "Regular expression: only nodes with such a service.")
	c.Flags.StringVar(&s.tag, "tag", "", "Regular expression: only nodes where a -service has such a tag.")
	return s
}

// check says what is wrong with the expressions.
func (s *sieve) check(c *command.Command) bool {
	for _, x := range []struct{ name, text string }{{"node", s.node}, {"service", s.service}, {"tag", s.tag}} {
		if _, err := regexp.Compile(x.text); err != nil {
			c.Fail("Failed to compile %s filter regexp: %s", x.name, err)
			return false
		}
	}
	if s.tag != "" && s.service == "" {
		c.Fail("Cannot provide tag filter without service filter.")
		return false
	}
	return true
}

func eventCommand(a *command.App) *command.Command {
	c := a.New("consul event [options] [payload]", "Fires an event",
		`Tells all agents of a datacenter, or those chosen by regular expressions, that
something has happened. Agents tell each other by gossip: nobody makes sure that
every one hears of it, and the payload must be short. Watches of type event react
to it.

    $ consul event -name=deploy 1.4.2
    $ consul event -name=rotate -service=web -tag=canary`).WithClient(true)
	name := c.Flags.String("name", "", "Name of the event.")
	filter := sieveFlags(c)
	c.Do = func(args []string) int {
		if *name == "" {
			return c.Misused("Event name must be specified")
		}
		if !filter.check(c) {
			return 1
		}
		var payload []byte
		switch len(args) {
		case 0:
		case 1:
			payload = []byte(args[0])
		default:
			return c.Misused("Too many command line arguments.")
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		id, _, err := client.Event().Fire(&api.UserEvent{
			Name: *name, Payload: payload, NodeFilter: filter.node, ServiceFilter: filter.service, TagFilter: filter.tag,
		}, c.Write())
		if err != nil {
			c.Fail("Error firing event: %s", err)
			return 1
		}
		c.Say("Event ID: %s", id)
		return 0
	}
	return c
}
