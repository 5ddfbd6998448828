package doctest

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestParsedOnly looks at the commands that the pages' run leaves out, and at those
// that stand in a line of text: what they name must be there.
func TestParsedOnly(t *testing.T) {
	known := shownCommands(t)
	targets := makeTargets(t)
	count := map[string]int{}
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if !b.has("install") {
				continue
			}
			why := b.word["install"]
			if count[why]++; why == "" {
				t.Errorf("%v: install=WHY is it not run?", b)
			}
			if out, err := exec.Command("bash", "-n", "-c", b.text).CombinedOutput(); err != nil {
				t.Errorf("%v: %v, %s", b, err, out)
			}
			for line := range strings.Lines(b.text) {
				line, _, _ = strings.Cut(line, " #")
				for part := range strings.SplitSeq(strings.ReplaceAll(line, "&&", "|"), "|") {
					judgeCommand(t, b.String(), strings.Fields(part), known, targets)
				}
			}
		}
		text, err := os.ReadFile(filepath.Join(top, page))
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(page) == "migration.md" {
			continue // it names commands that there are not
		}
		for _, m := range regexp.MustCompile("`((?:consul|make) [^`]+)`").FindAllStringSubmatch(string(text), -1) {
			judgeCommand(t, page, strings.Fields(m[1]), known, targets)
		}
	}
	t.Logf("blocks that are parsed and not run, by reason: %v", count)
}

// programs are those that the blocks which are not run begin with.
var programs = []string{"apt", "dnf", "systemctl", "resolvectl", "docker", "fstrm_capture", "dnstap-ldns", "echo", "tee"}

func judgeCommand(t *testing.T, at string, words []string, known map[string][]string, targets []string) {
	t.Helper()
	for len(words) > 0 && words[0] == "sudo" {
		words = words[1:]
	}
	switch {
	case len(words) == 0:
	case words[0] == "make":
		for _, w := range words[1:] {
			if !strings.Contains(w, "=") && !slices.Contains(targets, w) {
				t.Errorf("%s: make has no target %s", at, w)
			}
		}
	case words[0] == "consul":
		judgeConsul(t, at, words[1:], known)
	case !slices.Contains(programs, words[0]):
		t.Errorf("%s: what is %s?", at, words[0])
	}
}

// judgeConsul looks a command up, and its flags.
func judgeConsul(t *testing.T, at string, words []string, known map[string][]string) {
	t.Helper()
	alternatives := func(s string) []string { return strings.Split(s, "|") }
	names := []string{""}
	for len(words) > 0 && regexp.MustCompile(`^[a-z|-]+$`).MatchString(words[0]) && words[0][0] != '-' {
		var longer []string
		for _, name := range names {
			for _, w := range alternatives(words[0]) {
				if next := strings.TrimSpace(name + " " + w); known[next] != nil {
					longer = append(longer, next)
				}
			}
		}
		if len(longer) == 0 {
			break
		}
		names, words = longer, words[1:]
	}
	if names[0] == "" {
		if len(words) > 0 && !strings.HasPrefix(words[0], "-") {
			t.Errorf("%s: there is no command consul %s", at, words[0])
		}
		return
	}
	for _, w := range words {
		flag, _, _ := strings.Cut(strings.Trim(w, "[]"), "=")
		for _, name := range names {
			if strings.HasPrefix(flag, "-") && flag != "-" && !slices.Contains(known[name], strings.TrimPrefix(strings.TrimPrefix(flag, "-"), "-")) {
				t.Errorf("%s: consul %s has no option %s", at, name, flag)
			}
			if regexp.MustCompile(`^\w`).MatchString(flag) && known[name][0] == "parent" {
				t.Errorf("%s: consul %s has no command %s", at, name, flag)
			}
		}
	}
}

// shownCommands are all commands with their options, as the reference has them.
func shownCommands(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "docs", "reference", "commands.md"))
	if err != nil {
		t.Fatal(err)
	}
	option := regexp.MustCompile(`(?m)^  -([\w-]+)`)
	out := map[string][]string{}
	var common []string
	for i, section := range strings.Split(string(text), "\n## ") {
		var flags []string
		for _, m := range option.FindAllStringSubmatch(section, -1) {
			flags = append(flags, m[1])
		}
		name, isCommand := strings.CutPrefix(strings.SplitN(section, "\n", 2)[0], "consul ")
		switch {
		case i == 1:
			common = flags
		case isCommand:
			kind := "command"
			if strings.Contains(section, "\nSubcommands:\n") {
				kind = "parent"
			}
			out[name] = append([]string{kind}, flags...)
			if strings.Contains(section, "\nHTTP API Options: see above") {
				out[name] = append(out[name], common...)
			}
		}
	}
	if len(out) < 50 || len(common) == 0 {
		t.Fatalf("only %d commands: %v", len(out), slices.Sorted(maps.Keys(out)))
	}
	return out
}

func makeTargets(t *testing.T) (out []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(string(text), -1) {
		out = append(out, m[1])
	}
	return out
}

// TestLinks: what the pages lead to is there, headings too.
func TestLinks(t *testing.T) {
	all := append(pages(t), "ARCHITECTURE.md", "CHANGELOG.md", "docs/reference/commands.md", "docs/reference/configuration.md")
	anchors := map[string][]string{}
	for _, page := range all {
		text, err := os.ReadFile(filepath.Join(top, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
			slug := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
			anchors[page] = append(anchors[page], strings.ReplaceAll(slug, " ", "-"))
		}
		for _, m := range regexp.MustCompile(`<a name="([^"]+)">`).FindAllStringSubmatch(string(text), -1) {
			anchors[page] = append(anchors[page], m[1])
		}
	}
	linked := map[string]bool{}
	for _, page := range all {
		text, err := os.ReadFile(filepath.Join(top, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(string(text), -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if page == "docs/README.md" {
				linked[target] = true
			}
			if _, err := os.Stat(filepath.Join(top, target)); err != nil {
				t.Errorf("%s: %s is not there", page, m[1])
			} else if anchor != "" && !slices.Contains(anchors[target], anchor) {
				t.Errorf("%s: %s has no heading %q", page, target, anchor)
			}
		}
	}
	for _, page := range pages(t)[1:] {
		if page != "docs/README.md" && !linked[page] {
			t.Errorf("docs/README.md does not lead to %s", page)
		}
	}
}
