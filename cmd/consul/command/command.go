package command

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

// App carries the streams of this process.
type App struct {
	In       io.Reader
	Out, Err io.Writer
}

// Say prints a line to standard output; Fail prints one to standard error. A
// stream that is gone leaves nobody to tell.
func (a *App) Say(format string, args ...any)  { _, _ = fmt.Fprintf(a.Out, format+"\n", args...) }
func (a *App) Fail(format string, args ...any) { _, _ = fmt.Fprintf(a.Err, format+"\n", args...) }

// Table prints rows in columns, the first row being the heading.
func (a *App) Table(rows [][]string) {
	// Two blanks tell columns apart from blanks within a field.
	w := tabwriter.NewWriter(a.Out, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	_ = w.Flush() // to standard output, see Say
}

// Command is one command of the command line. Do gets the arguments after the
// flags and returns the exit code.
type Command struct {
	*App
	Flags *flag.FlagSet
	Do    func(args []string) int
	// Raw, if set, gets the arguments unparsed instead of Do.
	Raw func(args []string) int

	synopsis string       // for the list of commands
	usage    string       // the part after "Usage: "
	about    string       // a paragraph or more for -h
	client   *clientFlags // nil where no agent is asked
	// listFlags says whether -h lists the flags; a parent command has none.
	listFlags bool
}

// New makes a command with a flag set that reports errors itself.
func (a *App) New(usage, synopsis, about string) *Command {
	name := strings.TrimPrefix(usage, "consul ")
	if i := strings.IndexAny(name, "[<"); i >= 0 {
		name = strings.TrimSpace(name[:i])
	}
	c := &Command{App: a, synopsis: synopsis, usage: usage, about: about, Flags: flag.NewFlagSet(name, flag.ContinueOnError), listFlags: true}
	c.Flags.SetOutput(a.Err)
	c.Flags.Usage = func() { c.Fail("Usage:"); c.Flags.PrintDefaults() }
	return c
}

// Parent makes a command that only has subcommands.
func (a *App) Parent(usage, synopsis, about string) *Command {
	c := a.New(usage, synopsis, about)
	c.listFlags = false
	c.Do = func([]string) int { return cli.RunResultHelp }
	return c
}

// Synopsis is the line in the list of commands.
func (c *Command) Synopsis() string { return c.synopsis }

// Run parses the flags and runs the command.
func (c *Command) Run(args []string) int {
	if c.Raw != nil {
		return c.Raw(args)
	}
	if err := c.Flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			c.Say("%s", c.Help())
			return 0
		}
		return 1 // the flag set has said why
	}
	return c.Do(c.Flags.Args())
}

// AutocompleteArgs completes what is no flag: names of files, where the command
// takes them.
func (c *Command) AutocompleteArgs() complete.Predictor {
	if strings.Contains(c.usage, "FILE") {
		return complete.PredictFiles("*")
	}
	return complete.PredictNothing
}

// AutocompleteFlags completes flags, and values of those that have one.
func (c *Command) AutocompleteFlags() complete.Flags {
	flags := complete.Flags{}
	c.Flags.VisitAll(func(f *flag.Flag) {
		var value complete.Predictor = complete.PredictAnything
		switch {
		case isSwitch(f):
			value = complete.PredictNothing
		case strings.HasSuffix(f.Name, "-file") || strings.HasSuffix(f.Name, "-dir"):
			value = complete.PredictFiles("*")
		}
		flags["-"+f.Name] = value
	})
	return flags
}

// NoArguments refuses what stands after the flags.
func (c *Command) NoArguments(args []string) bool {
	if len(args) > 0 {
		c.Fail("Too many arguments (expected 0, got %d)", len(args))
		return false
	}
	return true
}

// OneFile is the command's single argument.
func (c *Command) OneFile(args []string) (string, bool) {
	switch len(args) {
	case 0:
		c.Fail("Missing FILE argument")
		return "", false
	case 1:
		return args[0], true
	}
	c.Fail("Too many arguments (expected 1, got %d)", len(args))
	return "", false
}

// Asking makes the command one without arguments that asks an agent.
func (c *Command) Asking(do func(*api.Client) int) *Command {
	c.Do = func(args []string) int {
		if !c.NoArguments(args) {
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		return do(client)
	}
	return c
}

// Misused says what is wrong with the arguments, and how they should be.
func (c *Command) Misused(text string) int {
	c.Fail("%s\n\n%s", text, c.Help())
	return 1
}
