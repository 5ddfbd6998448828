package doctor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
	"consul.internal/configs"
)

const (
	// packageConfig and packageData are what the packaged unit starts the agent with.
	packageConfig = "/etc/consul.d"
	packageData   = "/var/lib/consul"
	// patience bounds the whole examination: nobody waits longer for a diagnosis.
	patience = 30 * time.Second
)

// Level of a finding.
type Level string

// Levels, from harmless to harmful.
const (
	OK     Level = "ok"
	Advice Level = "advice" // works, but not as well or as safely as it could
	Fault  Level = "fault"  // does not work, or will not for long
)

// Finding is one thing that was looked at.
type Finding struct {
	Check string // what was looked at
	Level Level
	Text  string // what was seen
	Cure  string `json:",omitempty"` // what to do about it
}

// Commands lists this family.
func Commands() command.Set {
	return command.Set{"doctor": func(a *command.App) *command.Command { return doctorCommand(a, systemMachine()) }}
}

func doctorCommand(a *command.App, m machine) *command.Command {
	c := a.New("consul doctor [options]", "Finds what is wrong with this machine's agent",
		`Looks at the configuration, the machine and, if it runs, the agent: ports,
addresses, clock, limits, addresses to join, data directory, certificates, the
way of DNS questions to the agent, other datacenters, and the distance between
servers. Each line is ok, advice or fault; the cure stands below. Nothing is
changed.

    $ consul doctor -config-dir=/etc/consul.d

Without -config-dir and -config-file it looks at /etc/consul.d with the data in
/var/lib/consul, as the unit of the package does. Run it as the agent's user or
as root. Exit code 0: no fault; 1: at least one.`).WithClient(false)
	in := &configs.Input{CheckOnly: true}
	file := func(path string) error { in.Files = append(in.Files, path); return nil }
	c.Flags.Func("config-dir", "Directory of configuration files. May be repeated.", file)
	c.Flags.Func("config-file", "Configuration file. May be repeated.", file)
	data := c.Flags.String("data-dir", "", "The agent's data directory, if the configuration does not say.")
	format := c.Flags.String("format", "pretty", "How the findings are printed: pretty or json.")
	c.Do = func(args []string) int {
		switch {
		case !c.NoArguments(args):
			return 1
		case *format != "pretty" && *format != "json":
			return c.Misused("-format must be pretty or json.")
		}
		if len(in.Files) == 0 {
			in.Files = []string{packageConfig}
			if *data == "" {
				*data = packageData
			}
		}
		if *data != "" {
			in.Fragments = append(in.Fragments, fmt.Sprintf("data_dir = %q", *data))
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		found, ok := examine(ctx, c, m, in)
		if !ok {
			return 1
		}
		return report(c, found, *format)
	}
	return c
}

// patient is what the checks look at.
type patient struct {
	*configs.Settings
	machine
	client  *api.Client
	self    map[string]map[string]any // nil where no agent answers
	members []*api.AgentMember
	wan     []*api.AgentMember // on servers
	found   []Finding
}

func (p *patient) ok(check, format string, args ...any) {
	p.found = append(p.found, Finding{check, OK, fmt.Sprintf(format, args...), ""})
}

func (p *patient) advise(check, cure, format string, args ...any) {
	p.found = append(p.found, Finding{check, Advice, fmt.Sprintf(format, args...), cure})
}

func (p *patient) fault(check, cure, format string, args ...any) {
	p.found = append(p.found, Finding{check, Fault, fmt.Sprintf(format, args...), cure})
}

// examine runs all checks; false means that the client could not be made, which
// has been said.
func examine(ctx context.Context, c *command.Command, m machine, in *configs.Input) ([]Finding, bool) {
	p := &patient{machine: m}
	s, warnings, err := configs.Resolve(in, m.host)
	if err != nil {
		for line := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
			if line = strings.TrimPrefix(strings.TrimSpace(line), "* "); line == "" || strings.HasSuffix(line, "errors occurred:") {
				continue
			}
			p.fault("configuration", "mend the file: the agent does not start with it; consul validate checks it again", "%s", line)
		}
		return p.found, true
	}
	p.Settings = s
	p.configuration(warnings)
	if !p.connect(c) {
		return nil, false
	}
	for _, look := range []func(context.Context){
		p.agent, p.addresses, p.ports, p.clock, p.limits, p.joining, p.data, p.certificates, p.stub, p.clocksElsewhere, p.distances, p.datacenters, p.secrets,
	} {
		look(ctx)
	}
	return p.found, true
}

