package main

import "consul.internal/configs"

func validateCommand(a *app) *command {
	c := a.newCommand("consul validate [options] FILE_OR_DIRECTORY...", "Checks configuration files",
		"Checks configuration files and directories as the agent would at its start,\nwithout starting anything. Mistakes are shown with file, line and column.\nExit code 0: the agent would take them; 1: it would not.")
	quiet := c.fs.Bool("quiet", false, "Print nothing when all is well.")
	format := c.fs.String("config-format", "", "Format of files whose names do not tell: hcl or json.")
	c.run = func(args []string) int {
		if len(args) == 0 {
			c.fail("Must specify at least one config file or directory")
			return 1
		}
		warnings, err := configs.Validate(args, *format, configs.SystemHost())
		if err != nil {
			c.fail("Config validation failed: %v", err)
			return 1
		}
		for _, w := range warnings {
			c.fail("%s", w)
		}
		if !*quiet {
			c.say("Configuration is valid!")
		}
		return 0
	}
	return c
}
