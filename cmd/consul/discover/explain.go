package discover

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

// explanation is the part of the agent's explanation that is shown.
type explanation struct {
	Kind, Datacenter, Label, Tag, By string
	Views                            []struct {
		Kind, Datacenter, Name, Source, Error string
		Index                                 uint64
		Stale                                 bool
		AgeMillis                             int64
	}
	Instances []struct {
		Node, ID, Address, Status, Reason string
		Port                              int
		Given                             bool
	}
	Answer, Note string
}

func explainCommand(a *command.App) *command.Command {
	c := a.New("consul explain [options] name [type]", "Explains how a DNS question is answered, or what is asked most",
		`Shows which instances of a service the agent's DNS gives and which it leaves out,
by which check, tag, ACL or limit; what in its memory the answer is made of, how old that
is and what keeps it up to date; and the answer as dig shows it. Without a type it is
that of IPv4 addresses.

    $ consul explain web.service.consul
    $ consul explain web.service.dc2.consul SRV

With -top it shows the names that the agent's DNS has been asked for most in the last
ten to twenty minutes.

    $ consul explain -top=20`).WithClient(true)
	most := c.Flags.Int("top", 0, "Show so many of the names that are asked for most.")
	c.Do = func(args []string) int {
		if *most != 0 {
			return showTop(c, *most, args)
		}
		if len(args) != 1 && len(args) != 2 {
			return c.Misused("A name and at most a type must be specified.")
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		var e explanation
		path := "/v1/internal/dns/explain/" + url.PathEscape(args[0]) + "/" + strings.ToUpper(cmp.Or(strings.Join(args[1:], ""), "A"))
		if _, err := client.Raw().Query(path, &e, &api.QueryOptions{}); err != nil {
			c.Fail("Error explaining %s: %s", args[0], err)
			return 1
		}
		show(c, &e)
		return 0
	}
	return c
}

func show(c *command.Command, e *explanation) {
	rows := [][]string{{"Kind", e.Kind}, {"Datacenter", e.Datacenter}, {"Asks for", e.Label}, {"Tag", e.Tag}, {"Answered by", e.By}}
	for _, r := range rows {
		if r[1] != "" {
			c.Say("%-12s %s", r[0], r[1])
		}
	}
	if len(e.Views) > 0 {
		c.Say("")
		table := [][]string{{"View", "Datacenter", "Name", "Index", "Stale", "Age", "Source"}}
		for _, v := range e.Views {
			table = append(table, []string{v.Kind, v.Datacenter, v.Name, fmt.Sprint(v.Index), fmt.Sprint(v.Stale), fmt.Sprintf("%dms", v.AgeMillis), cmp.Or(v.Error, v.Source)})
		}
		c.Table(table)
	}
	if len(e.Instances) > 0 {
		c.Say("")
		table := [][]string{{"Given", "Node", "ID", "Address", "Status", "Reason"}}
		for _, i := range e.Instances {
			given := "no"
			if i.Given {
				given = "yes"
			}
			table = append(table, []string{given, i.Node, i.ID, fmt.Sprintf("%s:%d", i.Address, i.Port), i.Status, i.Reason})
		}
		c.Table(table)
	}
	if e.Note != "" {
		c.Say("\n%s", e.Note)
	}
	c.Say("\n%s", strings.TrimSpace(e.Answer))
}

// showTop shows what is asked for most.
func showTop(c *command.Command, n int, args []string) int {
	if len(args) != 0 || n < 0 {
		return c.Misused("With -top=n, n being above 0, no name can be given.")
	}
	client, ok := c.Open()
	if !ok {
		return 1
	}
	var top struct {
		Seconds   float64
		Questions uint64
		Names     []struct {
			Name, Type, Status string
			Questions, Surplus uint64
		}
	}
	if _, err := client.Raw().Query(fmt.Sprintf("/v1/internal/dns/top/%d", n), &top, &api.QueryOptions{}); err != nil {
		c.Fail("Error asking what is asked most: %s", err)
		return 1
	}
	c.Say("%d questions in %.1f seconds", top.Questions, top.Seconds)
	if len(top.Names) == 0 {
		return 0
	}
	c.Say("")
	table := [][]string{{"Name", "Type", "Questions", "Share", "Last status"}}
	for _, v := range top.Names {
		count := fmt.Sprint(v.Questions)
		if v.Surplus > 0 {
			count = fmt.Sprintf("%d to %d", v.Questions-v.Surplus, v.Questions)
		}
		table = append(table, []string{v.Name, v.Type, count, fmt.Sprintf("%.1f%%", 100*float64(v.Questions)/float64(top.Questions)), v.Status})
	}
	c.Table(table)
	return 0
}
