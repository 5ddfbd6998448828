package ui

import (
	"cmp"
	"strings"
	"time"

	"consul.internal/acl"
	"consul.internal/dnsserver"
	dnsnames "consul.internal/httpapi/names"
)

type namesData struct {
	Name, Type string
	Types      []choice
	Off        bool
	*dnsserver.Explanation
	More int // instances that are not shown
}

// explainEvery is how often the answer is looked at again: it is made in memory.
const explainEvery = time.Second

// names tells how a name is answered, and why so.
func names(c *call, pg *page) error {
	pg.Title = "DNS explain"
	d := &namesData{Name: strings.TrimSpace(c.q.Get("name")), Type: strings.ToUpper(cmp.Or(c.q.Get("type"), "A")), Off: c.DNS == nil}
	pg.Data, pg.every = d, explainEvery
	for _, t := range []string{"A", "AAAA", "SRV", "TXT", "ANY", "PTR", "SOA", "NS"} {
		d.Types = append(d.Types, choice{t, t, t == d.Type})
	}
	if d.Name == "" || d.Off {
		pg.still = true
		return nil
	}
	// As /v1/internal/dns/explain: it shows what the agent knows, not what the token may see.
	if err := c.Need(c.r, acl.Agent, c.Settings().NodeName, acl.Read); err != nil {
		return err
	}
	e, err := dnsnames.Explained(c.r, c.Base, c.DNS, d.Name, d.Type)
	if err != nil {
		return err
	}
	shownPart := *e
	shownPart.Answer = withoutID(shorten(e.Answer, outputLong*2))
	if most := c.most(itemsPerPage); len(e.Instances) > most {
		shownPart.Instances, d.More = e.Instances[:most], len(e.Instances)-most
	}
	d.Explanation = &shownPart
	return nil
}

// withoutID leaves out the number of the message, which means nothing.
func withoutID(answer string) string {
	var out []string
	for line := range strings.Lines(answer) {
		if head, _, ok := strings.Cut(line, ", id: "); ok && strings.HasPrefix(line, ";; opcode") {
			line = head + "\n"
		}
		out = append(out, line)
	}
	return strings.TrimSpace(strings.Join(out, ""))
}
