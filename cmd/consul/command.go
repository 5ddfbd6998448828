package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/hashicorp/cli"
	"github.com/hashicorp/consul/api"
	"github.com/posener/complete"
)

// app carries the streams of this process.
type app struct {
	in       io.Reader
	out, err io.Writer
}

// say prints to standard output; fail prints to standard error. A stream that
// is gone leaves nobody to tell.
func (a *app) say(format string, args ...any)  { _, _ = fmt.Fprintf(a.out, format+"\n", args...) }
func (a *app) fail(format string, args ...any) { _, _ = fmt.Fprintf(a.err, format+"\n", args...) }

// command is one command of the command line.
type command struct {
	*app
	synopsis string // for the list of commands
	usage    string // the part after "Usage: "
	about    string // a paragraph or more for -h
	fs       *flag.FlagSet
	client   *clientFlags // nil where no agent is asked
	run      func(args []string) int
	// parse, if set, gets the arguments unparsed instead of run.
	parse func(args []string) int
	// listFlags says whether -h lists the flags; a parent command has none.
	listFlags bool
}

// newCommand makes a command with a flag set that reports errors itself.
func (a *app) newCommand(usage, synopsis, about string) *command {
	name := strings.TrimPrefix(usage, "consul ")
	if i := strings.IndexAny(name, "[<"); i >= 0 {
		name = strings.TrimSpace(name[:i])
	}
	c := &command{app: a, synopsis: synopsis, usage: usage, about: about, fs: flag.NewFlagSet(name, flag.ContinueOnError), listFlags: true}
	c.fs.SetOutput(a.err)
	c.fs.Usage = func() { c.fail("Usage:"); c.fs.PrintDefaults() }
	return c
}

// parent makes a command that only has subcommands.
func (a *app) parent(usage, synopsis, about string) *command {
	c := a.newCommand(usage, synopsis, about)
	c.listFlags = false
	c.run = func([]string) int { return cli.RunResultHelp }
	return c
}

// Synopsis is the line in the list of commands.
func (c *command) Synopsis() string { return c.synopsis }

// Run parses the flags and runs the command.
func (c *command) Run(args []string) int {
	if c.parse != nil {
		return c.parse(args)
	}
	if err := c.fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			c.say("%s", c.Help())
			return 0
		}
		return 1 // the flag set has said why
	}
	return c.run(c.fs.Args())
}

// AutocompleteArgs completes what is no flag: names of files, where the command
// takes them.
func (c *command) AutocompleteArgs() complete.Predictor {
	if strings.Contains(c.usage, "FILE") {
		return complete.PredictFiles("*")
	}
	return complete.PredictNothing
}

// AutocompleteFlags completes flags, and values of those that have one.
func (c *command) AutocompleteFlags() complete.Flags {
	flags := complete.Flags{}
	c.fs.VisitAll(func(f *flag.Flag) {
		var value complete.Predictor = complete.PredictAnything
		switch b, ok := f.Value.(interface{ IsBoolFlag() bool }); {
		case ok && b.IsBoolFlag():
			value = complete.PredictNothing
		case strings.HasSuffix(f.Name, "-file") || strings.HasSuffix(f.Name, "-dir"):
			value = complete.PredictFiles("*")
		}
		flags["-"+f.Name] = value
	})
	return flags
}

// noArguments refuses what stands after the flags.
func (c *command) noArguments(args []string) bool {
	if len(args) > 0 {
		c.fail("Too many arguments (expected 0, got %d)", len(args))
		return false
	}
	return true
}

// Help is the text of -h.
func (c *command) Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n\n%s", c.usage, indentText(strings.TrimSpace(c.about), "  "))
	var own, common []*flag.Flag
	c.fs.VisitAll(func(f *flag.Flag) {
		if c.client != nil && c.client.has(f.Name) {
			common = append(common, f)
		} else {
			own = append(own, f)
		}
	})
	if c.listFlags {
		flagList(&b, "HTTP API Options", common)
		flagList(&b, "Command Options", own)
	}
	return strings.TrimRight(b.String(), "\n")
}

func flagList(b *strings.Builder, title string, flags []*flag.Flag) {
	if len(flags) == 0 {
		return
	}
	fmt.Fprintf(b, "\n\n%s\n", title)
	for _, f := range flags {
		value := "=<value>"
		if v, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && v.IsBoolFlag() {
			value = ""
		}
		fmt.Fprintf(b, "\n  -%s%s\n%s\n", f.Name, value, indentText(wrap(f.Usage, 72), "     "))
	}
}

