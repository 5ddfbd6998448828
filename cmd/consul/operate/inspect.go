package operate

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"

	"consul.internal/cmd/consul/command"
	"consul.internal/internal/snapfile"
)

func snapshotInspectCommand(a *command.App) *command.Command {
	c := a.New("consul snapshot inspect [options] FILE", "Shows what an archive holds",
		`Checks an archive and shows of what moment it is and what it holds. A file that is
called state.bin is taken for one out of an archive, with its meta.json beside it.`)
	details := c.Flags.Bool("kvdetails", false, "Show also how much room keys take.")
	depth := c.Flags.Int("kvdepth", 2, "With -kvdetails: how many parts of a key, divided by slashes, make a group.")
	prefix := c.Flags.String("kvfilter", "", "With -kvdetails: only keys that begin so.")
	format := c.Flags.String("format", "pretty", "Output format: pretty or json.")
	c.Do = func(args []string) int {
		file, ok := c.OneFile(args)
		if !ok {
			return 1
		}
		if f := strings.ToLower(*format); f != "pretty" && f != "json" {
			c.Fail("Unknown format: %s", *format)
			return 1
		}
		f, err := os.Open(file)
		if err != nil {
			c.Fail("Error opening snapshot file: %s", err)
			return 1
		}
		defer func() { _ = f.Close() }() // it was only read
		var keys *snapfile.Keys
		if *details {
			keys = &snapfile.Keys{Depth: *depth, Prefix: *prefix}
		}
		in, err := snapfile.Inspect(f, keys)
		if err != nil {
			c.Fail("Error reading snapshot: %s", err)
			return 1
		}
		if strings.EqualFold(*format, "json") {
			return c.JSON(in, "   ")
		}
		inspected(c, in, *details)
		return 0
	}
	return c
}

func snapshotDecodeCommand(a *command.App) *command.Command {
	c := a.New("consul snapshot decode FILE", "Prints everything that an archive holds",
		`Checks an archive and prints one JSON object a line: what moment it is of, and then
every record with its type. There are secrets in what it prints.`)
	c.Do = func(args []string) int {
		file, ok := c.OneFile(args)
		if !ok {
			return 1
		}
		f, err := os.Open(file)
		if err != nil {
			c.Fail("Error opening snapshot file: %s", err)
			return 1
		}
		defer func() { _ = f.Close() }() // it was only read
		out := bufio.NewWriter(c.Out)
		enc := json.NewEncoder(out)
		err = snapfile.Decode(f, func(kind string, data any) error {
			return enc.Encode(map[string]any{"Type": kind, "Data": data})
		})
		if err = errors.Join(err, out.Flush()); err != nil {
			c.Fail("Error decoding snapshot: %s", err)
			return 1
		}
		return 0
	}
	return c
}

func inspected(c *command.Command, in *snapfile.Inspection, details bool) {
	c.Table([][]string{
		{" ID", in.Meta.ID}, {" Size", strconv.FormatInt(in.Meta.Size, 10)}, {" Index", strconv.FormatUint(in.Meta.Index, 10)},
		{" Term", strconv.FormatUint(in.Meta.Term, 10)}, {" Version", strconv.Itoa(in.Meta.Version)},
	})
	c.Say("")
	tallyTable(c, "Type", in.Stats, in.TotalSize)
	if details {
		c.Say("")
		tallyTable(c, "Key Name", in.StatsKV, in.TotalSizeKV)
	}
}

func tallyTable(c *command.Command, head string, list []snapfile.Tally, total int) {
	rule := []string{" ----", "----", "----"}
	rows := [][]string{{" " + head, "Count", "Size"}, rule}
	for _, x := range list {
		rows = append(rows, []string{" " + x.Name, strconv.Itoa(x.Count), command.ByteSize(x.Sum)})
	}
	c.Table(append(rows, rule, []string{" Total", "", command.ByteSize(total)}))
}
