package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"consul.internal/internal/snapfile"
)

func snapshotInspectCommand(a *app) *command {
	c := a.newCommand("consul snapshot inspect [options] FILE", "Shows what an archive holds",
		`Checks an archive and shows of what moment it is and what it holds. A file that is
called state.bin is taken for one out of an archive, with its meta.json beside it.`)
	details := c.fs.Bool("kvdetails", false, "Show also how much room keys take.")
	depth := c.fs.Int("kvdepth", 2, "With -kvdetails: how many parts of a key, divided by slashes, make a group.")
	prefix := c.fs.String("kvfilter", "", "With -kvdetails: only keys that begin so.")
	format := c.fs.String("format", "pretty", "Output format: pretty or json.")
	c.run = func(args []string) int {
		file, ok := c.oneFile(args)
		if !ok {
			return 1
		}
		if f := strings.ToLower(*format); f != "pretty" && f != "json" {
			c.fail("Unknown format: %s", *format)
			return 1
		}
		f, err := os.Open(file)
		if err != nil {
			c.fail("Error opening snapshot file: %s", err)
			return 1
		}
		defer func() { _ = f.Close() }() // it was only read
		var keys *snapfile.Keys
		if *details {
			keys = &snapfile.Keys{Depth: *depth, Prefix: *prefix}
		}
		in, err := snapfile.Inspect(f, keys)
		if err != nil {
			c.fail("Error reading snapshot: %s", err)
			return 1
		}
		if strings.EqualFold(*format, "json") {
			out, err := json.MarshalIndent(in, "", "   ")
			if err != nil {
				c.fail("Error formatting the snapshot: %s", err)
				return 1
			}
			c.say("%s", out)
			return 0
		}
		c.inspected(in, *details)
		return 0
	}
	return c
}

func (c *command) inspected(in *snapfile.Inspection, details bool) {
	c.table([][]string{
		{" ID", in.Meta.ID}, {" Size", strconv.FormatInt(in.Meta.Size, 10)}, {" Index", strconv.FormatUint(in.Meta.Index, 10)},
		{" Term", strconv.FormatUint(in.Meta.Term, 10)}, {" Version", strconv.Itoa(in.Meta.Version)},
	})
	c.say("")
	c.tallyTable("Type", in.Stats, in.TotalSize)
	if details {
		c.say("")
		c.tallyTable("Key Name", in.StatsKV, in.TotalSizeKV)
	}
}

func (c *command) tallyTable(head string, list []snapfile.Tally, total int) {
	rule := []string{" ----", "----", "----"}
	rows := [][]string{{" " + head, "Count", "Size"}, rule}
	for _, x := range list {
		rows = append(rows, []string{" " + x.Name, strconv.Itoa(x.Count), byteSize(x.Sum)})
	}
	c.table(append(rows, rule, []string{" Total", "", byteSize(total)}))
}

// byteSize is a size for people, in powers of 1024.
func byteSize(n int) string {
	if n < 1<<10 {
		return strconv.Itoa(n) + "B"
	}
	v, units := float64(n)/(1<<10), "KMGTPE"
	for v >= 1<<10 {
		v, units = v/(1<<10), units[1:]
	}
	return fmt.Sprintf("%.1f%cB", v, units[0])
}
