package main

import (
	"consul.internal/cmd/consul/command"
	"consul.internal/configs"
)

func validateCommand(a *command.App) *command.Command {
	c := a.New("consul validate [options] FILE_OR_DIRECTORY...", "Checks configuration files",
		"Checks configuration files and directories as the agent would at its start,\nwithout starting anything. Mistakes are shown with file, line and column.\nExit code 0: the agent would take them; 1: it would not.")
	quiet := c.Flags.Bool("quiet", false, "Print nothing when all is well.")
	format := c.Flags.String("config-format", "", "Format of files whose names do not tell: hcl or json.")
	c.Do = func(args []string) int {
		if len(args) == 0 {
			c.Fail("Must specify at least one config file or directory")
			return 1
		}
		warnings, err := configs.Validate(args, *format, configs.SystemHost())
		if err != nil {
			c.Fail("Config validation failed: %v", err)
			return 1
		}
		for _, w := range warnings {
			c.Fail("%s", w)
		}
		if !*quiet {
			c.Say("Configuration is valid!")
		}
		return 0
	}
	return c
}
