package command

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Manual names the command that writes the manual: for packagers, so that the list
// of commands leaves it out.
const Manual = "manual"

// ManualCommand writes the manual pages of a set, and scripts for shells.
func (a *App) ManualCommand(set func() Set, version string) *Command {
	c := a.New("consul "+Manual+" DIRECTORY", "Writes manual pages and completions",
		"Writes into a directory a manual page (section 1) of each command, made out of its\nhelp, and what bash, zsh and fish need to complete command lines.")
	c.Do = func(args []string) int {
		if len(args) != 1 {
			return c.Misused("One directory must be specified.")
		}
		files := completions()
		for name, make := range set() {
			page := "consul-" + strings.ReplaceAll(name, " ", "-")
			files[filepath.Join("man1", page+".1")] = make(a).manPage(page, version)
		}
		files[filepath.Join("man1", "consul.1")] = set().overview(a, version)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			path := filepath.Join(args[0], name)
			err := os.MkdirAll(filepath.Dir(path), 0o755) // for everybody to read
			if err == nil {
				err = os.WriteFile(path, []byte(files[name]), 0o644)
			}
			if err != nil {
				c.Fail("Error writing the manual: %s", err)
				return 1
			}
		}
		return 0
	}
	return c
}

// manPage is the help as a manual page.
func (c *Command) manPage(page, version string) string {
	var b strings.Builder
	manHead(&b, page, version, c.synopsis)
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.nf\n%s\n.fi\n.SH DESCRIPTION\n.nf\n%s\n.fi\n", roff(c.usage), roff(strings.TrimSpace(c.about)))
	if own, common := c.flagGroups(); c.listFlags {
		for _, group := range []struct {
			title string
			flags []string
		}{{"OPTIONS", manFlags(own)}, {"HTTP API OPTIONS", manFlags(common)}} {
			if len(group.flags) > 0 {
				fmt.Fprintf(&b, ".SH %s\n%s", group.title, strings.Join(group.flags, ""))
			}
		}
	}
	fmt.Fprintf(&b, ".SH SEE ALSO\n.BR consul (1)\n")
	return b.String()
}

func manFlags(flags []*flag.Flag) (out []string) {
	for _, f := range flags {
		value := "=<value>"
		if isSwitch(f) {
			value = ""
		}
		out = append(out, fmt.Sprintf(".TP\n.B \\-%s%s\n%s\n", roff(f.Name), value, roff(f.Usage)))
	}
	return out
}

// overview is the page of the program itself.
func (s Set) overview(a *App, version string) string {
	var b strings.Builder
	manHead(&b, "consul", version, "finds services by DNS and HTTP")
	b.WriteString(".SH SYNOPSIS\n.nf\nconsul [\\-\\-version] [\\-\\-help] <command> [<args>]\n.fi\n.SH COMMANDS\n")
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if name != Manual {
			fmt.Fprintf(&b, ".TP\n.BR consul\\-%s (1)\n%s\n", roff(strings.ReplaceAll(name, " ", "-")), roff(s[name](a).synopsis))
		}
	}
	return b.String()
}

func manHead(b *strings.Builder, page, version, about string) {
	fmt.Fprintf(b, ".TH %q 1 \"\" %q\n.SH NAME\n%s \\- %s\n", strings.ToUpper(page), "consul "+version, roff(page), roff(about))
}

// roff writes text so that nothing in it is a request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// completions are scripts that have the program itself complete its command line.
func completions() map[string]string {
	return map[string]string{
		filepath.Join("bash-completion", "completions", "consul"): "complete -C consul consul\n",
		filepath.Join("zsh", "site-functions", "_consul"):         "#compdef consul\nautoload -U +X bashcompinit && bashcompinit\ncomplete -o nospace -C consul consul\n",
		filepath.Join("fish", "vendor_completions.d", "consul.fish"): `function __complete_consul
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct)
    and set COMP_LINE "$COMP_LINE "
    consul
end
complete -f -c consul -a "(__complete_consul)"
`,
	}
}
