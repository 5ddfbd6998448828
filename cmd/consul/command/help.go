package command

import (
	"flag"
	"fmt"
	"strings"
)

// Help is the text of -h.
func (c *Command) Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n\n%s", c.usage, indentText(strings.TrimSpace(c.about), "  "))
	if own, common := c.flagGroups(); c.listFlags {
		flagList(&b, "HTTP API Options", common)
		flagList(&b, "Command Options", own)
	}
	return strings.TrimRight(b.String(), "\n")
}

// flagGroups are the command's own flags, and those of every command that asks
// an agent.
func (c *Command) flagGroups() (own, common []*flag.Flag) {
	c.Flags.VisitAll(func(f *flag.Flag) {
		if c.client != nil && c.client.names[f.Name] {
			common = append(common, f)
		} else {
			own = append(own, f)
		}
	})
	return own, common
}

func flagList(b *strings.Builder, title string, flags []*flag.Flag) {
	if len(flags) == 0 {
		return
	}
	fmt.Fprintf(b, "\n\n%s\n", title)
	for _, f := range flags {
		value := "=<value>"
		if isSwitch(f) {
			value = ""
		}
		fmt.Fprintf(b, "\n  -%s%s\n%s\n", f.Name, value, indentText(wrap(f.Usage, 72), "     "))
	}
}

// isSwitch says whether a flag stands without a value.
func isSwitch(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
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
