package metrics

import (
	"cmp"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var writeReference = flag.Bool("write", false, "write the tables of docs/metrics.md instead of comparing them")

const (
	referencePage = "../../docs/metrics.md"
	tablesBegin   = "<!-- What follows is written by make docs. -->\n"
)

// TestReference holds the page of all metrics against the code.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	prose, tables, found := strings.Cut(string(text), tablesBegin)
	if !found {
		t.Fatalf("%s has no line %q", referencePage, tablesBegin)
	}
	want := "\n" + table("The agent's own", "", Definitions()) +
		table("Of libraries", "What raft, serf, memberlist and the files of raft's log report. A name in angle brackets stands for many.\n\n", Libraries()) +
		table("Of the process", "In Prometheus' text alone, and without a prefix.\n\n", OfProcess())
	if *writeReference {
		if err := os.WriteFile(referencePage, []byte(prose+tablesBegin+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if tables != want {
		t.Errorf("the tables of docs/metrics.md are not what the code says: run make docs")
	}
	// What the page says of names by hand has to be true as well.
	for i, part := range strings.Split(prose, "`") {
		name, ok := strings.CutPrefix(part, "consul.")
		if i%2 == 0 || !ok || strings.ContainsAny(name, "*<{: ") {
			continue
		}
		if _, defined := Defined(name); !defined && !slices.Contains(notOurs(prose), name) {
			t.Errorf("docs/metrics.md speaks of %s, which there is not", part)
		}
	}
}

// notOurs are the names in the list of what the reference has and this agent has not.
func notOurs(prose string) (names []string) {
	_, list, _ := strings.Cut(prose, "\n## Differences\n")
	for i, part := range strings.Split(list, "`") {
		if name, ok := strings.CutPrefix(part, "consul."); ok && i%2 == 1 {
			names = append(names, name)
		}
	}
	return names
}

// table is a section of the page.
func table(title, about string, list []Definition) string {
	var b strings.Builder
	b.WriteString("## " + title + "\n\n" + about + "| name | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n")
	list = slices.SortedFunc(slices.Values(list), func(x, y Definition) int { return cmp.Compare(x.Name, y.Name) })
	for _, d := range list {
		name := d.Name
		if !strings.HasPrefix(name, "process_") {
			name = "consul." + name
		}
		var labels []string
		for l := range strings.SplitSeq(d.Labels, ",") {
			if l != "" {
				labels = append(labels, "`"+l+"`")
			}
		}
		b.WriteString("| `" + name + "` | " + d.Kind + " | " + d.Unit + " | " + strings.Join(labels, ", ") + " | " + d.Help + " |\n")
	}
	return b.String() + "\n"
}
