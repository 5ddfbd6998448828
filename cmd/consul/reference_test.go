package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"consul.internal/cmd/consul/command"
	"consul.internal/configs"
)

var writeReference = flag.Bool("write", false, "write the reference pages in docs/reference instead of comparing them")

// TestReference holds the pages that are made of the code against it.
func TestReference(t *testing.T) {
	for name, text := range map[string]string{"commands.md": commandsPage(t), "configuration.md": configurationPage()} {
		path := filepath.Join("..", "..", "docs", "reference", name)
		if *writeReference {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(was) != text {
			t.Errorf("docs/reference/%s is not what the code says (run make docs): %s", name, firstDifference(string(was), text))
		}
	}
}

func firstDifference(was, now string) string {
	old, fresh := strings.Split(was, "\n"), strings.Split(now, "\n")
	for i := range min(len(old), len(fresh)) {
		if old[i] != fresh[i] {
			return fmt.Sprintf("line %d is\n%s\nand should be\n%s", i+1, old[i], fresh[i])
		}
	}
	return fmt.Sprintf("it has %d lines and should have %d", len(old), len(fresh))
}

const madeBy = "<!-- Written by make docs. -->\n"

// commandsPage is the help of every command. What all that ask an agent have in
// common stands there once.
func commandsPage(t *testing.T) string {
	var body strings.Builder
	common := ""
	for _, name := range slices.Sorted(maps.Keys(commands())) {
		if name == command.Manual {
			continue
		}
		_, out, errs := execute(t, append(strings.Fields(name), "-h")...)
		help := strings.TrimSpace(out)
		if !strings.HasPrefix(help, "Usage: consul "+name) || errs != "" {
			t.Errorf("%s -h: %q, %q", name, out, errs)
		}
		if about, flags, asks := strings.Cut(help, "\n\nHTTP API Options\n"); asks {
			shared, own, _ := strings.Cut(flags, "\n\n\nCommand Options\n")
			shared = strings.TrimSpace(shared)
			if common == "" {
				common = shared
			}
			help = about + "\n\nHTTP API Options: see above"
			if shared != common {
				help = about + "\n\nHTTP API Options\n\n  " + shared
			}
			if own != "" {
				help += "\n\nCommand Options\n" + own
			}
		}
		fmt.Fprintf(&body, "\n## consul %s\n\n```text\n%s\n```\n", name, help)
	}
	return "# Commands\n\n" + madeBy + `
Each command with its options, as ` + "`-h`" + ` says it. An option takes its value as ` + "`-name=value`" + ` or ` + "`-name value`" + `; two hyphens are as good as one.

## HTTP API options

Commands that ask an agent have these:

` + "```text\n  " + common + "\n```\n" + body.String()
}

// configurationPage is a table of keys for each block.
func configurationPage() string {
	var b strings.Builder
	b.WriteString("# Configuration keys\n\n" + madeBy + `
Files are HCL (` + "`.hcl`" + `) or JSON (` + "`.json`" + `) with the same keys; those of a directory are read in the order of their names. ` + "`consul validate`" + ` says what is
wrong with them. A key that is not here is refused. A duration is a text such as ` + "`\"10s\"`, `\"5m\"`" + `. Where **reload** says yes, ` + "`consul reload`" + ` takes a
change over; other changes need a restart, and the reload says so. Keys **without effect** are accepted, with a warning, for files that have them.
`)
	keys := configs.Keys()
	blocks := map[string]bool{}
	for _, k := range keys {
		if top, _, inside := strings.Cut(k.Name, "."); inside {
			blocks[strings.TrimSuffix(top, "[]")] = true
		}
	}
	section := func(title, about string, rows func(configs.Key) bool) {
		fmt.Fprintf(&b, "\n## %s\n\n", title)
		if about != "" {
			fmt.Fprintf(&b, "%s\n\n", about)
		}
		b.WriteString("| key | type | default | reload | |\n|---|---|---|---|---|\n")
		for _, k := range keys {
			if rows(k) {
				b.WriteString(keyRow(k))
			}
		}
	}
	section("Top level", "", func(k configs.Key) bool { return !strings.Contains(k.Name, ".") })
	for _, block := range slices.Sorted(maps.Keys(blocks)) {
		about := ""
		if block == "services" {
			about = "Keys of `check` and `checks` are those of [`checks`](#checks)."
		}
		section(block, about, func(k configs.Key) bool {
			inside := strings.HasPrefix(k.Name, block+".") || strings.HasPrefix(k.Name, block+"[].")
			return inside && !strings.HasPrefix(k.Name, "services[].check[].") && !strings.HasPrefix(k.Name, "services[].checks[].")
		})
	}
	return b.String()
}

func keyRow(k configs.Key) string {
	name := "`" + strings.NewReplacer("[]", "", ".*", ".NAME").Replace(k.Name) + "`"
	for _, other := range k.Other {
		name += ", `" + other + "`"
	}
	value, reload := "", ""
	if k.Default != "" {
		value = "`" + k.Default + "`"
		if k.Type == "duration" {
			value = strings.NewReplacer(`m0s"`, `m"`, `h0m0s"`, `h"`).Replace(value)
		}
	}
	if k.Reload {
		reload = "yes"
	}
	about := strings.ReplaceAll(k.Doc, "|", `\|`)
	if why := withoutEffect(k); why != "" && !strings.HasPrefix(about, "no effect") {
		about += "; **without effect**" + why
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", name, k.Type, value, reload, about)
}

// withoutEffect says why a key has none.
func withoutEffect(k configs.Key) string {
	switch {
	case k.Built:
		return ""
	case k.Part == "mesh":
		return ": there is no service mesh"
	case k.Part == "enterprise":
		return ": Consul Enterprise only"
	case k.Part == "never":
		return ": nothing here uses it"
	}
	return " in this version"
}
