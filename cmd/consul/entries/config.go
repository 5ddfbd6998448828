package entries

import (
	"errors"
	"fmt"
	"io"
	"os"

	"consul.internal/cmd/consul/command"
	"consul.internal/configentry"
	"consul.internal/internal/hclconf"
)

func configCommand(a *command.App) *command.Command {
	return a.Parent("consul config <subcommand> [options] [args]", "Writes, reads and deletes config entries",
		`Config entries are settings that hold for all instances of a service, or for all
of a datacenter. The servers of the primary datacenter keep them; the others copy
them.

    $ consul config write web.hcl
    $ consul config list -kind service-defaults
    $ consul config read -kind service-defaults -name web
    $ consul config delete -kind service-defaults -name web`)
}

// load reads a definition: from a file, or for a dash from standard input.
func load(c *command.Command, name string) ([]byte, error) {
	if name == "-" {
		text, err := io.ReadAll(c.In)
		if err != nil {
			return nil, fmt.Errorf("Failed to read stdin: %w", err)
		}
		return text, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("Failed to read file: %w", err)
	}
	return text, nil
}

// parse makes an entry of HCL or JSON.
func parse(name string, text []byte) (*configentry.Entry, error) {
	root, err := hclconf.Parse(name, text)
	if err != nil {
		return nil, err
	}
	tree, ok := root.Any().(map[string]any)
	if !ok {
		return nil, errors.New("it must be one object")
	}
	return configentry.Decode(tree)
}

func writeCommand(a *command.App) *command.Command {
	c := a.New("consul config write [options] <configuration>", "Writes a config entry",
		`Creates a config entry or replaces it. The definition is HCL or JSON, out of a file
or, for "-", out of standard input.

    $ consul config write web.service.hcl
    $ consul config write -cas -modify-index=42 -`).WithClient(true)
	cas := c.Flags.Bool("cas", false, "Write only if the entry was last written at -modify-index.")
	index := c.Flags.Uint64("modify-index", 0, "ModifyIndex for -cas; 0: only if there is no such entry.")
	c.Do = func(args []string) int {
		if len(args) != 1 {
			c.Fail("Must provide exactly one positional argument to specify the config entry to write")
			return 1
		}
		text, err := load(c, args[0])
		if err != nil {
			c.Fail("Failed to load data: %v", err)
			return 1
		}
		e, err := parse(args[0], text)
		if err != nil {
			c.Fail("Failed to decode config entry input: %v", err)
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		done := false
		if *cas {
			done, _, err = client.ConfigEntries().CAS(e, *index, c.Write())
		} else {
			done, _, err = client.ConfigEntries().Set(e, c.Write())
		}
		name := e.Name
		if e.Kind == configentry.KindMesh {
			name = configentry.MeshName
		}
		switch {
		case err != nil:
			c.Fail("Error writing config entry %s/%s: %v", e.Kind, name, err)
			return 1
		case !done:
			c.Fail("Config entry not written: %s/%s was not last written at index %d; read it again", e.Kind, name, *index)
			return 1
		}
		c.Say("Config entry written: %s/%s", e.Kind, name)
		return 0
	}
	return c
}

// chosen are the flags that name an entry.
type chosen struct{ kind, name string }

func choose(c *command.Command) *chosen {
	f := new(chosen)
	c.Flags.StringVar(&f.kind, "kind", "", "Kind of the config entry.")
	c.Flags.StringVar(&f.name, "name", "", "Name of the config entry.")
	return f
}

func (f *chosen) check(c *command.Command) bool {
	switch {
	case f.kind == "":
		c.Fail("Must specify the -kind parameter")
	case f.name == "":
		c.Fail("Must specify the -name parameter")
	default:
		return true
	}
	return false
}

func readCommand(a *command.App) *command.Command {
	c := a.New("consul config read [options] -kind <kind> -name <name>", "Reads a config entry",
		`Prints a config entry as JSON, in the form that "consul config write" takes.

    $ consul config read -kind proxy-defaults -name global`).WithClient(true)
	f := choose(c)
	c.Do = func([]string) int {
		if !f.check(c) {
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		e, _, err := client.ConfigEntries().Get(f.kind, f.name, c.Query())
		if err != nil {
			c.Fail("Error reading config entry %s/%s: %v", f.kind, f.name, err)
			return 1
		}
		return c.JSON(e, "    ")
	}
	return c
}

func listCommand(a *command.App) *command.Command {
	c := a.New("consul config list [options] -kind <kind>", "Lists the config entries of a kind",
		`Prints the names of all config entries of a kind, one a line.

    $ consul config list -kind service-defaults`).WithClient(true)
	kind := c.Flags.String("kind", "", "Kind of the config entries.")
	c.Do = func([]string) int {
		if *kind == "" {
			c.Fail("Must specify the -kind parameter")
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		list, _, err := client.ConfigEntries().List(*kind, c.Query())
		if err != nil {
			c.Fail("Error listing config entries for kind %q: %v", *kind, err)
			return 1
		}
		for _, e := range list {
			c.Say("%s", e.GetName())
		}
		return 0
	}
	return c
}

func deleteCommand(a *command.App) *command.Command {
	c := a.New("consul config delete [options] [-kind <kind> -name <name> | -filename <file>]", "Deletes a config entry",
		`Deletes the config entry of a kind and name, or the one that a file defines. That
there is none is no failure.

    $ consul config delete -kind service-defaults -name web
    $ consul config delete -filename service-defaults-web.hcl`).WithClient(true)
	f := choose(c)
	file := c.Flags.String("filename", "", "File with the definition of the config entry, instead of -kind and -name.")
	cas := c.Flags.Bool("cas", false, "Delete only if the entry was last written at -modify-index.")
	index := c.Flags.Uint64("modify-index", 0, "ModifyIndex for -cas.")
	c.Do = func([]string) int {
		if *file != "" {
			if f.kind != "" || f.name != "" {
				c.Fail("filename can't be used with kind or name flags.")
				return 1
			}
			text, err := load(c, *file)
			if err != nil {
				c.Fail("Failed to load data: %v", err)
				return 1
			}
			e, err := parse(*file, text)
			if err != nil {
				c.Fail("Failed to decode config entry input: %v", err)
				return 1
			}
			f.kind, f.name = e.Kind, e.Name
			if e.Kind == configentry.KindMesh {
				f.name = configentry.MeshName
			}
		}
		switch {
		case !f.check(c):
			return 1
		case *cas && *index == 0:
			c.Fail("Must specify a -modify-index greater than 0 with -cas")
			return 1
		case !*cas && *index != 0:
			c.Fail("Cannot specify -modify-index without -cas")
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		done, err := true, error(nil)
		if *cas {
			done, _, err = client.ConfigEntries().DeleteCAS(f.kind, f.name, *index, c.Write())
		} else {
			_, err = client.ConfigEntries().Delete(f.kind, f.name, c.Write())
		}
		switch {
		case err != nil:
			c.Fail("Error deleting config entry %s/%s: %v", f.kind, f.name, err)
			return 1
		case !done:
			c.Fail("Config entry not deleted: %s/%s", f.kind, f.name)
			return 1
		}
		c.Say("Config entry deleted: %s/%s", f.kind, f.name)
		return 0
	}
	return c
}
