package command

import (
	"maps"

	"github.com/hashicorp/cli"
)

// Set holds commands by name; a name with a blank is a subcommand.
type Set map[string]func(*App) *Command

// Join makes one set out of those of several families.
func Join(sets ...Set) Set {
	all := Set{}
	for _, s := range sets {
		maps.Copy(all, s)
	}
	return all
}

// Run executes one command line and returns its exit code.
func (s Set) Run(a *App, version string, args []string) int {
	table := make(map[string]cli.CommandFactory, len(s))
	for name, make := range s {
		table[name] = func() (cli.Command, error) { return make(a), nil }
	}
	c := &cli.CLI{
		Name:       "consul",
		Version:    version,
		Args:       args,
		Commands:   table,
		HelpFunc:   cli.BasicHelpFunc("consul"),
		HelpWriter: a.Out, ErrorWriter: a.Err,
		Autocomplete:   true,
		HiddenCommands: []string{Manual},
	}
	code, err := c.Run()
	if err != nil {
		a.Fail("%v", err)
		return 1
	}
	return code
}