// wrap breaks text at blanks so that lines stay within width where they can.
func wrap(text string, width int) string {
	var b strings.Builder
	col := 0
	for _, word := range strings.Fields(text) {
		switch {
		case col == 0:
		case col+1+len(word) > width:
			b.WriteByte('\n')
			col = 0
		default:
			b.WriteByte(' ')
			col++
		}
		b.WriteString(word)
		col += len(word)
	}
	return b.String()
}

func indentText(text, by string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if l != "" {
			lines[i] = by + l
		}
	}
	return strings.Join(lines, "\n")
}

// table prints rows in columns, the first row being the heading.
func (a *app) table(rows [][]string) {
	// Two blanks tell columns apart from blanks within a field.
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	_ = w.Flush() // to standard output, see say
}

// clientFlags are the flags of every command that asks an agent.
type clientFlags struct {
	addr, token, tokenFile               string
	caFile, caPath, certFile, keyFile    string
	tlsServerName, datacenter, namespace string
	partition                            string
	stale                                bool
	names                                map[string]bool
}

// withClient adds the flags of the HTTP API; with read also those that choose a
// datacenter and permit stale answers.
func (c *command) withClient(read bool) *command {
	f := &clientFlags{names: map[string]bool{}}
	c.client = f
	text := func(p *string, name, usage string) {
		c.fs.StringVar(p, name, "", usage)
		f.names[name] = true
	}
	text(&f.addr, "http-addr", "Address of the agent: host:port, a URL, or unix:///path of its socket. Also CONSUL_HTTP_ADDR. Default: http://127.0.0.1:8500.")
	text(&f.token, "token", "ACL token to send. Also CONSUL_HTTP_TOKEN. Without one the agent uses its own default token.")
	text(&f.tokenFile, "token-file", "File that holds the ACL token. Also CONSUL_HTTP_TOKEN_FILE.")
	text(&f.caFile, "ca-file", "File with the certificate authority to check the agent's certificate against. Also CONSUL_CACERT.")
	text(&f.caPath, "ca-path", "Directory with certificate authorities. Also CONSUL_CAPATH.")
	text(&f.certFile, "client-cert", "File with the client certificate, where the agent asks for one. Also CONSUL_CLIENT_CERT.")
	text(&f.keyFile, "client-key", "File with the key of the client certificate. Also CONSUL_CLIENT_KEY.")
	text(&f.tlsServerName, "tls-server-name", "Name to expect in the agent's certificate. Also CONSUL_TLS_SERVER_NAME.")
	text(&f.namespace, "namespace", "Accepted for scripts that pass it; there is one namespace.")
	text(&f.partition, "partition", "Accepted for scripts that pass it; there is one partition.")
	if read {
		text(&f.datacenter, "datacenter", "Datacenter to ask. Default: that of the agent.")
		c.fs.BoolVar(&f.stale, "stale", false, "Let any server answer, even one that may be behind the leader.")
		f.names["stale"] = true
	}
	return c
}

func (f *clientFlags) has(name string) bool { return f.names[name] }

// open makes an API client: the environment first, flags over it. It says what
// is wrong itself.
func (c *command) open() (*api.Client, bool) {
	cfg := api.DefaultConfig()
	for _, o := range []struct {
		to   *string
		from string
	}{
		{&cfg.Address, c.client.addr}, {&cfg.Token, c.client.token}, {&cfg.TokenFile, c.client.tokenFile},
		{&cfg.TLSConfig.CAFile, c.client.caFile}, {&cfg.TLSConfig.CAPath, c.client.caPath},
		{&cfg.TLSConfig.CertFile, c.client.certFile}, {&cfg.TLSConfig.KeyFile, c.client.keyFile},
		{&cfg.TLSConfig.Address, c.client.tlsServerName}, {&cfg.Datacenter, c.client.datacenter},
	} {
		if o.from != "" {
			*o.to = o.from
		}
	}
	client, err := api.NewClient(cfg)
	if err != nil {
		c.fail("Error connecting to Consul agent: %s", err)
		return nil, false
	}
	return client, true
}

func (c *command) query() *api.QueryOptions {
	return &api.QueryOptions{Datacenter: c.client.datacenter, AllowStale: c.client.stale}
}

// textList is a flag that may be repeated.
type textList []string

func (l *textList) String() string     { return strings.Join(*l, ",") }
func (l *textList) Set(s string) error { *l = append(*l, s); return nil }

// textMap is a repeated flag of the form key=value.
type textMap map[string]string

func (m *textMap) String() string { return "" }

func (m *textMap) Set(s string) error {
	k, v, ok := strings.Cut(s, "=")
	if !ok || k == "" {
		return fmt.Errorf("want key=value, got %q", s)
	}
	if *m == nil {
		*m = textMap{}
	}
	(*m)[k] = v
	return nil
}