// elsewhere ends the warnings about addresses that another machine may have.
const elsewhere = " (checked on this machine)"

func (p *patient) configuration(warnings []string) {
	clean := true
	for _, w := range warnings {
		if text, network := strings.CutSuffix(w, elsewhere); network {
			p.fault("addresses", "give the interface that address, or set the key to one that this machine has (a template such as {{ GetPrivateIP }} finds one)", "%s", text)
			continue
		}
		clean = false
		p.advise("configuration", "see the key in the agent's documentation", "%s", w)
	}
	if clean {
		p.ok("configuration", "%s is valid", strings.Join(p.Paths.Config, ", "))
	}
}

// connect makes the client. The configuration names the agent's address where
// neither a flag nor the environment does.
func (p *patient) connect(c *command.Command) bool {
	addr := c.Flags.Lookup("http-addr")
	if addr.Value.String() == "" && os.Getenv(api.HTTPAddrEnvName) == "" && len(p.Addresses.HTTP) > 0 {
		if err := addr.Value.Set(reachable(p.Addresses.HTTP[0]).String()); err != nil {
			c.Fail("Error connecting to Consul agent: %s", err)
			return false
		}
	}
	var ok bool
	p.client, ok = c.Open()
	return ok
}

// agent asks the agent who it is. None at all is no fault: doctor is there to be
// run before the first start, too.
func (p *patient) agent(ctx context.Context) {
	q := new(api.QueryOptions).WithContext(ctx)
	var self map[string]map[string]any
	if _, err := p.client.Raw().Query("/v1/agent/self", &self, q); err != nil {
		if strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "no such file") {
			p.ok("agent", "none runs here; what only an agent can tell is left out")
		} else {
			p.fault("agent", "with ACLs give a token that has agent:read (-token or CONSUL_HTTP_TOKEN); else look into its log (journalctl -u consul)",
				"the agent cannot be asked: %v", err)
		}
		return
	}
	name, _ := self["Config"]["NodeName"].(string)
	if dc, _ := self["Config"]["Datacenter"].(string); name != p.Node.Name || dc != p.Node.Datacenter {
		p.fault("agent", "name its own address with -http-addr, or the configuration that it runs with; if the files were changed, restart the agent",
			"the agent that answers is %s in %s, the configuration is for %s in %s", name, dc, p.Node.Name, p.Node.Datacenter)
		return
	}
	p.self = self
	p.ok("agent", "%s in %s runs", name, p.Node.Datacenter)
	var err error
	if p.members, err = p.client.Agent().Members(false); err == nil && p.Server.Enabled {
		p.wan, err = p.client.Agent().Members(true)
	}
	if err != nil {
		p.fault("agent", "look into its log (journalctl -u consul)", "the agent cannot tell its members: %v", err)
	}
	for _, m := range slices.Concat(p.members, p.wan) {
		if m.Status == memberFailed {
			p.advise("agent", "look at that machine; if it is gone for good: consul force-leave "+m.Name, "member %s at %s has failed", m.Name, m.Addr)
		}
	}
}

// report prints the findings and returns the exit code.
func report(c *command.Command, found []Finding, format string) int {
	code := 0
	count := map[Level]int{}
	for _, f := range found {
		count[f.Level]++
	}
	if count[Fault] > 0 {
		code = 1
	}
	if format == "json" {
		return max(code, c.JSON(found, "    "))
	}
	for _, f := range found {
		c.Say("%-6s  %s: %s", f.Level, f.Check, f.Text)
		if f.Cure != "" {
			c.Say("        -> %s", strings.ReplaceAll(f.Cure, "\n", "\n           "))
		}
	}
	c.Say("%d ok, %d advice, %d faults", count[OK], count[Advice], count[Fault])
	return code
}
