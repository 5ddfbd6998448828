package discover

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"consul.internal/agent"
	"consul.internal/checks"
	"consul.internal/cmd/consul/command"
	"consul.internal/configs"
)

func servicesCommand(a *command.App) *command.Command {
	return a.Parent("consul services <subcommand> [options] [args]", "Registers and deregisters services at the agent",
		`Registers services at the agent and removes them again. What is registered here
is kept by the agent over restarts, as if it had come over HTTP.

    $ consul services register web.hcl
    $ consul services register -name=web -port=80
    $ consul services deregister web.hcl
    $ consul services deregister -id=web`)
}

// serviceFlags describe one service on the command line.
type serviceFlags struct {
	kind, id, name, address, socket string
	port                            int
	meta                            command.Map
	tags                            command.List
	tagged                          command.Map
}

func servicesRegisterCommand(a *command.App) *command.Command {
	c := a.New("consul services register [options] [FILE...]", "Registers services",
		"Registers the services of definition files (HCL or JSON, as in the agent's\nconfiguration), or one service that the flags describe.").WithClient(false)
	var f serviceFlags
	c.Flags.StringVar(&f.kind, "kind", "", "Kind of the service; empty for an ordinary one.")
	c.Flags.StringVar(&f.id, "id", "", "ID of the service. Default: its name.")
	c.Flags.StringVar(&f.name, "name", "", "Name of the service.")
	c.Flags.StringVar(&f.address, "address", "", "Address of the service. Default: that of the node.")
	c.Flags.IntVar(&f.port, "port", 0, "Port of the service.")
	c.Flags.StringVar(&f.socket, "socket", "", "Path of the service's unix socket, instead of an address and a port.")
	c.Flags.Var(&f.meta, "meta", "Metadata, key=value. May be repeated.")
	c.Flags.Var(&f.tags, "tag", "Tag. May be repeated.")
	c.Flags.Var(&f.tagged, "tagged-address", "Address for a certain audience, as wan=192.0.2.1:80. May be repeated.")
	c.Do = func(args []string) int {
		services, err := f.registrations(args)
		if err != nil {
			c.Fail("%s", err)
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		for _, s := range services {
			if err := client.Agent().ServiceRegister(s); err != nil {
				c.Fail("Error registering service %q: %s", s.Name, err)
				return 1
			}
			c.Say("Registered service: %s", s.Name)
		}
		return 0
	}
	return c
}

func (f *serviceFlags) given() bool {
	return f.kind+f.id+f.name+f.address+f.socket != "" || f.port != 0 || len(f.meta)+len(f.tags)+len(f.tagged) > 0
}

// registrations turns files or flags into what the API takes.
func (f *serviceFlags) registrations(files []string) ([]*api.AgentServiceRegistration, error) {
	switch {
	case len(files) > 0 && f.given():
		return nil, errors.New("Service registration requires arguments or -id, not both.")
	case len(files) > 0:
		return fileRegistrations(files)
	case !f.given():
		return nil, errors.New("Service registration requires at least one argument or flags.")
	case f.name == "":
		return nil, errors.New("Service registration requires -name.")
	}
	tagged, err := taggedAddresses(f.tagged)
	if err != nil {
		return nil, err
	}
	return []*api.AgentServiceRegistration{{
		Kind: api.ServiceKind(f.kind), ID: f.id, Name: f.name, Tags: f.tags, Port: f.port, Address: f.address,
		SocketPath: f.socket, Meta: f.meta, TaggedAddresses: tagged,
	}}, nil
}

// taggedAddresses reads values such as 192.0.2.1:80, [2001:db8::1]:80 and
// 192.0.2.1 (port 0: that of the service).
func taggedAddresses(in command.Map) (map[string]api.ServiceAddress, error) {
	if len(in) == 0 {
		return nil, nil
	}
	out := map[string]api.ServiceAddress{}
	for tag, text := range in {
		addr, port := text, 0
		if i := strings.LastIndexByte(text, ':'); i >= 0 && (strings.Count(text, ":") == 1 || strings.Contains(text, "]:")) {
			n, err := strconv.ParseUint(text[i+1:], 10, 16)
			if err != nil {
				return nil, fmt.Errorf("-tagged-address %s=%s: the port is no number up to 65535", tag, text)
			}
			addr, port = text[:i], int(n)
		}
		out[tag] = api.ServiceAddress{Address: strings.Trim(addr, "[]"), Port: port}
	}
	return out, nil
}

// fileRegistrations reads definition files. They are checked like those of an
// agent; dev mode and CheckOnly ask for nothing that only an agent needs.
func fileRegistrations(files []string) ([]*api.AgentServiceRegistration, error) {
	settings, _, err := configs.Resolve(&configs.Input{Files: files, Dev: true, CheckOnly: true}, configs.SystemHost())
	if err != nil {
		return nil, fmt.Errorf("Error: %w", err)
	}
	var out []*api.AgentServiceRegistration
	for i := range settings.Definitions.Services {
		reg, err := registration(&settings.Definitions.Services[i])
		if err != nil {
			return nil, fmt.Errorf("Error: %w", err)
		}
		out = append(out, reg)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("Error: no service in %s", strings.Join(files, ", "))
	}
	return out, nil
}

func servicesDeregisterCommand(a *command.App) *command.Command {
	c := a.New("consul services deregister [options] [FILE...]", "Deregisters services",
		"Removes the service with an ID, or the services that definition files describe,\nfrom the agent.").WithClient(false)
	id := c.Flags.String("id", "", "ID of the service to remove.")
	c.Do = func(args []string) int {
		type target struct{ id, name string }
		var targets []target
		switch {
		case len(args) > 0 && *id != "":
			c.Fail("Service deregistration requires arguments or -id, not both.")
			return 1
		case len(args) > 0:
			services, err := fileRegistrations(args)
			if err != nil {
				c.Fail("%s", err)
				return 1
			}
			for _, s := range services {
				targets = append(targets, target{cmp.Or(s.ID, s.Name), s.Name})
			}
		case *id != "":
			targets = []target{{*id, ""}}
		default:
			c.Fail("Service deregistration requires at least one argument or -id.")
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		for _, t := range targets {
			if err := client.Agent().ServiceDeregister(t.id); err != nil {
				c.Fail("Error deregistering service %q: %s", cmp.Or(t.name, t.id), err)
				return 1
			}
			c.Say("Deregistered service: %s", t.id)
		}
		return 0
	}
	return c
}

// registration turns a definition of a file into what the API takes.
func registration(d *agent.ServiceDefinition) (*api.AgentServiceRegistration, error) {
	reg := &api.AgentServiceRegistration{
		Kind: api.ServiceKind(d.Kind), ID: d.ID, Name: d.Name, Tags: d.Tags, Port: d.Port, Address: d.Address,
		SocketPath: d.SocketPath, EnableTagOverride: d.EnableTagOverride, Meta: d.Meta,
	}
	for tag, addr := range d.TaggedAddresses {
		if reg.TaggedAddresses == nil {
			reg.TaggedAddresses = map[string]api.ServiceAddress{}
		}
		reg.TaggedAddresses[tag] = api.ServiceAddress{Address: addr.Address, Port: addr.Port}
	}
	if d.Weights != nil {
		reg.Weights = &api.AgentWeights{Passing: d.Weights.Passing, Warning: d.Weights.Warning}
	}
	if d.Connect.Native {
		reg.Connect = &api.AgentServiceConnect{Native: true}
	}
	if d.Kind != "" { // only proxies and gateways have one
		raw, err := json.Marshal(d.Proxy)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &reg.Proxy); err != nil {
			return nil, fmt.Errorf("service %q: proxy: %w", d.Name, err)
		}
	}
	for i := range d.Checks {
		check, err := checkRegistration(&d.Checks[i])
		if err != nil {
			return nil, fmt.Errorf("service %q: check %q: %w", d.Name, d.Checks[i].Name, err)
		}
		reg.Checks = append(reg.Checks, check)
	}
	return reg, nil
}

func checkRegistration(d *checks.Definition) (*api.AgentServiceCheck, error) {
	if d.OSService != "" {
		return nil, errors.New("os_service checks can only be given in the agent's own configuration")
	}
	return &api.AgentServiceCheck{
		CheckID: d.ID, Name: d.Name, Args: d.Args, DockerContainerID: d.DockerContainerID, Shell: d.Shell,
		Interval: span(d.Interval), Timeout: span(d.Timeout), TTL: span(d.TTL),
		HTTP: d.HTTP, Header: d.Header, Method: d.Method, Body: d.Body,
		TCP: d.TCP, TCPUseTLS: d.TCPUseTLS, UDP: d.UDP, Status: string(d.Status), Notes: d.Notes,
		TLSServerName: d.TLSServerName, TLSSkipVerify: d.TLSSkipVerify, GRPC: d.GRPC, GRPCUseTLS: d.GRPCUseTLS,
		H2PING: d.H2PING, H2PingUseTLS: d.H2PINGUseTLS, AliasNode: d.AliasNode, AliasService: d.AliasService,
		SuccessBeforePassing: d.SuccessBeforePassing, FailuresBeforeWarning: d.FailuresBeforeWarning,
		FailuresBeforeCritical: d.FailuresBeforeCritical, DeregisterCriticalServiceAfter: span(d.DeregisterCriticalServiceAfter),
	}, nil
}

// span writes a duration as the API reads it; nothing for zero.
func span(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}
